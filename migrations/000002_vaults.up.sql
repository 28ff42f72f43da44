-- The read model of vaults. A later form of a read model is a new table beside it,
-- hence the version in the name.
SET lock_timeout = '10s';

CREATE TABLE vaults_v1 (
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
ALTER TABLE vaults_v1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE vaults_v1 FORCE ROW LEVEL SECURITY;
CREATE POLICY vault ON vaults_v1
	USING (vault = NULLIF(current_setting('farshore.vault', true), '') OR current_setting('farshore.vault', true) = '*');

RESET lock_timeout;
