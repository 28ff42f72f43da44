-- The log, what guards it, and the operational tables beside it.
-- Runs as the owner role. The service itself logs in as a member of farshore_runtime,
-- which can read the log and add to it through append_events, and nothing else.
SET lock_timeout = '10s';

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'farshore_runtime') THEN
		CREATE ROLE farshore_runtime NOLOGIN;
	END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
	NULL; -- another database of this cluster was migrated at the same time
END
$$;

GRANT USAGE ON SCHEMA public TO farshore_runtime;

CREATE TABLE events (
	global_position bigint      PRIMARY KEY CHECK (global_position > 0),
	stream          text        NOT NULL CHECK (stream <> ''),
	version         bigint      NOT NULL CHECK (version > 0),
	event_id        uuid        NOT NULL UNIQUE,
	type            text        NOT NULL CHECK (type <> ''),
	data            jsonb       NOT NULL,
	metadata        jsonb       NOT NULL,
	recorded_at     timestamptz NOT NULL,
	leaf_hash       bytea       NOT NULL CHECK (length(leaf_hash) = 32),
	UNIQUE (stream, version)
);
COMMENT ON COLUMN events.global_position IS 'gapless, and equal to commit order: given out under the lock of append_events';
COMMENT ON COLUMN events.leaf_hash IS 'SHA-256 of the RFC 8785 JSON of stream, version, eventId, type, data, metadata';

CREATE INDEX events_vault ON events ((metadata->>'vault'), global_position) WHERE metadata ? 'vault';
CREATE INDEX events_job ON events ((metadata->>'job'), global_position) WHERE metadata ? 'job';

CREATE TABLE heads (
	stream   text   PRIMARY KEY,
	version  bigint NOT NULL,
	position bigint NOT NULL
);
COMMENT ON TABLE heads IS 'where each stream ends; append_events compares expected versions with it';

