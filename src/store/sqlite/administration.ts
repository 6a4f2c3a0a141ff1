import { existsSync } from 'node:fs';
import type { Entry } from '../../core/entry.ts';
import { limits } from '../../core/limits.ts';
import type { Operation } from '../../core/operation.ts';
import type { System } from '../../core/system.ts';
import { strayConditions, type Columns, type EngineCheck, type SchemaVersions, type SessionRows as ExaminedRows, type StoreAdministration, type StoreSnapshot, type StrayRows, type WaitingWork } from '../administration.ts';
import { StoreError } from '../store-error.ts';
import type { AnnouncedWorker, SessionRef } from '../store.ts';
import { countColumns, countOfRow, keptEntry } from '../usage-store.ts';
import { schemaVersionLatest } from './migrations.ts';
import { openDatabase, type Database } from './open-database.ts';
import { readSession, SessionRows } from './session-rows.ts';
import { PreparedStatements } from './statements.ts';
import { WorkerLocks, type ProcessLocks } from './worker-lock.ts';

const pageSessions = 200;
const pageEntries = 500;

/** Opens a file that is there. Rejects as {@link StoreAdministration} says, and with `StoreError` code `store_unsupported` when Node or the SQLite library is too old. */
export async function sqliteAdministration({ path, system }: { readonly path: string; readonly system: System }): Promise<StoreAdministration> {
  if (path !== ':memory:' && !existsSync(path)) throw new StoreError('store_missing', `there is no file ${path}`);
  const database = await openDatabase(path);
  const { default: Sqlite } = await import('better-sqlite3');
  return new SqliteAdministration(database, new WorkerLocks(path, Sqlite), system);
}

class SqliteAdministration implements StoreAdministration {
  readonly #database: Database;
  readonly #locks: WorkerLocks;
  readonly #system: System;

  constructor(database: Database, locks: WorkerLocks, system: System) {
    this.#database = database;
    this.#locks = locks;
    this.#system = system;
  }

