-- The read model of network mappings: all of a vault are one row, as they are one
-- aggregate.
SET lock_timeout = '10s';

CREATE TABLE network_mappings_v1 (
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
ALTER TABLE network_mappings_v1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE network_mappings_v1 FORCE ROW LEVEL SECURITY;
CREATE POLICY vault ON network_mappings_v1
	USING (vault = NULLIF(current_setting('farshore.vault', true), '') OR current_setting('farshore.vault', true) = '*');

RESET lock_timeout;
