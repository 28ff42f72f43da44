-- The copy of a failed-over VM's disks goes on beside a test failover, so it has
-- lanes of its own.
SET lock_timeout = '10s';

ALTER TABLE lanes DROP CONSTRAINT lanes_kind_check;
ALTER TABLE lanes ADD CONSTRAINT lanes_kind_check CHECK (kind IN ('replication', 'drill', 'upkeep', 'plan', 'copy'));

RESET lock_timeout;
