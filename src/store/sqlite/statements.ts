import { countColumns } from '../usage-store.ts';
import type { Database, Statement } from './open-database.ts';

const sums = countColumns.map((column) => `sum(${column}) AS ${column}`).join(', ');

/** Every statement of the store, so that all database traffic can be read in one place. */
const statements = {
  sessionById: 'SELECT body FROM session WHERE tenant = ? AND id = ?',
  // Two owners may use one external id; without an owner it names a session only while it is the one.
  sessionsByExternalId: 'SELECT body FROM session WHERE tenant = ? AND external_id = ? LIMIT 2',
  sessionByExternalIdAndOwner: 'SELECT body FROM session WHERE tenant = ? AND external_id = ? AND owner = ?',
  insertSession: `INSERT INTO session
    (tenant, id, owner, agent, external_id, title_lower_case, status, archived, active_at_ms, due_at_ms, worker, fence, attempt_id, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  updateSession: `UPDATE session SET owner = ?, title_lower_case = ?, status = ?, archived = ?, active_at_ms = ?, due_at_ms = ?, worker = ?, fence = ?,
    attempt_id = ?, body = ? WHERE tenant = ? AND id = ?`,
  deleteSession: 'DELETE FROM session WHERE tenant = ? AND id = ?',

  insertEntry: 'INSERT INTO entry (tenant, session_id, seq, mark, body) VALUES (?, ?, ?, ?, ?)',
  entryBySeq: 'SELECT body FROM entry WHERE tenant = ? AND session_id = ? AND seq = ?',
  entriesAfter: 'SELECT body FROM entry WHERE tenant = ? AND session_id = ? AND seq > ? ORDER BY seq LIMIT ?',
  entriesBefore: 'SELECT body FROM entry WHERE tenant = ? AND session_id = ? AND seq > ? AND seq < ? ORDER BY seq DESC LIMIT ?',
  redactEntry: 'UPDATE entry SET body = ? WHERE tenant = ? AND session_id = ? AND seq = ?',
  deleteWholeResult: 'DELETE FROM whole_result WHERE tenant = ? AND session_id = ? AND id = ?',
  entryByMark: 'SELECT body FROM entry WHERE tenant = ? AND session_id = ? AND mark = ? ORDER BY seq DESC LIMIT 1',
  marks: 'SELECT seq, mark FROM entry WHERE tenant = ? AND session_id = ? AND mark >= ? AND mark < ?',
  // From one mark to the next in the index, past all entries that have it; ranges as JSON.
  lastMarks: `WITH RECURSIVE found (mark, before) AS (
    SELECT (SELECT min(mark) FROM entry WHERE tenant = $tenant AND session_id = $id AND mark >= asked.value ->> 'from' AND mark < asked.value ->> 'before'), asked.value ->> 'before' FROM json_each($ranges) AS asked
    UNION ALL SELECT (SELECT min(entry.mark) FROM entry WHERE tenant = $tenant AND session_id = $id AND entry.mark > found.mark AND entry.mark < found.before), before FROM found WHERE found.mark IS NOT NULL)
    SELECT mark, (SELECT max(seq) FROM entry WHERE tenant = $tenant AND session_id = $id AND entry.mark = found.mark) AS seq FROM found WHERE mark IS NOT NULL`,
  lastMarkWithin: 'SELECT max(seq) AS seq FROM entry WHERE tenant = ? AND session_id = ? AND mark = ? AND seq >= ? AND seq <= ?',
  deleteEntries: 'DELETE FROM entry WHERE tenant = ? AND session_id = ?',

  insertChunk: `INSERT INTO chunk (tenant, session_id, attempt_id, ordinal, segments)
    SELECT tenant, id, attempt_id, ?, ? FROM session WHERE tenant = ? AND id = ? AND fence = ? AND attempt_id = ?`,
  chunksAfter: 'SELECT ordinal, segments FROM chunk WHERE tenant = ? AND session_id = ? AND attempt_id = ? AND ordinal > ? ORDER BY ordinal',
  deleteChunks: 'DELETE FROM chunk WHERE tenant = ? AND session_id = ?',

  insertOutcome: `INSERT INTO outcome (tenant, session_id, step_seq, call_index, body)
    SELECT tenant, id, ?, ?, ? FROM session WHERE tenant = ? AND id = ? AND fence = ?
    ON CONFLICT DO NOTHING`,
  sessionExists: 'SELECT 1 FROM session WHERE tenant = ? AND id = ?',
  sessionHasFence: 'SELECT 1 FROM session WHERE tenant = ? AND id = ? AND fence = ?',
  outcomes: 'SELECT body FROM outcome WHERE tenant = ? AND session_id = ? AND step_seq = ? ORDER BY call_index',
  keepOutcome: 'INSERT INTO outcome (tenant, session_id, step_seq, call_index, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
  deleteOutcomes: 'DELETE FROM outcome WHERE tenant = ? AND session_id = ?',

  idempotencyByScope: 'SELECT fingerprint, http_status, reply FROM idempotency WHERE tenant = ? AND session_id = ? AND scope = ?',
  // Replaces only the reply of a deletion, when a session of the same external id was made and deleted again.
  insertIdempotency: `INSERT OR REPLACE INTO idempotency (tenant, session_id, scope, fingerprint, http_status, reply, expires_at_ms, created_session_id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  deleteIdempotency: 'DELETE FROM idempotency WHERE tenant = ? AND session_id = ?',
  // A reply is kept as long as its session's turn is open, however old it is. Those of turns that wait for days are passed, in order, and not looked at each time.
  expiredIdempotency: `SELECT tenant, session_id, scope, expires_at_ms, EXISTS (SELECT 1 FROM session WHERE session.tenant = idempotency.tenant
      AND session.id = coalesce(idempotency.created_session_id, idempotency.session_id)
      AND session.status IN ('ready', 'running', 'requires_action', 'waiting')) AS is_open
    FROM idempotency WHERE expires_at_ms < ? AND (expires_at_ms, tenant, session_id, scope) > (?, ?, ?, ?)
    ORDER BY expires_at_ms, tenant, session_id, scope LIMIT ?`,
  deleteExpired: 'DELETE FROM idempotency WHERE tenant = ? AND session_id = ? AND scope = ?',

  insertOperation: `INSERT INTO operation (tenant, id, session_id, owner, agent, created_at_ms, status, worker, fence, due_at_ms, live_key, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  updateOperation: 'UPDATE operation SET status = ?, worker = ?, fence = ?, due_at_ms = ?, live_key = ?, body = ? WHERE tenant = ? AND id = ?',
  operationById: 'SELECT body FROM operation WHERE tenant = ? AND id = ?',
  operationByLiveKey: 'SELECT body FROM operation WHERE tenant = ? AND live_key = ?',
  operationsById: 'SELECT id, body FROM operation WHERE tenant = ? AND id IN (SELECT value FROM json_each(?))',
  operationsOfSession: 'SELECT body FROM operation WHERE tenant = ? AND session_id = ? AND id < ? ORDER BY id DESC LIMIT ?',
  operationsOfSessionByStatus: 'SELECT body FROM operation WHERE tenant = ? AND session_id = ? AND id < ? AND status = ? ORDER BY id DESC LIMIT ?',
  operationsOfWorker: 'SELECT tenant, id, fence FROM operation WHERE worker = ?',
  orphanedOperations: 'SELECT tenant, id, agent, created_at_ms FROM operation WHERE worker = ? AND agent IN (SELECT value FROM json_each(?)) ORDER BY created_at_ms LIMIT ?',
  unclaimedOperations: 'SELECT tenant, id, agent, created_at_ms FROM operation WHERE due_at_ms = 0 AND agent IN (SELECT value FROM json_each(?)) ORDER BY created_at_ms LIMIT ?',
  dueOperations: 'SELECT tenant, id, agent, created_at_ms FROM operation WHERE due_at_ms > 0 AND due_at_ms <= ? AND agent IN (SELECT value FROM json_each(?)) ORDER BY due_at_ms LIMIT ?',
  // From one tenant to the next in the index, past all that each of them has.
  tenantsWithDueOperations: `WITH RECURSIVE found (tenant) AS (
    SELECT min(tenant) FROM operation WHERE due_at_ms IS NOT NULL
    UNION ALL SELECT (SELECT min(operation.tenant) FROM operation WHERE operation.due_at_ms IS NOT NULL AND operation.tenant > found.tenant) FROM found WHERE found.tenant IS NOT NULL)
    SELECT tenant FROM found WHERE tenant IS NOT NULL`,
  unclaimedOperationsOfTenants: `SELECT operation.tenant, operation.id, operation.agent, operation.created_at_ms FROM json_each(?) AS asked JOIN operation ON operation.rowid IN (
    SELECT rowid FROM operation WHERE tenant = asked.value AND due_at_ms = 0 AND agent IN (SELECT value FROM json_each(?)) ORDER BY created_at_ms LIMIT ?)`,
  dueOperationsOfTenants: `SELECT operation.tenant, operation.id, operation.agent, operation.created_at_ms FROM json_each(?) AS asked JOIN operation ON operation.rowid IN (
    SELECT rowid FROM operation WHERE tenant = asked.value AND due_at_ms > 0 AND due_at_ms <= ? AND agent IN (SELECT value FROM json_each(?)) ORDER BY due_at_ms LIMIT ?)`,
  changeOwnerOfOperations: "UPDATE operation SET owner = ?, body = json_set(body, '$.owner', ?) WHERE tenant = ? AND session_id = ?",
  deleteOperations: 'DELETE FROM operation WHERE tenant = ? AND session_id = ?',

  insertBranch: 'INSERT INTO branch (tenant, session_id, id, body) VALUES (?, ?, ?, ?)',
  branchById: 'SELECT body FROM branch WHERE tenant = ? AND session_id = ? AND id = ?',
  branches: 'SELECT body FROM branch WHERE tenant = ? AND session_id = ? AND id < ? ORDER BY id DESC LIMIT ?',
  deleteBranch: 'DELETE FROM branch WHERE tenant = ? AND session_id = ? AND id = ?',
  deleteBranches: 'DELETE FROM branch WHERE tenant = ? AND session_id = ?',

  insertWholeResult: `INSERT INTO whole_result (tenant, session_id, id, body)
    SELECT tenant, id, ?, ? FROM session WHERE tenant = ? AND id = ?
    ON CONFLICT DO NOTHING`,
  wholeResult: 'SELECT body FROM whole_result WHERE tenant = ? AND session_id = ? AND id = ?',
  deleteWholeResults: 'DELETE FROM whole_result WHERE tenant = ? AND session_id = ?',

  stateScopes: 'SELECT scope_key AS scopeKey, scope AS scopeText, last_version AS lastVersion FROM state_scope WHERE tenant = ? AND scope_key > ? ORDER BY scope_key LIMIT ?',
  stateScope: 'SELECT last_version FROM state_scope WHERE tenant = ? AND scope_key = ?',
  putStateScope: `INSERT INTO state_scope (tenant, scope_key, scope, last_version) VALUES (?, ?, ?, ?)
    ON CONFLICT (tenant, scope_key) DO UPDATE SET last_version = excluded.last_version`,
  stateKeys: 'SELECT key FROM state WHERE tenant = ? AND scope_key = ? AND (expires_at_ms IS NULL OR expires_at_ms > ?)',
  stateItems: `SELECT key, version, body, provenance, expires_at_ms FROM state
    WHERE tenant = ? AND scope_key = ? AND (expires_at_ms IS NULL OR expires_at_ms > ?) AND key IN (SELECT value FROM json_each(?))`,
  putState: `INSERT INTO state (tenant, scope_key, key, version, body, provenance, expires_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (tenant, scope_key, key) DO UPDATE SET version = excluded.version, body = excluded.body, provenance = excluded.provenance, expires_at_ms = excluded.expires_at_ms`,
  deleteState: 'DELETE FROM state WHERE tenant = ? AND scope_key = ? AND key = ?',
  deleteExpiredState: 'DELETE FROM state WHERE tenant = ? AND scope_key = ? AND expires_at_ms <= ?',
  sweepState: 'DELETE FROM state WHERE rowid IN (SELECT rowid FROM state WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?)',
  clearState: 'DELETE FROM state WHERE tenant = ? AND scope_key = ?',

  countUsage: `INSERT INTO usage_counter (tenant, day, owner, shard, ${countColumns.join(', ')}) VALUES (?, ?, ?, ?, ${countColumns.map(() => '?').join(', ')})
    ON CONFLICT (tenant, day, owner, shard) DO UPDATE SET ${countColumns.map((column) => `${column} = ${column} + excluded.${column}`).join(', ')}`,
  keepAttempts: `INSERT INTO usage_kept (tenant, session_id, seq, body) SELECT tenant, session_id, seq,
      json_object('kind', json_extract(body, '$.kind'), 'atMs', json_extract(body, '$.atMs'), 'attempt', json_extract(body, '$.attempt'), 'late', json_extract(body, '$.late'))
    FROM entry WHERE tenant = ? AND session_id = ? AND json_type(body, '$.copied') IS NULL AND json_type(body, '$.scripted') IS NULL AND (json_type(body, '$.attempt') = 'object' OR json_extract(body, '$.kind') = 'late-usage')`,
  keepAttempt: 'INSERT INTO usage_kept (tenant, session_id, seq, body) VALUES (?, ?, ?, ?)',
  forgetUsageTotal: 'DELETE FROM usage_total WHERE tenant = ? AND day = ?',
  keptSeqs: 'SELECT seq FROM usage_kept WHERE tenant = ? AND session_id = ?',
  deleteKept: 'DELETE FROM usage_kept WHERE tenant = ? AND session_id = ? AND seq = ?',
  // Below all that have been moved before.
  moveKept: 'UPDATE usage_kept SET seq = (SELECT min(0, min(seq)) FROM usage_kept WHERE tenant = ? AND session_id = ?) - seq WHERE tenant = ? AND session_id = ? AND seq > 0',
  countKept: "SELECT count(*) FROM usage_kept WHERE tenant = ? AND session_id = ? AND json_type(body, '$.attempt') = 'object'",
  // From day to day, so that of a day with many owners only one is looked at.
  usageOfOwner: `SELECT day, ${sums} FROM json_each(?) AS asked CROSS JOIN usage_counter ON tenant = ? AND day = asked.value AND owner = ? GROUP BY day ORDER BY day`,
  usageOfTenant: `SELECT day, ${sums} FROM usage_counter WHERE tenant = ? AND day >= ? AND day <= ? GROUP BY day ORDER BY day`,

  usageTotals: 'SELECT * FROM usage_total WHERE tenant = ? AND day >= ? AND day <= ?',
  keepUsageTotal: `INSERT INTO usage_total (tenant, day, as_of_ms, ${countColumns.join(', ')}) VALUES (?, ?, ?, ${countColumns.map(() => '?').join(', ')})
    ON CONFLICT (tenant, day) DO UPDATE SET as_of_ms = excluded.as_of_ms, ${countColumns.map((column) => `${column} = excluded.${column}`).join(', ')} WHERE as_of_ms <= excluded.as_of_ms`,

  insertOutbox: 'INSERT INTO outbox (tenant, session_id, seq, kind, at_ms) VALUES (?, ?, ?, ?, ?)',
  outboxUntil: 'SELECT tenant, session_id, seq, kind FROM outbox WHERE at_ms <= ? ORDER BY at_ms LIMIT ?',
  deleteOutboxItem: 'DELETE FROM outbox WHERE tenant = ? AND session_id = ? AND seq = ?',
  deleteOutbox: 'DELETE FROM outbox WHERE tenant = ? AND session_id = ?',

  insertWorker: 'INSERT INTO worker (id, lease_until_ms, agents, schema_version) VALUES (?, ?, ?, ?)',
  renewWorker: 'UPDATE worker SET lease_until_ms = ? WHERE id = ? AND lease_until_ms > ?',
  deleteWorker: 'DELETE FROM worker WHERE id = ?',
  workers: 'SELECT id, lease_until_ms, agents, schema_version FROM worker',
  workerIsNamed: 'SELECT 1 WHERE EXISTS (SELECT 1 FROM session WHERE worker = ?) OR EXISTS (SELECT 1 FROM operation WHERE worker = ?)',
  sessionsOfWorker: 'SELECT tenant, id, agent, fence FROM session WHERE worker = ?',
  // A worker that is named nowhere as live: its row is gone, yet a session or an operation still names it.
  strayWorkers: `SELECT worker FROM session WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM worker)
    UNION SELECT worker FROM operation WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM worker)`,
  // Two looks into an index, where what follows opens a list of names for each: mostly nothing is due.
  someSessionIsDue: 'SELECT 1 WHERE EXISTS (SELECT 1 FROM session WHERE due_at_ms = 0) OR EXISTS (SELECT 1 FROM session WHERE due_at_ms > 0 AND due_at_ms <= ?)',
  someOperationIsDue: 'SELECT 1 WHERE EXISTS (SELECT 1 FROM operation WHERE due_at_ms = 0) OR EXISTS (SELECT 1 FROM operation WHERE due_at_ms > 0 AND due_at_ms <= ?)',
  unclaimedSessions: 'SELECT tenant, id, agent, active_at_ms FROM session WHERE due_at_ms = 0 AND agent IN (SELECT value FROM json_each(?)) ORDER BY active_at_ms LIMIT ?',
  dueSessions: 'SELECT tenant, id, agent, active_at_ms FROM session WHERE due_at_ms > 0 AND due_at_ms <= ? AND agent IN (SELECT value FROM json_each(?)) ORDER BY due_at_ms LIMIT ?',
  // From one tenant to the next in the index, past all that each of them has.
  tenantsWithDue: `WITH RECURSIVE found (tenant) AS (
    SELECT min(tenant) FROM session WHERE due_at_ms IS NOT NULL
    UNION ALL SELECT (SELECT min(session.tenant) FROM session WHERE session.due_at_ms IS NOT NULL AND session.tenant > found.tenant) FROM found WHERE found.tenant IS NOT NULL)
    SELECT tenant FROM found WHERE tenant IS NOT NULL`,
  unclaimedSessionsOfTenants: `SELECT session.tenant, session.id, session.agent, session.active_at_ms FROM json_each(?) AS asked JOIN session ON session.rowid IN (
    SELECT rowid FROM session WHERE tenant = asked.value AND due_at_ms = 0 AND agent IN (SELECT value FROM json_each(?)) ORDER BY active_at_ms LIMIT ?)`,
  dueSessionsOfTenants: `SELECT session.tenant, session.id, session.agent, session.active_at_ms FROM json_each(?) AS asked JOIN session ON session.rowid IN (
    SELECT rowid FROM session WHERE tenant = asked.value AND due_at_ms > 0 AND due_at_ms <= ? AND agent IN (SELECT value FROM json_each(?)) ORDER BY due_at_ms LIMIT ?)`,
} as const;

export type StatementName = keyof typeof statements;

/** The statements, prepared when first used. */
export class PreparedStatements {
  readonly #database: Database;
  readonly #prepared = new Map<StatementName, Statement>();

  constructor(database: Database) {
    this.#database = database;
  }

  get(name: StatementName): Statement {
    let statement = this.#prepared.get(name);
    if (statement === undefined) {
      statement = this.#database.prepare(statements[name]);
      this.#prepared.set(name, statement);
    }
    return statement;
  }
}
