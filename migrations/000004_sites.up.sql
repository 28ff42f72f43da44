-- The read model of sites, with their hosts and the VMs found on them.
SET lock_timeout = '10s';

CREATE TABLE sites_v1 (
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
ALTER TABLE sites_v1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE sites_v1 FORCE ROW LEVEL SECURITY;
CREATE POLICY vault ON sites_v1
	USING (vault = NULLIF(current_setting('farshore.vault', true), '') OR current_setting('farshore.vault', true) = '*');

CREATE TABLE hosts_v1 (
	vault   text   NOT NULL,
	site    text   NOT NULL,
	id      text   NOT NULL,
	state   jsonb  NOT NULL,
	version bigint NOT NULL,
	PRIMARY KEY (vault, site, id)
);
COMMENT ON COLUMN hosts_v1.version IS 'of the site''s stream when this host last changed';
ALTER TABLE hosts_v1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE hosts_v1 FORCE ROW LEVEL SECURITY;
CREATE POLICY vault ON hosts_v1
	USING (vault = NULLIF(current_setting('farshore.vault', true), '') OR current_setting('farshore.vault', true) = '*');

CREATE TABLE virtual_machines_v1 (
	vault   text   NOT NULL,
	site    text   NOT NULL,
	host    text   NOT NULL,
	id      text   NOT NULL,
	state   jsonb  NOT NULL,
	version bigint NOT NULL,
	PRIMARY KEY (vault, site, host, id)
);
ALTER TABLE virtual_machines_v1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE virtual_machines_v1 FORCE ROW LEVEL SECURITY;
CREATE POLICY vault ON virtual_machines_v1
	USING (vault = NULLIF(current_setting('farshore.vault', true), '') OR current_setting('farshore.vault', true) = '*');

RESET lock_timeout;
