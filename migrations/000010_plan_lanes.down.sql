SET lock_timeout = '10s';
DROP INDEX jobs_v1_parent;
DROP INDEX jobs_v1_created;
DELETE FROM lanes WHERE kind = 'plan';
ALTER TABLE lanes DROP CONSTRAINT lanes_kind_check;
ALTER TABLE lanes ADD CONSTRAINT lanes_kind_check CHECK (kind IN ('replication', 'drill', 'upkeep'));
RESET lock_timeout;
