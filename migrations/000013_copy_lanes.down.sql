SET lock_timeout = '10s';

DELETE FROM lanes WHERE kind = 'copy';
ALTER TABLE lanes DROP CONSTRAINT lanes_kind_check;
ALTER TABLE lanes ADD CONSTRAINT lanes_kind_check CHECK (kind IN ('replication', 'drill', 'upkeep', 'plan'));

RESET lock_timeout;
