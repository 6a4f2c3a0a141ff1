import { StoreError } from '../store-error.ts';
import type { Database } from './open-database.ts';
import { codeOf, isTaken } from './postgres-errors.ts';

/**
 * Each brings the schema from its place to the next; the table `schema_version` counts them. Landed ones are never edited. They expand: what is taken away, a later one takes, when it has raised
 * `oldest_version` to that of the software which does without. {schema} stands for the schema.
 *
 * Keys compare by bytes (COLLATE "C"), as in SQLite. Bodies are text: jsonb refuses what JSON may hold. Every key begins with the tenant, but those of workers. Nothing orders by a sequence.
 */
const migrations: readonly string[] = [
  `
  CREATE TABLE {schema}.session (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    external_id text COLLATE "C",
    title_lower_case text,
    status text COLLATE "C" NOT NULL,
    archived boolean NOT NULL,
    active_at_ms bigint NOT NULL,
    due_at_ms bigint,
    worker text COLLATE "C",
    fence bigint NOT NULL,
    attempt_id text COLLATE "C",
    -- Another one after every change: what was read is still so while it is the same.
    commit_id text COLLATE "C" NOT NULL,
    -- Counts what was stored beside the session, on engines where a lock alone keeps nobody out.
    stored_beside integer NOT NULL DEFAULT 0,
    body text NOT NULL,
    PRIMARY KEY (tenant, id)
  ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
  CREATE UNIQUE INDEX session_external_id ON {schema}.session (tenant, external_id, owner) WHERE external_id IS NOT NULL;
  -- Plans are made while the tables are empty, when one way to a row looks as cheap as another: so no index but the primary key may serve where a row is looked up by its id. This one asks for a condition that only
  -- lists have; others ask for one too, or do not begin with the tenant.
  CREATE INDEX session_active ON {schema}.session (tenant, owner, active_at_ms) WHERE active_at_ms >= 0;
  CREATE INDEX session_due ON {schema}.session (due_at_ms, active_at_ms) WHERE due_at_ms IS NOT NULL;
  CREATE INDEX session_due_of_tenant ON {schema}.session (tenant, due_at_ms, active_at_ms) WHERE due_at_ms IS NOT NULL;
  CREATE INDEX session_worker ON {schema}.session (worker) WHERE worker IS NOT NULL;

  CREATE TABLE {schema}.entry (
    tenant text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    commit_id text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (tenant, session_id, seq)
  );

  CREATE TABLE {schema}.chunk (
    tenant text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    attempt_id text COLLATE "C" NOT NULL,
    ordinal integer NOT NULL,
    segments text NOT NULL,
    PRIMARY KEY (tenant, session_id, attempt_id, ordinal)
  ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

  CREATE TABLE {schema}.outcome (
    tenant text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    step_seq bigint NOT NULL,
    call_index integer NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (tenant, session_id, step_seq, call_index)
  ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

  CREATE TABLE {schema}.idempotency (
    tenant text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,
    http_status integer NOT NULL,
    reply text NOT NULL,
    expires_at_ms bigint,
    -- The key of a creation has no session of its own; it is kept while the turn of the session that it created is open.
    created_session_id text COLLATE "C",
    PRIMARY KEY (tenant, session_id, scope)
  );
  CREATE INDEX idempotency_expiry ON {schema}.idempotency (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

  CREATE TABLE {schema}.operation (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    worker text COLLATE "C",
    fence bigint NOT NULL,
    due_at_ms bigint,
    -- The operation's key while it lives: no other of the same key starts meanwhile.
    live_key text COLLATE "C",
    created_at_ms bigint NOT NULL,
    commit_id text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (tenant, id)
  ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
  CREATE UNIQUE INDEX operation_live_key ON {schema}.operation (tenant, live_key) WHERE live_key IS NOT NULL;
  CREATE INDEX operation_session ON {schema}.operation (session_id, tenant, id);
  CREATE INDEX operation_live ON {schema}.operation (session_id, tenant) WHERE status IN ('queued', 'running');
  CREATE INDEX operation_due ON {schema}.operation (due_at_ms, created_at_ms) WHERE due_at_ms IS NOT NULL;
  CREATE INDEX operation_due_of_tenant ON {schema}.operation (tenant, due_at_ms, created_at_ms) WHERE due_at_ms IS NOT NULL;
  CREATE INDEX operation_worker ON {schema}.operation (worker, created_at_ms) WHERE worker IS NOT NULL;

  CREATE TABLE {schema}.whole_result (
    tenant text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (tenant, session_id, id)
  );

  CREATE TABLE {schema}.outbox (
    tenant text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (tenant, session_id, seq)
  ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
  CREATE INDEX outbox_at ON {schema}.outbox (at_ms);

  CREATE TABLE {schema}.worker (
    id text COLLATE "C" PRIMARY KEY,
    lease_until_ms bigint NOT NULL,
    agents text NOT NULL,
    schema_version integer NOT NULL
  ) WITH (fillfactor = 50);

  -- The oldest schema version whose software may still work here.
  CREATE TABLE {schema}.requirement (oldest_version integer NOT NULL);
  INSERT INTO {schema}.requirement VALUES (1);
  `,
  `
  -- Names entries so that they are found without reading the log, see markOf in core/history.ts.
  ALTER TABLE {schema}.entry ADD COLUMN mark text COLLATE "C";
  UPDATE {schema}.entry SET mark = given.mark FROM (
    SELECT tenant, session_id, seq, CASE body::json ->> 'kind'
      WHEN 'user-message' THEN CASE WHEN body::json ->> 'steered' = 'true' THEN NULL ELSE 'h.b:' || (body::json ->> 'turnId') END
      WHEN 'turn-started' THEN 'h.b:' || (body::json ->> 'turnId')
      WHEN 'message-queued' THEN 'q:' || (body::json ->> 'messageId')
      WHEN 'turn-ended' THEN 'h.e:' || (body::json ->> 'turnId')
      WHEN 'operation-result' THEN 'h.d:' || (body::json ->> 'operationId')
      WHEN 'operation-ended' THEN CASE WHEN body::json ->> 'mode' = 'detach' AND body::json -> 'result' IS NOT NULL
        THEN 'h.o:' || (body::json ->> 'operationId') || ':' || (body::json ->> 'stepSeq') END
      END AS mark FROM {schema}.entry) AS given
    WHERE given.mark IS NOT NULL AND entry.tenant = given.tenant AND entry.session_id = given.session_id AND entry.seq = given.seq;
  CREATE INDEX entry_mark ON {schema}.entry (tenant, session_id, mark) WHERE mark IS NOT NULL;

  CREATE TABLE {schema}.branch (
    tenant text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (tenant, session_id, id)
  );
  -- Until now nothing could change what lay before a branch: it followed on the stretches that are visible there.
  INSERT INTO {schema}.branch (tenant, session_id, id, body)
    SELECT entry.tenant, session_id, entry.body::json ->> 'branchId', json_build_object('id', entry.body::json ->> 'branchId', 'discardedAtMs', entry.body::json -> 'atMs',
      'fromTurnId', entry.body::json ->> 'fromTurnId', 'turns', entry.body::json -> 'turns', 'before', (
        SELECT coalesce(json_agg(stretch.value ORDER BY stretch.ordinality), '[]'::json) FROM json_array_elements(session.body::json -> 'visible') WITH ORDINALITY AS stretch
        WHERE (stretch.value ->> 'toSeq')::bigint < (entry.body::json #>> '{intervals,0,fromSeq}')::bigint),
      'intervals', entry.body::json -> 'intervals')::text
    FROM {schema}.entry JOIN {schema}.session ON session.tenant = entry.tenant AND session.id = entry.session_id WHERE entry.body::json ->> 'kind' = 'branch-discarded';
  `,
  `
  -- State beside sessions: what agents keep for an actor, a subject, or for all. A scope's versions never come twice, whatever is deleted.
  CREATE TABLE {schema}.state_scope (
    tenant text COLLATE "C" NOT NULL,
    scope_key text COLLATE "C" NOT NULL,
    scope text NOT NULL,
    last_version bigint NOT NULL,
    PRIMARY KEY (tenant, scope_key)
  );
  CREATE TABLE {schema}.state (
    tenant text COLLATE "C" NOT NULL,
    scope_key text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    body text NOT NULL,
    provenance text NOT NULL,
    expires_at_ms bigint,
    PRIMARY KEY (tenant, scope_key, key)
  );
  CREATE INDEX state_expiry ON {schema}.state (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
  `,
  `
  -- The last entry of a mark is found without looking at those before it.
  CREATE INDEX entry_mark_seq ON {schema}.entry (tenant, session_id, mark, seq) WHERE mark IS NOT NULL;
  DROP INDEX {schema}.entry_mark;
  `,
  `
  -- What the attempts of an owner's sessions used, day by day; it stays when sessions go.
  CREATE TABLE {schema}.usage_counter (
    tenant text COLLATE "C" NOT NULL,
    day integer NOT NULL,
    owner text COLLATE "C" NOT NULL,
    shard smallint NOT NULL,
    attempts bigint NOT NULL,
    attempts_without_usage bigint NOT NULL,
    attempts_without_cost bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost_micros bigint NOT NULL,
    PRIMARY KEY (tenant, day, owner, shard)
  ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
  -- Sums of counters over all owners, as of a time.
  CREATE TABLE {schema}.usage_total (
    tenant text COLLATE "C" NOT NULL,
    day integer NOT NULL,
    as_of_ms bigint NOT NULL,
    attempts bigint NOT NULL,
    attempts_without_usage bigint NOT NULL,
    attempts_without_cost bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost_micros bigint NOT NULL,
    PRIMARY KEY (tenant, day)
  ) WITH (fillfactor = 50);
  -- Attempts of sessions that were deleted.
  CREATE TABLE {schema}.usage_kept (
    tenant text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (tenant, session_id, seq)
  );
  -- What has been recorded until now; whose session it was then, nobody knows any more.
  INSERT INTO {schema}.usage_counter
    SELECT tenant, day, owner, 0, count(*), count(*) FILTER (WHERE coalesce(usage, 'null') = 'null'), count(*), coalesce(sum(round((usage::json ->> 'inputTokens')::numeric)), 0), coalesce(sum(round((usage::json ->> 'outputTokens')::numeric)), 0),
      coalesce(sum(round((usage::json ->> 'cachedInputTokens')::numeric)), 0), coalesce(sum(round((usage::json ->> 'reasoningTokens')::numeric)), 0), 0
    FROM (SELECT entry.tenant, session.owner, floor((entry.body::json ->> 'atMs')::numeric / 86400000)::integer AS day,
        (entry.body::json #> '{attempt,usage}')::text AS usage
      FROM {schema}.entry JOIN {schema}.session ON session.tenant = entry.tenant AND session.id = entry.session_id
      WHERE json_typeof(entry.body::json -> 'attempt') = 'object' AND entry.body::json -> 'copied' IS NULL) AS attempt
    GROUP BY tenant, day, owner;
  `,
];

