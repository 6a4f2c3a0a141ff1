import { countColumns } from '../usage-store.ts';
import type { Dialect } from './dialect.ts';

/** The database's time in milliseconds since the epoch; a test may give another as $1. */
const now = '(SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint))';

/** The session's row, kept from being changed until the end of the transaction. See `Dialect.lock`. */
function heldRow(dialect: Dialect, columns: string, condition: string): string {
  return dialect.lock === 'clause'
    ? `SELECT ${columns} FROM {schema}.session WHERE ${condition} FOR NO KEY UPDATE`
    : `UPDATE {schema}.session SET stored_beside = stored_beside + 1 WHERE ${condition} RETURNING ${columns}`;
}

/** What a change needs to know, as rows of one snapshot: the session (s), its stored outcomes (o), the replies under idempotency keys (k). $1 tenant, $2 id, $3 owner or null, $4 scopes of keys. */
function loadedBy(condition: string): string {
  return `WITH found AS (SELECT id, commit_id, body FROM {schema}.session WHERE tenant = $1 AND ${condition} AND ($3::text IS NULL OR owner = $3) LIMIT 2)
    SELECT 's' AS what, id AS key, NULL AS scope, 0 AS number, commit_id AS mark, body FROM found
    UNION ALL SELECT 'o', NULL, NULL, outcome.step_seq, NULL, outcome.body FROM {schema}.outcome, found WHERE outcome.tenant = $1 AND outcome.session_id = found.id
    UNION ALL SELECT 'k', session_id, scope, http_status, fingerprint, reply FROM {schema}.idempotency
      WHERE tenant = $1 AND (session_id = '' OR session_id IN (SELECT id FROM found)) AND scope = ANY($4::text[])
    ORDER BY what`;
}

/** A stretch of a session's end as rows of one snapshot: the session (s), its entries after $3, at most $4 (e), the live output of its attempt after an ordinal (c), its operations that live (o). */
function tailBy(condition: string): string {
  return `WITH found AS (SELECT tenant, id, attempt_id, body FROM {schema}.session WHERE tenant = $1 AND ${condition} AND ($3::text IS NULL OR owner = $3) LIMIT 2)
    SELECT 's' AS what, 0::bigint AS place, body FROM found
    UNION ALL SELECT 'e', entry.seq, entry.body FROM found, LATERAL (SELECT seq, body FROM {schema}.entry WHERE tenant = $1 AND session_id = found.id AND seq > $4 ORDER BY seq LIMIT $5) AS entry
    UNION ALL SELECT 'c', chunk.ordinal, chunk.segments FROM found, {schema}.chunk
      WHERE chunk.tenant = $1 AND chunk.session_id = found.id AND chunk.attempt_id = found.attempt_id AND chunk.ordinal > CASE WHEN found.attempt_id = $6 THEN $7::integer ELSE -1 END
    UNION ALL SELECT 'o', 0, operation.body FROM found, {schema}.operation WHERE operation.tenant = $1 AND operation.session_id = found.id AND operation.status IN ('queued', 'running')`;
}

/** Rows due by now, at most $3 of each reason, for the agents $2; those of dead workers ($4) come on top. */
function due(table: 'session' | 'operation', since: 'active_at_ms' | 'created_at_ms'): string {
  const columns = `tenant, id, agent, ${since} AS since_ms`;
  return `(SELECT 'unclaimed' AS reason, ${columns} FROM {schema}.${table} WHERE due_at_ms = 0 AND agent = ANY($2::text[]) ORDER BY ${since} LIMIT $3)
    UNION ALL (SELECT 'due', ${columns} FROM {schema}.${table} WHERE due_at_ms > 0 AND due_at_ms <= $1 AND agent = ANY($2::text[]) ORDER BY due_at_ms LIMIT $3)
    UNION ALL (SELECT 'orphaned', ${columns} FROM {schema}.${table} WHERE worker = ANY($4::text[]) AND agent = ANY($2::text[]) ORDER BY ${since} LIMIT $3)`;
}

/** Tenants that may have something due: from one to the next in the index, past all that each of them has. */
function tenantsWithDue(table: 'session' | 'operation'): string {
  return `WITH RECURSIVE found (tenant) AS (
    (SELECT tenant FROM {schema}.${table} WHERE due_at_ms IS NOT NULL ORDER BY tenant LIMIT 1)
    UNION ALL SELECT (SELECT next.tenant FROM {schema}.${table} AS next WHERE next.due_at_ms IS NOT NULL AND next.tenant > found.tenant ORDER BY next.tenant LIMIT 1) FROM found WHERE found.tenant IS NOT NULL)
    SELECT tenant FROM found WHERE tenant IS NOT NULL`;
}

