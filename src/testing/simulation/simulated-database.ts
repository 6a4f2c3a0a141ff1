import { migrateDatabase } from '../../store/sqlite/migrations.ts';
import { isBusy, openDatabase, type Database, type Statement } from '../../store/sqlite/open-database.ts';
import { SessionRows } from '../../store/sqlite/session-rows.ts';
import { PreparedStatements } from '../../store/sqlite/statements.ts';
import type { Branch } from '../../core/history.ts';
import type { StateProvenance } from '../../core/state.ts';
import type { Operation } from '../../core/operation.ts';
import type { StoreSnapshot } from '../../store/administration.ts';
import { sqliteSnapshotOn } from '../../store/sqlite/administration.ts';
import type { SessionRef, Store } from '../../store/store.ts';
import type { EngineVersion } from './engine-version.ts';
import { ChunkArchive } from './chunk-archive.ts';
import type { OutputArchive, SharedDatabase, SharedStoreOptions } from './shared-database.ts';

/** A real SQLite database in memory, which the processes of a simulation share as if it were a file. Used again for the next seed: emptying one is cheaper than making it. */
export class SimulatedDatabase implements SharedDatabase {
  readonly name = 'sqlite';
  readonly database: Database;
  readonly statements: PreparedStatements;
  readonly #statements = new Map<EngineVersion, PreparedStatements>();
  readonly #tables: readonly string[];
  readonly #pagesMax: number;
  readonly #operations: Statement;
  readonly #branches: Statement;
  readonly #leases: Statement;
  readonly #provenances: Statement;
  readonly #event: Statement;
  readonly #events: Statement;
  readonly #attempts: Statement;
  /** Tells whether another process holds the file just now. */
  isLocked: () => boolean = () => false;

  private constructor(database: Database) {
    this.database = database;
    this.statements = new PreparedStatements(database);
    this.#tables = (database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'requirement'").pluck().all() as string[]);
    this.#operations = database.prepare('SELECT body FROM operation WHERE tenant = ? AND session_id = ? ORDER BY id').pluck();
    this.#branches = database.prepare('SELECT body FROM branch WHERE tenant = ? AND session_id = ?').pluck();
    this.#leases = database.prepare('SELECT id, lease_until_ms FROM worker').raw();
    this.#provenances = database.prepare('SELECT provenance FROM state').pluck();
    this.#event = database.prepare('SELECT 1 FROM outbox WHERE tenant = ? AND session_id = ? AND seq = ?').pluck();
    this.#events = database.prepare('SELECT count(*) FROM outbox').pluck();
    this.#attempts = database.prepare('SELECT coalesce(sum(attempts), 0) FROM usage_counter').pluck();
    this.#pagesMax = Number(database.pragma('max_page_count', { simple: true }));
  }

  static async open(): Promise<SimulatedDatabase> {
    const database = await openDatabase(':memory:');
    database.pragma('auto_vacuum = INCREMENTAL');
    migrateDatabase(database);
    return new SimulatedDatabase(database);
  }

  /** As it was when it was opened. */
  empty(): void {
    this.hasRoom(true);
    this.isLocked = () => false;
    this.database.exec(this.#tables.map((table) => `DELETE FROM ${table};`).join(' '));
    // Pages that it had before would be room on a full disk.
    this.database.exec('PRAGMA incremental_vacuum');
  }

  /** Where there is no room left, whatever needs a page more fails as on a full disk. */
  hasRoom(room: boolean): void {
    this.database.pragma(`max_page_count = ${room ? this.#pagesMax : Number(this.database.pragma('page_count', { simple: true }))}`);
  }

  /** A store of one process on it. */
  store({ version, system, outboxKinds, locks }: SharedStoreOptions): Store {
    return version.sqliteStoreOn({ database: this.#lockable(), statements: this.#statementsOf(version), locks, isFile: false, close: () => undefined }, { system, outboxKinds });
  }

  archive(): OutputArchive {
    return new ChunkArchive(this.database);
  }

  /** Reads it as it is, past all stores. */
  reader(): SessionRows {
    return new SessionRows(this.statements);
  }

  #statementsOf(version: EngineVersion): PreparedStatements {
    const known = this.#statements.get(version) ?? new version.PreparedStatements(this.database);
    this.#statements.set(version, known);
    return known;
  }

  /** The operations of a session, ended ones included. */
  operationsOf({ tenant, id }: SessionRef): readonly Operation[] {
    return (this.#operations.all(tenant, id) as string[]).map((body) => JSON.parse(body) as Operation);
  }

  branchesOf({ tenant, id }: SessionRef): readonly Branch[] {
    return (this.#branches.all(tenant, id) as string[]).map((body) => JSON.parse(body) as Branch);
  }

  leases(): ReadonlyMap<string, number> {
    return new Map(this.#leases.all() as [string, number][]);
  }

  stateProvenances(): readonly StateProvenance[] {
    return (this.#provenances.all() as string[]).map((text) => JSON.parse(text) as StateProvenance);
  }

  hasEvent({ tenant, id }: SessionRef, seq: number): boolean {
    return this.#event.get(tenant, id, seq) !== undefined;
  }

  eventsLeft(): number {
    return this.#events.get() as number;
  }

  attemptsCounted(): number {
    return this.#attempts.get() as number;
  }

  inSnapshot<Result>(nowMs: number, look: (snapshot: StoreSnapshot) => Promise<Result>): Promise<Result> {
    return look(sqliteSnapshotOn(this.database, { isFree: () => false }, nowMs));
  }

  close(): void {
    this.database.close();
  }

  /** One connection cannot lock itself out: while another process is said to hold the file, a transaction begins as SQLite lets it begin then. */
  #lockable(): Database {
    const { database } = this;
    const begin = database.prepare('BEGIN IMMEDIATE');
    return new Proxy(database, {
      get: (target, name) => {
        if (name === 'prepare') return (sql: string) => (sql === 'BEGIN IMMEDIATE' ? { run: () => (this.isLocked() ? this.#refuse() : begin.run()) } : target.prepare(sql));
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? (member as (...given: unknown[]) => unknown).bind(target) : member;
      },
    });
  }

  #refuse(): never {
    const busy = Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' });
    if (!isBusy(busy)) throw new TypeError('a locked database is busy');
    throw busy;
  }
}