/** The schema version that this version of Holdfast works with. */
export const schemaVersionLatest = migrations.length;

/** A day: a step that takes longer is none for a running system. */
const stepMsMax = 86_400_000;

/** As the database stands: 0 where there is no schema yet. */
export interface SchemaState {
  readonly version: number;
  readonly oldestVersion: number;
}

export async function readSchemaState(database: Database, schema: string): Promise<SchemaState> {
  const [exists] = await database.run({ text: `SELECT to_regclass($1) IS NOT NULL AS found`, values: [`${schema}.requirement`] });
  if (exists?.['found'] !== true) return { version: 0, oldestVersion: 0 };
  const [state] = await database.run({ text: `SELECT (SELECT max(version) FROM ${schema}.schema_version) AS version, (SELECT oldest_version FROM ${schema}.requirement) AS oldest_version` });
  return { version: Number(state?.['version']), oldestVersion: Number(state?.['oldest_version']) };
}

/**
 * Brings the schema up to `toVersion`, the latest by default. Safe from many processes at once, with no lock but the primary key of the version that a step inserts first: whoever comes second waits for
 * it and then finds it there. A newer schema is left as it is, if it says that this version may still work with it; else throws `StoreError` with code `store_unsupported`.
 */
export async function migrateDatabase(database: Database, schema: string, toVersion = schemaVersionLatest): Promise<void> {
  for (;;) {
    const { version, oldestVersion } = await readSchemaState(database, schema);
    if (oldestVersion > schemaVersionLatest) {
      throw new StoreError('store_unsupported', `the schema ${schema} has version ${version}, and asks for a newer version of Holdfast than this, which knows ${schemaVersionLatest}: update it`);
    }
    if (version >= toVersion) return;
    try {
      if (version === 0) await makeSchema(database, schema);
      await database.retrying(() => migrateStep(database, schema, version));
    } catch (error) {
      // Another process is at the same step.
      if (!isTakenByAnother(error)) throw error;
      await database.pause(1);
    }
  }
}

