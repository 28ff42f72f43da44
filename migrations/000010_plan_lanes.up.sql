-- Recovery plans have lanes of their own kind.
SET lock_timeout = '10s';

ALTER TABLE lanes DROP CONSTRAINT lanes_kind_check;
ALTER TABLE lanes ADD CONSTRAINT lanes_kind_check CHECK (kind IN ('replication', 'drill', 'upkeep', 'plan'));
COMMENT ON COLUMN lanes.item IS 'the key of a protected item or, of kind plan, of a recovery plan';

-- Jobs are listed by time, and those that are parts of another by that one.
CREATE INDEX jobs_v1_created ON jobs_v1 (vault, created_at);
CREATE INDEX jobs_v1_parent ON jobs_v1 (vault, (state->>'Parent')) WHERE state->>'Parent' <> '';

RESET lock_timeout;