CREATE TABLE idempotency (
	key         text        PRIMARY KEY,
	fingerprint text        NOT NULL,
	stream      text        NOT NULL,
	version     bigint      NOT NULL,
	position    bigint      NOT NULL,
	created_at  timestamptz NOT NULL
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
	RAISE EXCEPTION 'table % is append-only: % refused', TG_TABLE_NAME, TG_OP
		USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE ON events
	FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_are_never_truncated BEFORE TRUNCATE ON events
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT ON events, heads, idempotency TO farshore_runtime;

-- From here on, and in every later migration, new tables belong to the service.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLES TO farshore_runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO farshore_runtime;

CREATE TABLE snapshots (
	stream        text        PRIMARY KEY,
	state_version integer     NOT NULL,
	version       bigint      NOT NULL,
	state         jsonb       NOT NULL,
	updated_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN snapshots.state_version IS 'of the form of the state; another one makes the snapshot worthless';

CREATE TABLE checkpoints (
	name       text        PRIMARY KEY,
	position   bigint      NOT NULL DEFAULT 0,
	version    integer     NOT NULL DEFAULT 0,
	error      text,
	updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN checkpoints.error IS 'why the reader stopped; the event it stopped at is position + 1';

CREATE TABLE lanes (
	item             text    NOT NULL,
	kind             text    NOT NULL CHECK (kind IN ('replication', 'drill', 'upkeep')),
	due_at           timestamptz,
	owner            text,
	lease_until      timestamptz,
	fence            bigint  NOT NULL DEFAULT 0,
	attempt          integer NOT NULL DEFAULT 0,
	checkpoint       jsonb,
	cancel_requested boolean NOT NULL DEFAULT false,
	host             text,
	store            text,
	updated_at       timestamptz,
	PRIMARY KEY (item, kind)
);
CREATE INDEX lanes_due ON lanes (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE transfer_progress (
	item             text   NOT NULL,
	job              text   NOT NULL,
	disk             text   NOT NULL,
	bytes_done       bigint NOT NULL DEFAULT 0,
	bytes_total      bigint NOT NULL DEFAULT 0,
	bytes_per_second bigint NOT NULL DEFAULT 0,
	updated_at       timestamptz,
	PRIMARY KEY (job, disk)
);
CREATE INDEX transfer_progress_item ON transfer_progress (item);

-- append_events adds the events of many requests in one short transaction. Requests
-- are judged one by one: the outcome of each is ok, conflict, fenced, replayed or
-- mismatch, and one that is refused does not hold up the others. Within a call a
-- stream and an idempotency key may appear once. p_counts says how many of the
-- events, which follow each other in the order of the requests, belong to each.
CREATE FUNCTION append_events(
	p_streams text[], p_expected bigint[], p_counts integer[],
	p_keys text[], p_fingerprints text[],
	p_lanes text[], p_tokens bigint[],
	p_event_ids uuid[], p_types text[], p_data text[], p_metadata text[], p_leaf_hashes bytea[]
) RETURNS TABLE (request bigint, outcome text, version bigint, "position" bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
-- The plan is made once, maybe on empty tables, and kept: it must be the one for large ones.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
	base bigint;
	at   timestamptz;
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'append_events needs READ COMMITTED: it must see what the lock waited for';
	END IF;
	-- Held to the end of the transaction, so that positions are given out in commit order.
	PERFORM pg_advisory_xact_lock(7021933445087254);
	SELECT coalesce(max(e.global_position), 0) INTO base FROM events e;
	at := clock_timestamp();

	RETURN QUERY
	WITH r AS (
		SELECT u.*, sum(u.count) OVER (ORDER BY u.n) - u.count AS first
		FROM unnest(p_streams, p_expected, p_counts, p_keys, p_fingerprints, p_lanes, p_tokens)
			WITH ORDINALITY AS u(stream, expected, count, key, fingerprint, lane, token, n)
	), judged AS MATERIALIZED (
		SELECT r.*, h.version AS head_version, h.position AS head_position,
			i.version AS key_version, i.position AS key_position,
			CASE
				WHEN i.key IS NOT NULL AND (i.fingerprint <> r.fingerprint OR i.stream <> r.stream) THEN 'mismatch'
				WHEN i.key IS NOT NULL THEN 'replayed'
				WHEN r.lane IS NOT NULL AND NOT EXISTS (
					SELECT FROM lanes l
					WHERE l.item = substring(r.lane FROM '^(.*)/[^/]*$') AND l.kind = substring(r.lane FROM '[^/]*$')
						AND r.token >= l.fence) THEN 'fenced'
				WHEN coalesce(h.version, 0) <> r.expected THEN 'conflict'
				ELSE 'ok'
			END AS verdict
		FROM r
		LEFT JOIN heads h ON h.stream = r.stream
		LEFT JOIN idempotency i ON i.key = r.key
	), placed AS MATERIALIZED (
		SELECT j.n, j.stream, j.key, j.fingerprint, j.first, j.count, j.expected,
			base + sum(j.count) OVER (ORDER BY j.n) - j.count AS before
		FROM judged j WHERE j.verdict = 'ok'
	), inserted AS (
		INSERT INTO events (global_position, stream, version, event_id, type, data, metadata, recorded_at, leaf_hash)
		SELECT p.before + k, p.stream, p.expected + k, p_event_ids[p.first + k], p_types[p.first + k],
			p_data[p.first + k]::jsonb, p_metadata[p.first + k]::jsonb, at, p_leaf_hashes[p.first + k]
		FROM placed p CROSS JOIN LATERAL generate_series(1, p.count) AS k
	), moved AS (
		INSERT INTO heads (stream, version, position)
		SELECT p.stream, p.expected + p.count, p.before + p.count FROM placed p
		ON CONFLICT (stream) DO UPDATE SET version = excluded.version, position = excluded.position
	), kept AS (
		INSERT INTO idempotency (key, fingerprint, stream, version, position, created_at)
		SELECT p.key, p.fingerprint, p.stream, p.expected + p.count, p.before + p.count, at
		FROM placed p WHERE p.key IS NOT NULL
	)
	SELECT j.n, j.verdict,
		CASE j.verdict WHEN 'ok' THEN j.expected + j.count
			WHEN 'replayed' THEN j.key_version ELSE coalesce(j.head_version, 0) END::bigint,
		CASE j.verdict WHEN 'ok' THEN p.before + p.count
			WHEN 'replayed' THEN j.key_position ELSE coalesce(j.head_position, 0) END::bigint
	FROM judged j LEFT JOIN placed p ON p.n = j.n
	ORDER BY j.n;
END
$$;
REVOKE ALL ON FUNCTION append_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION append_events TO farshore_runtime;

-- Readiness compares versions; the table is the migrator's and exists by now.
DO $$
BEGIN
	IF to_regclass('public.schema_migrations') IS NOT NULL THEN
		GRANT SELECT ON schema_migrations TO farshore_runtime;
	END IF;
END
$$;

RESET lock_timeout;