async function makeSchema(database: Database, schema: string): Promise<void> {
  // Asked first: whoever may not create schemas may still be given one.
  const [exists] = await database.run({ text: 'SELECT to_regnamespace($1) IS NOT NULL AS found', values: [schema] });
  if (exists?.['found'] !== true) await makeUnlessMade(database, `CREATE SCHEMA IF NOT EXISTS ${schema}`);
  await makeUnlessMade(database, `CREATE TABLE IF NOT EXISTS ${schema}.schema_version (version integer PRIMARY KEY)`);
}

async function makeUnlessMade(database: Database, text: string): Promise<void> {
  try {
    await database.run({ text });
  } catch (error) {
    if (!(error instanceof StoreError && madeMeanwhileCodes.has(codeOf(error.cause)))) throw error;
  }
}

/** However long it takes: a step may read a large table, and who comes second waits for all of it. */
async function migrateStep(database: Database, schema: string, from: number): Promise<void> {
  const begin = [{ text: 'SET LOCAL statement_timeout = 0' }, { text: `INSERT INTO ${schema}.schema_version VALUES (${from + 1})`, answerMs: stepMsMax }];
  await database.transaction(begin, () => Promise.resolve({ last: [{ text: (migrations[from] ?? '').replaceAll('{schema}', schema), answerMs: stepMsMax }], result: null }));
}

/** SQLSTATEs of a schema, a table or its type that another has made since it was looked whether it is there; IF NOT EXISTS does not keep two from that. */
const madeMeanwhileCodes: ReadonlySet<string> = new Set(['42P06', '42P07', '42710']);

/** A key that is taken: of a version, or of Postgres's own lists of schemas and types, where two make the same at once. */
function isTakenByAnother(error: unknown): boolean {
  return isTaken(error) || (error instanceof StoreError && isTaken(error.cause));
}
