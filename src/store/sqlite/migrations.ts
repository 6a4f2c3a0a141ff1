import { StoreError } from '../store-error.ts';
import type { Database } from './open-database.ts';

/** Each brings the schema from its place to the next; `PRAGMA user_version` counts them. Landed ones are never edited. */
const migrations: readonly string[] = [
  `
  CREATE TABLE session (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    agent TEXT NOT NULL,
    external_id TEXT,
    title_lower_case TEXT,
    status TEXT NOT NULL,
    archived INTEGER NOT NULL,
    active_at_ms INTEGER NOT NULL,
    due_at_ms INTEGER,
    worker TEXT,
    fence INTEGER NOT NULL,
    attempt_id TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
  );
  CREATE UNIQUE INDEX session_external_id ON session (tenant, external_id, owner) WHERE external_id IS NOT NULL;
  CREATE INDEX session_active ON session (tenant, owner, active_at_ms, id);
  CREATE INDEX session_due ON session (due_at_ms, active_at_ms) WHERE due_at_ms IS NOT NULL;
  CREATE INDEX session_worker ON session (worker) WHERE worker IS NOT NULL;

  CREATE TABLE entry (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, session_id, seq)
  ) WITHOUT ROWID;

  CREATE TABLE chunk (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    segments TEXT NOT NULL,
    PRIMARY KEY (tenant, session_id, attempt_id, ordinal)
  ) WITHOUT ROWID;

  CREATE TABLE outcome (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    step_seq INTEGER NOT NULL,
    call_index INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, session_id, step_seq, call_index)
  ) WITHOUT ROWID;

  CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    http_status INTEGER NOT NULL,
    reply TEXT NOT NULL,
    expires_at_ms INTEGER,
    -- The key of a creation has no session of its own; it is kept while the turn of the session that it created is open.
    created_session_id TEXT,
    PRIMARY KEY (tenant, session_id, scope)
  ) WITHOUT ROWID;
  CREATE INDEX idempotency_expiry ON idempotency (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

  CREATE TABLE outbox (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, session_id, seq)
  ) WITHOUT ROWID;

  CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    lease_until_ms INTEGER NOT NULL
  ) WITHOUT ROWID;
  `,
  `
  CREATE INDEX session_due_of_tenant ON session (tenant, due_at_ms, active_at_ms) WHERE due_at_ms IS NOT NULL;

  CREATE TABLE operation (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    agent TEXT NOT NULL,
    status TEXT NOT NULL,
    worker TEXT,
    fence INTEGER NOT NULL,
    due_at_ms INTEGER,
    -- The operation's key while it lives: no other of the same key starts meanwhile.
    live_key TEXT,
    created_at_ms INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
  );
  CREATE UNIQUE INDEX operation_live_key ON operation (tenant, live_key) WHERE live_key IS NOT NULL;
  CREATE INDEX operation_session ON operation (tenant, session_id, id);
  CREATE INDEX operation_due ON operation (due_at_ms, created_at_ms) WHERE due_at_ms IS NOT NULL;
  CREATE INDEX operation_due_of_tenant ON operation (tenant, due_at_ms, created_at_ms) WHERE due_at_ms IS NOT NULL;
  CREATE INDEX operation_worker ON operation (worker, created_at_ms) WHERE worker IS NOT NULL;

  CREATE TABLE whole_result (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, session_id, id)
  );
  `,
  `
  ALTER TABLE worker ADD COLUMN agents TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE worker ADD COLUMN schema_version INTEGER NOT NULL DEFAULT 2;

  -- The oldest schema version whose software may still work here. A migration that takes something away raises it.
  CREATE TABLE requirement (oldest_version INTEGER NOT NULL);
  INSERT INTO requirement VALUES (1);
  `,
  `
  -- Names entries so that they are found without reading the log, see markOf in core/history.ts.
  ALTER TABLE entry ADD COLUMN mark TEXT;
  UPDATE entry SET mark = CASE json_extract(body, '$.kind')
    WHEN 'user-message' THEN CASE WHEN json_extract(body, '$.steered') THEN NULL ELSE 'h.b:' || json_extract(body, '$.turnId') END
    WHEN 'turn-started' THEN 'h.b:' || json_extract(body, '$.turnId')
    WHEN 'message-queued' THEN 'q:' || json_extract(body, '$.messageId')
    WHEN 'turn-ended' THEN 'h.e:' || json_extract(body, '$.turnId')
    WHEN 'operation-result' THEN 'h.d:' || json_extract(body, '$.operationId')
    WHEN 'operation-ended' THEN CASE WHEN json_extract(body, '$.mode') = 'detach' AND json_type(body, '$.result') IS NOT NULL
      THEN 'h.o:' || json_extract(body, '$.operationId') || ':' || json_extract(body, '$.stepSeq') END
    END;
  CREATE INDEX entry_mark ON entry (tenant, session_id, mark) WHERE mark IS NOT NULL;

  CREATE TABLE branch (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, session_id, id)
  ) WITHOUT ROWID;
  -- Until now nothing could change what lay before a branch: it followed on the stretches that are visible there.
  INSERT INTO branch (tenant, session_id, id, body)
    SELECT entry.tenant, session_id, json_extract(entry.body, '$.branchId'), json_object('id', json_extract(entry.body, '$.branchId'), 'discardedAtMs', json_extract(entry.body, '$.atMs'),
      'fromTurnId', json_extract(entry.body, '$.fromTurnId'), 'turns', json_extract(entry.body, '$.turns'), 'before', json((SELECT json_group_array(json(value)) FROM (
        SELECT value FROM json_each(session.body, '$.visible') WHERE json_extract(value, '$.toSeq') < json_extract(entry.body, '$.intervals[0].fromSeq') ORDER BY key))),
      'intervals', json_extract(entry.body, '$.intervals'))
    FROM entry JOIN session ON session.tenant = entry.tenant AND session.id = entry.session_id WHERE json_extract(entry.body, '$.kind') = 'branch-discarded';
  `,
  `
  -- State beside sessions: what agents keep for an actor, a subject, or for all. A scope's versions never come twice, whatever is deleted.
  CREATE TABLE state_scope (
    tenant TEXT NOT NULL,
    scope_key TEXT NOT NULL,
    scope TEXT NOT NULL,
    last_version INTEGER NOT NULL,
    PRIMARY KEY (tenant, scope_key)
  ) WITHOUT ROWID;
  CREATE TABLE state (
    tenant TEXT NOT NULL,
    scope_key TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    provenance TEXT NOT NULL,
    expires_at_ms INTEGER,
    PRIMARY KEY (tenant, scope_key, key)
  );
  CREATE INDEX state_expiry ON state (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
  `,
  `
  -- What the attempts of an owner's sessions used, day by day; it stays when sessions go.
  CREATE TABLE usage_counter (
    tenant TEXT NOT NULL,
    day INTEGER NOT NULL,
    owner TEXT NOT NULL,
    shard INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    attempts_without_usage INTEGER NOT NULL,
    attempts_without_cost INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    PRIMARY KEY (tenant, day, owner, shard)
  ) WITHOUT ROWID;
  -- Sums of counters over all owners, as of a time.
  CREATE TABLE usage_total (
    tenant TEXT NOT NULL,
    day INTEGER NOT NULL,
    as_of_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    attempts_without_usage INTEGER NOT NULL,
    attempts_without_cost INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)
  ) WITHOUT ROWID;
  -- Attempts of sessions that were deleted.
  CREATE TABLE usage_kept (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, session_id, seq)
  ) WITHOUT ROWID;
  -- What has been recorded until now; whose session it was then, nobody knows any more.
  INSERT INTO usage_counter
    SELECT tenant, day, owner, 0, count(*), sum(usage IS NULL), count(*), coalesce(sum(CAST(round(json_extract(usage, '$.inputTokens')) AS INTEGER)), 0), coalesce(sum(CAST(round(json_extract(usage, '$.outputTokens')) AS INTEGER)), 0),
      coalesce(sum(CAST(round(json_extract(usage, '$.cachedInputTokens')) AS INTEGER)), 0), coalesce(sum(CAST(round(json_extract(usage, '$.reasoningTokens')) AS INTEGER)), 0), 0
    FROM (SELECT entry.tenant, session.owner, CAST(json_extract(entry.body, '$.atMs') AS INTEGER) / 86400000 AS day, json_extract(entry.body, '$.attempt.usage') AS usage
      FROM entry JOIN session ON session.tenant = entry.tenant AND session.id = entry.session_id
      WHERE json_type(entry.body, '$.attempt') = 'object' AND json_type(entry.body, '$.copied') IS NULL)
    GROUP BY tenant, day, owner;
  `,
];

/** The schema version that this version of Holdfast works with. */
export const schemaVersionLatest = migrations.length;

/**
 * Brings the schema up to `toVersion`, the latest by default. Safe from many processes at once: each step is one exclusive transaction that looks
 * again at what is done. A newer schema is left as it is, if it says that this version may still work with it (expand first, contract later); else throws `StoreError` with code
 * `store_unsupported`.
 */
export function migrateDatabase(database: Database, toVersion = schemaVersionLatest): void {
  const version = (): number => Number(database.pragma('user_version', { simple: true }));
  if (version() > schemaVersionLatest && isOutdated(database)) {
    throw new StoreError('store_unsupported', `the database has schema version ${version()}, and asks for a newer version of Holdfast than this, which knows ${schemaVersionLatest}: update it`);
  }
  for (let from = version(); from < toVersion; from = version()) {
    database.transaction(() => {
      if (version() !== from) return;
      database.exec(migrations[from] ?? '');
      database.pragma(`user_version = ${from + 1}`);
    }).immediate();
  }
}

/** Whether the data asks for a newer version of Holdfast than this is. */
export function isOutdated(database: Database): boolean {
  return Number(database.prepare('SELECT oldest_version FROM requirement').pluck().get()) > schemaVersionLatest;
}
