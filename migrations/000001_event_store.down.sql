-- For development: a log is never taken down in production. The role stays, because
-- other databases of the cluster may use it.
SET lock_timeout = '10s';

DROP FUNCTION append_events;
DROP TABLE transfer_progress;
DROP TABLE lanes;
DROP TABLE checkpoints;
DROP TABLE snapshots;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE USAGE, SELECT ON SEQUENCES FROM farshore_runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLES FROM farshore_runtime;
DROP TABLE idempotency;
DROP TABLE heads;
DROP TABLE events;
DROP FUNCTION refuse_change;
REVOKE USAGE ON SCHEMA public FROM farshore_runtime;

RESET lock_timeout;