/** The oldest due of each of the tenants $4, at most $3 of each reason. */
function dueOfTenants(table: 'session' | 'operation', since: 'active_at_ms' | 'created_at_ms'): string {
  const columns = `tenant, id, agent, ${since} AS since_ms`;
  return `SELECT found.* FROM unnest($4::text[]) AS asked (tenant), LATERAL (
      (SELECT ${columns} FROM {schema}.${table} WHERE tenant = asked.tenant AND due_at_ms = 0 AND agent = ANY($2::text[]) ORDER BY ${since} LIMIT $3)
      UNION ALL (SELECT ${columns} FROM {schema}.${table} WHERE tenant = asked.tenant AND due_at_ms > 0 AND due_at_ms <= $1 AND agent = ANY($2::text[]) ORDER BY due_at_ms LIMIT $3)) AS found`;
}

/** The statements about sessions and what is theirs; what a change writes is put together in `change-writer.ts`. */
function sessionTexts(dialect: Dialect) {
  return {
    sessionById: 'SELECT body FROM {schema}.session WHERE tenant = $1 AND id = $2 AND ($3::text IS NULL OR owner = $3) LIMIT 2',
    // Two owners may use one external id; without an owner it names a session only while it is the one.
    sessionByExternalId: 'SELECT body FROM {schema}.session WHERE tenant = $1 AND external_id = $2 AND ($3::text IS NULL OR owner = $3) LIMIT 2',
    loadedById: loadedBy('id = $2'),
    loadedByExternalId: loadedBy('external_id = $2'),
    tailById: tailBy('id = $2'),
    tailByExternalId: tailBy('external_id = $2'),
    // Reads nothing but the row that it locks: what others committed while it waited, only a later statement sees. `sees_all`: whether that one does see all of it, or the row would have been changed with it.
    lockSession: `SELECT ${dialect.lock === 'clause' ? "current_setting('transaction_isolation') = 'read committed'" : 'true'} AS sees_all FROM {schema}.session WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE`,
    landed: `SELECT commit_id, EXISTS (SELECT 1 FROM {schema}.entry WHERE tenant = $1 AND session_id = $2 AND seq = $3 AND commit_id = ANY($4::text[])) AS entry_landed
      FROM {schema}.session WHERE tenant = $1 AND id = $2`,

    contents: 'SELECT seq, body FROM {schema}.entry WHERE tenant = $1 AND session_id = $2 AND seq = ANY($3::bigint[])',
    entriesAfter: 'SELECT body FROM {schema}.entry WHERE tenant = $1 AND session_id = $2 AND seq > $3 ORDER BY seq LIMIT $4',
    entriesBefore: 'SELECT body FROM {schema}.entry WHERE tenant = $1 AND session_id = $2 AND seq > $3 AND seq < $4 ORDER BY seq DESC LIMIT $5',

    entryByMark: 'SELECT body FROM {schema}.entry WHERE tenant = $1 AND session_id = $2 AND mark = $3 ORDER BY seq DESC LIMIT 1',
    marks: 'SELECT seq, mark FROM {schema}.entry WHERE tenant = $1 AND session_id = $2 AND mark >= $3 AND mark < $4',
    // From one mark to the next in the index, past all entries that have it: of the ranges $3 to before $4.
    lastMarks: `WITH RECURSIVE found (mark, before) AS (
      SELECT (SELECT mark FROM {schema}.entry WHERE tenant = $1 AND session_id = $2 AND mark >= asked.lowest AND mark < asked.before ORDER BY mark LIMIT 1), asked.before FROM unnest($3::text[], $4::text[]) AS asked (lowest, before)
      UNION ALL SELECT (SELECT mark FROM {schema}.entry WHERE tenant = $1 AND session_id = $2 AND mark > found.mark AND mark < found.before ORDER BY mark LIMIT 1), found.before FROM found WHERE found.mark IS NOT NULL)
      SELECT mark, (SELECT seq FROM {schema}.entry WHERE tenant = $1 AND session_id = $2 AND mark = found.mark ORDER BY seq DESC LIMIT 1) AS seq FROM found WHERE mark IS NOT NULL`,
    // Of the marks $3 the last entry in each of the stretches from $4 to $5.
    lastMarksWithin: `SELECT asked.mark, found.seq FROM unnest($3::text[]) AS asked (mark), unnest($4::bigint[], $5::bigint[]) AS stretch (from_seq, to_seq),
      LATERAL (SELECT seq FROM {schema}.entry WHERE tenant = $1 AND session_id = $2 AND entry.mark = asked.mark AND seq >= stretch.from_seq AND seq <= stretch.to_seq ORDER BY seq DESC LIMIT 1) AS found`,
    branchById: 'SELECT body FROM {schema}.branch WHERE tenant = $1 AND session_id = $2 AND id = $3',
    branches: 'SELECT body FROM {schema}.branch WHERE tenant = $1 AND session_id = $2 AND ($3::text IS NULL OR id < $3) ORDER BY id DESC LIMIT $4',

    appendChunk: `WITH held AS (${heldRow(dialect, 'tenant, id, attempt_id', 'tenant = $1 AND id = $2 AND fence = $3 AND attempt_id = $4')}),
      stored AS (INSERT INTO {schema}.chunk (tenant, session_id, attempt_id, ordinal, segments) SELECT tenant, id, attempt_id, $5, $6 FROM held ON CONFLICT DO NOTHING)
      SELECT 1 AS held FROM held`,
    chunks: 'SELECT segments FROM {schema}.chunk WHERE tenant = $1 AND session_id = $2 AND attempt_id = $3 ORDER BY ordinal',
    // What a change has read of outcomes is as of the row's commit id.
    storeOutcome: `WITH held AS (UPDATE {schema}.session SET commit_id = $4 WHERE tenant = $1 AND id = $2 AND fence = $3 RETURNING tenant, id),
      stored AS (INSERT INTO {schema}.outcome (tenant, session_id, step_seq, call_index, body) SELECT tenant, id, $5, $6, $7 FROM held ON CONFLICT DO NOTHING)
      SELECT 1 AS held FROM held`,
    storeWholeResult: `WITH held AS (${heldRow(dialect, 'tenant, id', 'tenant = $1 AND id = $2')}),
      stored AS (INSERT INTO {schema}.whole_result (tenant, session_id, id, body) SELECT tenant, id, $3, $4 FROM held ON CONFLICT DO NOTHING)
      SELECT 1 AS held FROM held`,
    wholeResult: 'SELECT body FROM {schema}.whole_result WHERE tenant = $1 AND session_id = $2 AND id = $3',

    expiredReplies: `SELECT tenant, session_id, scope, expires_at_ms, EXISTS (SELECT 1 FROM {schema}.session WHERE session.tenant = idempotency.tenant
        AND session.id = coalesce(idempotency.created_session_id, idempotency.session_id)
        AND session.status IN ('ready', 'running', 'requires_action', 'waiting')) AS is_open
      FROM {schema}.idempotency WHERE expires_at_ms < $1 AND (expires_at_ms, tenant, session_id, scope) > ($2, $3, $4, $5)
      ORDER BY expires_at_ms, tenant, session_id, scope LIMIT $6`,
    // A key that another sweep has dropped may be in use again by now.
    deleteExpired: `DELETE FROM {schema}.idempotency USING unnest($1::text[], $2::text[]) AS gone (session_id, scope)
      WHERE idempotency.tenant = $3 AND idempotency.session_id = gone.session_id AND idempotency.scope = gone.scope AND idempotency.expires_at_ms < $4`,

  } as const;
}

