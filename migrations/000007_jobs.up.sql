-- The read model of jobs. A job is there, NotStarted, as soon as an event of its item
-- names it; its own stream begins when a worker takes it up.
SET lock_timeout = '10s';

CREATE TABLE jobs_v1 (
	stream     text        PRIMARY KEY,
	vault      text        NOT NULL,
	id         text        NOT NULL,
	status     text        NOT NULL,
	state      jsonb       NOT NULL,
	version    bigint      NOT NULL,
	position   bigint      NOT NULL,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	UNIQUE (vault, id)
);
CREATE INDEX jobs_v1_subject ON jobs_v1 (vault, (state->>'Subject'));
ALTER TABLE jobs_v1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE jobs_v1 FORCE ROW LEVEL SECURITY;
CREATE POLICY vault ON jobs_v1
	USING (vault = NULLIF(current_setting('farshore.vault', true), '') OR current_setting('farshore.vault', true) = '*');

RESET lock_timeout;
