import type { Database, Statement } from './open-database.ts';

/** Every statement of the store, so that all database traffic can be read in one place. */
const statements = {
  sessionById: 'SELECT body FROM session WHERE tenant = ? AND id = ?',
  // Two owners may use one external id; without an owner it names a session only while it is the one.
  sessionsByExternalId: 'SELECT body FROM session WHERE tenant = ? AND external_id = ? LIMIT 2',
  sessionByExternalIdAndOwner: 'SELECT body FROM session WHERE tenant = ? AND external_id = ? AND owner = ?',
  insertSession: `INSERT INTO session
    (tenant, id, owner, agent, external_id, title_lower_case, status, archived, active_at_ms, due_at_ms, worker, fence, attempt_id, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  updateSession: `UPDATE session SET title_lower_case = ?, status = ?, archived = ?, active_at_ms = ?, due_at_ms = ?, worker = ?, fence = ?,
    attempt_id = ?, body = ? WHERE tenant = ? AND id = ?`,
  deleteSession: 'DELETE FROM session WHERE tenant = ? AND id = ?',

  insertEntry: 'INSERT INTO entry (tenant, session_id, seq, body) VALUES (?, ?, ?, ?)',
  entryBySeq: 'SELECT body FROM entry WHERE tenant = ? AND session_id = ? AND seq = ?',
  entriesAfter: 'SELECT body FROM entry WHERE tenant = ? AND session_id = ? AND seq > ? ORDER BY seq LIMIT ?',
  entriesBefore: 'SELECT body FROM entry WHERE tenant = ? AND session_id = ? AND seq > ? AND seq < ? ORDER BY seq DESC LIMIT ?',
  deleteEntries: 'DELETE FROM entry WHERE tenant = ? AND session_id = ?',

  insertChunk: `INSERT INTO chunk (tenant, session_id, attempt_id, ordinal, segments)
    SELECT tenant, id, attempt_id, ?, ? FROM session WHERE tenant = ? AND id = ? AND fence = ? AND attempt_id = ?`,
  chunksAfter: 'SELECT ordinal, segments FROM chunk WHERE tenant = ? AND session_id = ? AND attempt_id = ? AND ordinal > ? ORDER BY ordinal',
  deleteChunks: 'DELETE FROM chunk WHERE tenant = ? AND session_id = ?',

  insertOutcome: `INSERT INTO outcome (tenant, session_id, step_seq, call_index, body)
    SELECT tenant, id, ?, ?, ? FROM session WHERE tenant = ? AND id = ? AND fence = ?
    ON CONFLICT DO NOTHING`,
  sessionHasFence: 'SELECT 1 FROM session WHERE tenant = ? AND id = ? AND fence = ?',
  outcomes: 'SELECT body FROM outcome WHERE tenant = ? AND session_id = ? AND step_seq = ? ORDER BY call_index',
  deleteOutcomes: 'DELETE FROM outcome WHERE tenant = ? AND session_id = ?',

  idempotencyByScope: 'SELECT fingerprint, http_status, reply FROM idempotency WHERE tenant = ? AND session_id = ? AND scope = ?',
  // Replaces only the reply of a deletion, when a session of the same external id was made and deleted again.
  insertIdempotency: `INSERT OR REPLACE INTO idempotency (tenant, session_id, scope, fingerprint, http_status, reply, expires_at_ms, created_session_id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  deleteIdempotency: 'DELETE FROM idempotency WHERE tenant = ? AND session_id = ?',
  // A reply is kept as long as its session's turn is open, however old it is.
  expiredIdempotency: `SELECT tenant, session_id, scope FROM idempotency WHERE expires_at_ms < ?
    AND NOT EXISTS (SELECT 1 FROM session WHERE session.tenant = idempotency.tenant
      AND session.id = coalesce(idempotency.created_session_id, idempotency.session_id)
      AND session.status IN ('ready', 'running')) LIMIT ?`,
  deleteExpired: 'DELETE FROM idempotency WHERE tenant = ? AND session_id = ? AND scope = ?',

  insertOutbox: 'INSERT INTO outbox (tenant, session_id, seq, kind, at_ms) VALUES (?, ?, ?, ?, ?)',
  outboxUntil: 'SELECT tenant, session_id, seq, kind FROM outbox WHERE at_ms <= ? ORDER BY at_ms LIMIT ?',
  deleteOutboxItem: 'DELETE FROM outbox WHERE tenant = ? AND session_id = ? AND seq = ?',
  deleteOutbox: 'DELETE FROM outbox WHERE tenant = ? AND session_id = ?',

  insertWorker: 'INSERT INTO worker (id, lease_until_ms) VALUES (?, ?)',
  renewWorker: 'UPDATE worker SET lease_until_ms = ? WHERE id = ? AND lease_until_ms > ?',
  deleteWorker: 'DELETE FROM worker WHERE id = ?',
  workers: 'SELECT id, lease_until_ms FROM worker',
  sessionsOfWorker: 'SELECT tenant, id, agent, fence FROM session WHERE worker = ?',
  // A worker that is named nowhere as live: its row is gone, yet a session still names it.
  strayWorkers: 'SELECT DISTINCT worker FROM session WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM worker)',
  unclaimedSessions: 'SELECT tenant, id, agent, active_at_ms FROM session WHERE due_at_ms = 0 AND agent IN (SELECT value FROM json_each(?)) ORDER BY active_at_ms LIMIT ?',
  dueSessions: 'SELECT tenant, id, agent, active_at_ms FROM session WHERE due_at_ms > 0 AND due_at_ms <= ? AND agent IN (SELECT value FROM json_each(?)) ORDER BY due_at_ms LIMIT ?',
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