/** The statements about state beside sessions. What a scope holds is changed under the lock of its row. */
function stateTexts(dialect: Dialect) {
  return {
    stateScopes: 'SELECT scope_key, scope, last_version FROM {schema}.state_scope WHERE tenant = $1 AND scope_key > $2 ORDER BY scope_key LIMIT $3',
    makeStateScope: 'INSERT INTO {schema}.state_scope (tenant, scope_key, scope, last_version) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING',
    lockStateScope: dialect.lock === 'clause'
      ? 'SELECT last_version FROM {schema}.state_scope WHERE tenant = $1 AND scope_key = $2 FOR NO KEY UPDATE'
      : 'UPDATE {schema}.state_scope SET last_version = last_version WHERE tenant = $1 AND scope_key = $2 RETURNING last_version',
    setStateScope: 'UPDATE {schema}.state_scope SET last_version = $3 WHERE tenant = $1 AND scope_key = $2',
    stateKeys: 'SELECT key FROM {schema}.state WHERE tenant = $1 AND scope_key = $2 AND (expires_at_ms IS NULL OR expires_at_ms > $3)',
    stateItems: `SELECT key, version, body, provenance, expires_at_ms FROM {schema}.state
      WHERE tenant = $1 AND scope_key = $2 AND (expires_at_ms IS NULL OR expires_at_ms > $3) AND key = ANY($4::text[])`,
    deleteState: 'DELETE FROM {schema}.state WHERE tenant = $1 AND scope_key = $2 AND ($4::boolean OR key = ANY($3::text[]) OR expires_at_ms <= $5)',
    expiredState: 'SELECT tenant, scope_key, key FROM {schema}.state WHERE expires_at_ms <= $1 ORDER BY expires_at_ms LIMIT $2',
    dropExpiredState: `DELETE FROM {schema}.state USING unnest($2::text[], $3::text[]) AS gone (scope_key, key)
      WHERE state.tenant = $1 AND state.scope_key = gone.scope_key AND state.key = gone.key AND state.expires_at_ms <= $4`,
    putState: `INSERT INTO {schema}.state (tenant, scope_key, key, version, body, provenance, expires_at_ms)
      SELECT $1, $2, given.* FROM unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[]) AS given
      ON CONFLICT (tenant, scope_key, key) DO UPDATE SET version = excluded.version, body = excluded.body, provenance = excluded.provenance, expires_at_ms = excluded.expires_at_ms`,
    keptReplies: "SELECT scope, fingerprint, http_status, reply FROM {schema}.idempotency WHERE tenant = $1 AND session_id = '' AND scope = ANY($2::text[])",
    keepReply: "INSERT INTO {schema}.idempotency (tenant, session_id, scope, fingerprint, http_status, reply, expires_at_ms) VALUES ($1, '', $2, $3, $4, $5, $6)",
  } as const;
}

