-- The read model of recovery plans.
SET lock_timeout = '10s';

CREATE TABLE recovery_plans_v1 (
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
ALTER TABLE recovery_plans_v1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE recovery_plans_v1 FORCE ROW LEVEL SECURITY;
CREATE POLICY vault ON recovery_plans_v1
	USING (vault = NULLIF(current_setting('farshore.vault', true), '') OR current_setting('farshore.vault', true) = '*');

RESET lock_timeout;