  readSchema(): Promise<SchemaVersions> {
    return Promise.resolve({ version: Number(this.#database.pragma('user_version', { simple: true })), latest: schemaVersionLatest });
  }

  examineEngine(): Promise<readonly EngineCheck[]> {
    const damage = (this.#database.prepare('PRAGMA integrity_check').pluck().all() as string[]).filter((line) => line !== 'ok');
    return Promise.resolve([
      { name: 'SQLite', detail: String(this.#database.prepare('SELECT sqlite_version()').pluck().get()), faults: [], warnings: [] },
      { name: 'integrity', detail: 'the file is sound', faults: damage.map((message) => ({ code: 'corrupt', message })), warnings: [] },
    ]);
  }

  async inSnapshot<Result>(look: (snapshot: StoreSnapshot) => Promise<Result>): Promise<Result> {
    this.#database.exec('BEGIN');
    try {
      return await look(new SqliteSnapshot(this.#database, this.#locks, this.#system.clock.nowMs()));
    } finally {
      this.#database.exec('ROLLBACK');
    }
  }

  close(): Promise<void> {
    this.#database.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Everything in an open database as it is now; the caller sees to it that nothing changes meanwhile. */
export function sqliteSnapshotOn(database: Database, locks: Pick<ProcessLocks, 'isFree'>, nowMs: number): StoreSnapshot {
  return new SqliteSnapshot(database, locks, nowMs);
}

class SqliteSnapshot implements StoreSnapshot {
  readonly #database: Database;
  readonly #locks: Pick<ProcessLocks, 'isFree'>;
  readonly #nowMs: number;
  readonly #rows: SessionRows;

  constructor(database: Database, locks: Pick<ProcessLocks, 'isFree'>, nowMs: number) {
    this.#database = database;
    this.#locks = locks;
    this.#nowMs = nowMs;
    this.#rows = new SessionRows(new PreparedStatements(database));
  }

  strayRows(): Promise<readonly StrayRows[]> {
    const found = strayConditions('session').map(({ table, condition, what }) => ({ table, what, count: Number(this.#database.prepare(`SELECT count(*) FROM ${table} AS stray WHERE ${condition}`).pluck().get()) }));
    return Promise.resolve(found.filter(({ count }) => count > 0));
  }

  workers(): Promise<readonly AnnouncedWorker[]> {
    const rows = this.#database.prepare('SELECT id, lease_until_ms, agents, schema_version FROM worker').all() as { id: string; lease_until_ms: number; agents: string; schema_version: number }[];
    return Promise.resolve(rows.map((row) => ({
      id: row.id, agents: JSON.parse(row.agents) as string[], schemaVersion: row.schema_version, isDead: row.lease_until_ms <= this.#nowMs || this.#locks.isFree(row.id),
    })));
  }

  waitingWork(deadWorkers: readonly string[]): Promise<readonly WaitingWork[]> {
    const waiting = (table: string): string => `SELECT agent, '${table}' AS work FROM ${table} WHERE (worker IS NULL AND due_at_ms <= @nowMs) OR worker IN (SELECT value FROM json_each(@dead))`;
    const rows = this.#database.prepare(`SELECT agent, sum(work = 'session') AS sessions, sum(work = 'operation') AS operations FROM (${waiting('session')} UNION ALL ${waiting('operation')}) GROUP BY agent ORDER BY agent`)
      .all({ nowMs: this.#nowMs, dead: JSON.stringify(deadWorkers) });
    return Promise.resolve(rows as WaitingWork[]);
  }

  countSessions(): Promise<number> {
    return Promise.resolve(Number(this.#database.prepare('SELECT count(*) FROM session').pluck().get()));
  }

  async *sessions(): AsyncGenerator<ExaminedRows, void, void> {
    const statement = this.#database.prepare('SELECT * FROM session WHERE (tenant, id) > (?, ?) ORDER BY tenant, id LIMIT ?');
    let last = { tenant: '', id: '' };
    for (;;) {
      const rows = statement.all(last.tenant, last.id, pageSessions) as (Columns & { tenant: string; id: string; body: string })[];
      for (const row of rows) yield this.#withWork(row);
      last = rows.at(-1) ?? last;
      if (rows.length < pageSessions) return;
    }
  }

  usage(): ReturnType<StoreSnapshot['usage']> {
    const rows = this.#database.prepare(`SELECT tenant, day, ${countColumns.map((column) => `sum(${column}) AS ${column}`).join(', ')} FROM usage_counter GROUP BY tenant, day`).all() as Record<string, unknown>[];
    return Promise.resolve(rows.map((row) => ({ tenant: String(row['tenant']), day: Number(row['day']), count: countOfRow(row) })));
  }

  async *keptAttempts(): AsyncGenerator<{ readonly tenant: string; readonly entry: Entry }, void, void> {
    const statement = this.#database.prepare('SELECT tenant, session_id, seq, body FROM usage_kept WHERE (tenant, session_id, seq) > (?, ?, ?) ORDER BY tenant, session_id, seq LIMIT ?');
    let last = { tenant: '', session_id: '', seq: 0 };
    for (;;) {
      const rows = statement.all(last.tenant, last.session_id, last.seq, pageEntries) as { tenant: string; session_id: string; seq: number; body: string }[];
      for (const { tenant, seq, body } of rows) yield { tenant, entry: keptEntry(seq, body) };
      last = rows.at(-1) ?? last;
      if (rows.length < pageEntries) return;
    }
  }

  #withWork({ body, ...columns }: Columns & { readonly body: string }): ExaminedRows {
    const session = readSession(body);
    const named = JSON.stringify(session.operations.map(({ id }) => id));
    const operations = this.#database.prepare("SELECT * FROM operation WHERE tenant = ? AND ((session_id = ? AND status IN ('queued', 'running')) OR id IN (SELECT value FROM json_each(?))) ORDER BY id")
      .all(session.tenant, session.id, named) as (Columns & { body: string })[];
    return {
      columns, session,
      entries: this.#log(session),
      operations: operations.map(({ body: text, ...of }) => ({ columns: of, operation: JSON.parse(text) as Operation })),
      outcomes: this.#rows.outcomes(session),
      branches: this.#rows.branches(session, { limit: limits.branchesMax }).items,
    };
  }

  #log(ref: SessionRef): ExaminedRows['entries'] {
    const entries: ExaminedRows['entries'][number][] = [];
    for (;;) {
      const page = this.#rows.entries(ref, { afterSeq: entries.at(-1)?.seq ?? 0, limit: pageEntries });
      entries.push(...page);
      if (page.length < pageEntries) return entries;
    }
  }
}