/** The statements about work: operations, workers, what is due. */
function workTexts() {
  return {
    operationById: 'SELECT commit_id, body FROM {schema}.operation WHERE tenant = $1 AND id = $2',
    lockOperation: 'SELECT commit_id, body FROM {schema}.operation WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE',
    lockOperations: 'SELECT id, body FROM {schema}.operation WHERE tenant = $1 AND id = ANY($2::text[]) ORDER BY id FOR NO KEY UPDATE',
    redactEntries: 'UPDATE {schema}.entry SET body = given.body FROM unnest($3::bigint[], $4::text[]) AS given (seq, body) WHERE entry.tenant = $1 AND entry.session_id = $2 AND entry.seq = given.seq',
    deleteWholeResults: 'DELETE FROM {schema}.whole_result WHERE tenant = $1 AND session_id = $2 AND id = ANY($3::text[])',
    operationsOfSessionToChange: 'SELECT id, body FROM {schema}.operation WHERE tenant = $1 AND session_id = $2 ORDER BY id FOR NO KEY UPDATE',
    changeOwnerOfOperations: `UPDATE {schema}.operation SET owner = $2, commit_id = $3, body = given.body FROM unnest($4::text[], $5::text[]) AS given (id, body) WHERE operation.tenant = $1 AND operation.id = given.id`,
    updateOperation: `UPDATE {schema}.operation SET commit_id = $4, status = $5, worker = $6, fence = $7, due_at_ms = $8, live_key = $9, body = $10
      WHERE tenant = $1 AND id = $2 AND ($3::text IS NULL OR commit_id = $3) RETURNING 1 AS held`,
    operationsByLiveKeys: 'SELECT body FROM {schema}.operation WHERE tenant = $1 AND live_key = ANY($2::text[])',
    operationsOfSession: `SELECT body FROM {schema}.operation WHERE tenant = $1 AND session_id = $2 AND ($3::text IS NULL OR id < $3) AND ($4::text IS NULL OR status = $4) ORDER BY id DESC LIMIT $5`,
    operationsOfWorker: 'SELECT tenant, id, fence FROM {schema}.operation WHERE worker = $1',

    outboxUntil: 'SELECT tenant, session_id, seq, kind FROM {schema}.outbox WHERE at_ms <= $1 ORDER BY at_ms LIMIT $2',
    deleteOutboxItem: 'DELETE FROM {schema}.outbox WHERE tenant = $1 AND session_id = $2 AND seq = $3',

    registerWorker: `INSERT INTO {schema}.worker (id, lease_until_ms, agents, schema_version) VALUES ($2, ${now} + $3, $4, $5) ON CONFLICT (id) DO NOTHING`,
    renewWorker: `WITH renewed AS (UPDATE {schema}.worker SET lease_until_ms = ${now} + $3 WHERE id = $2 AND lease_until_ms > ${now} RETURNING id)
      SELECT ${now} AS now_ms, (SELECT oldest_version FROM {schema}.requirement) AS oldest_version, held.tenant, held.id, held.fence
      FROM renewed LEFT JOIN {schema}.session AS held ON held.worker = renewed.id`,
    sessionsOfWorker: 'SELECT tenant, id, fence FROM {schema}.session WHERE worker = $1',
    deleteWorker: 'DELETE FROM {schema}.worker WHERE id = $1',
    // Dead are those whose lease has run out, and those that are named as live and have no row any more.
    workers: `SELECT id, lease_until_ms, agents, schema_version, ${now} AS now_ms FROM {schema}.worker`,
    deadWorkers: `SELECT ${now} AS now_ms, (SELECT coalesce(json_agg(json_build_array(id, lease_until_ms)), '[]')::text FROM {schema}.worker) AS workers, (SELECT coalesce(json_agg(worker), '[]')::text FROM (
        SELECT worker FROM {schema}.session WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM {schema}.worker)
        UNION SELECT worker FROM {schema}.operation WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM {schema}.worker)) AS stray) AS stray`,
    forgetWorkers: `DELETE FROM {schema}.worker WHERE id = ANY($1::text[])
      AND NOT EXISTS (SELECT 1 FROM {schema}.session WHERE session.worker = {schema}.worker.id) AND NOT EXISTS (SELECT 1 FROM {schema}.operation WHERE operation.worker = {schema}.worker.id)`,
    time: `SELECT ${now} AS now_ms`,

    dueSessions: due('session', 'active_at_ms'),
    dueOperations: due('operation', 'created_at_ms'),
    tenantsWithDueSessions: tenantsWithDue('session'),
    tenantsWithDueOperations: tenantsWithDue('operation'),
    dueSessionsOfTenants: dueOfTenants('session', 'active_at_ms'),
    dueOperationsOfTenants: dueOfTenants('operation', 'created_at_ms'),
  } as const;
}

