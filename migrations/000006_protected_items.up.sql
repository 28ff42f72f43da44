-- The read model of protected items, with their recovery points.
SET lock_timeout = '10s';

CREATE TABLE protected_items_v1 (
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
ALTER TABLE protected_items_v1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE protected_items_v1 FORCE ROW LEVEL SECURITY;
CREATE POLICY vault ON protected_items_v1
	USING (vault = NULLIF(current_setting('farshore.vault', true), '') OR current_setting('farshore.vault', true) = '*');

CREATE TABLE recovery_points_v1 (
	vault   text        NOT NULL,
	item    text        NOT NULL,
	id      text        NOT NULL,
	instant timestamptz NOT NULL,
	state   jsonb       NOT NULL,
	PRIMARY KEY (vault, item, id)
);
ALTER TABLE recovery_points_v1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE recovery_points_v1 FORCE ROW LEVEL SECURITY;
CREATE POLICY vault ON recovery_points_v1
	USING (vault = NULLIF(current_setting('farshore.vault', true), '') OR current_setting('farshore.vault', true) = '*');

RESET lock_timeout;
