-- Items that were protected before their health was watched get the lane that does.
SET lock_timeout = '10s';

INSERT INTO lanes (item, kind, due_at)
	SELECT item, 'upkeep', clock_timestamp() FROM lanes WHERE kind = 'replication'
	ON CONFLICT DO NOTHING;

RESET lock_timeout;