const sums = countColumns.map((column) => `sum(${column})::bigint AS ${column}`).join(', ');

/** The statements that read what was counted. */
const usageTexts = {
  // From day to day, so that of a day with many owners only one is looked at.
  usageOfOwner: `SELECT asked.day, counted.* FROM generate_series($2::integer, $3::integer) AS asked (day),
    LATERAL (SELECT count(*) AS shards, ${sums} FROM {schema}.usage_counter WHERE tenant = $1 AND day = asked.day AND owner = $4) AS counted WHERE counted.shards > 0 ORDER BY asked.day`,
  usageOfTenant: `SELECT day, ${sums} FROM {schema}.usage_counter WHERE tenant = $1 AND day >= $2 AND day <= $3 GROUP BY day ORDER BY day`,
  usageTotals: 'SELECT * FROM {schema}.usage_total WHERE tenant = $1 AND day >= $2 AND day <= $3',
  keepUsageTotals: `INSERT INTO {schema}.usage_total AS total (tenant, day, as_of_ms, ${countColumns.join(', ')})
    SELECT $1, given.* FROM unnest($2::integer[], $3::bigint[], ${countColumns.map((_, place) => `$${place + 4}::bigint[]`).join(', ')}) AS given (day, as_of_ms, ${countColumns.join(', ')}) ORDER BY given.day
    ON CONFLICT (tenant, day) DO UPDATE SET as_of_ms = excluded.as_of_ms, ${countColumns.map((column) => `${column} = excluded.${column}`).join(', ')} WHERE total.as_of_ms <= excluded.as_of_ms`,
  countKept: "SELECT count(*) AS count FROM {schema}.usage_kept WHERE tenant = $1 AND session_id = $2 AND json_typeof(body::json -> 'attempt') = 'object'",
} as const;

export type StatementName = keyof typeof usageTexts | keyof ReturnType<typeof sessionTexts> | keyof ReturnType<typeof workTexts> | keyof ReturnType<typeof stateTexts>;

/** The fixed statements for one schema on one engine. All database traffic can be read in this file and in `change-writer.ts`. */
export class Statements {
  readonly #texts: Readonly<Record<StatementName, string>>;

  constructor(schema: string, dialect: Dialect) {
    const all = Object.entries({ ...sessionTexts(dialect), ...workTexts(), ...stateTexts(dialect), ...usageTexts }).map(([name, text]) => [name, text.replaceAll('{schema}', schema)]);
    this.#texts = Object.fromEntries(all) as Record<StatementName, string>;
  }

  get(name: StatementName, ...values: readonly unknown[]): { readonly name: string; readonly text: string; readonly values: readonly unknown[] } {
    return { name, text: this.#texts[name], values };
  }
}
