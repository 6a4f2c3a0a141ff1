import type { Pool, PoolClient } from 'pg';
import type { Entry } from '../../core/entry.ts';
import type { Operation } from '../../core/operation.ts';
import type { Session } from '../../core/session.ts';
import type { StoreSnapshot } from '../../store/administration.ts';
import { connectionSettings, quotedSchema, type PostgresPool, type Row } from '../../store/postgres/open-database.ts';
import { postgresStore } from '../../store/postgres/postgres-store.ts';
import { entryOf, readSession } from '../../store/postgres/session-rows.ts';
import { columnTypes, PostgresSnapshot } from '../../store/postgres/snapshot.ts';
import type { ChangeHint, SessionRef, Store } from '../../store/store.ts';
import { realSystem } from '../../system.ts';
import { crashStore } from '../crash-store.ts';
import type { SessionReader, SharedDatabase, SharedStoreOptions } from '../simulation/shared-database.ts';

interface Known {
  readonly ref: SessionRef;
  session: Session | null;
  readonly log: Entry[];
  operations: readonly Operation[];
}

/** Verbs that may change what is known of a session. */
const changing: ReadonlySet<string> = new Set(['create', 'update', 'updateOperation']);

/**
 * A schema of a real Postgres that the processes of a simulation share. Virtual time stands still while the database works, and calls go one after the other in the order in which they were made: so a run is the same each
 * time. Leases and expiries go by virtual time. Commits are not waited for to be on disk: here nothing loses its power.
 */
export class PostgresSharedDatabase implements SharedDatabase {
  readonly name = 'postgres';
  readonly #pool: Pool;
  readonly #schema: string;
  readonly #client: PoolClient;
  readonly #known = new Map<string, Known>();
  #tables: readonly string[] = [];
  #last: Promise<unknown> = Promise.resolve();
  isLocked: () => boolean = () => false;

  private constructor(pool: Pool, schema: string, client: PoolClient) {
    this.#pool = pool;
    this.#schema = schema;
    this.#client = client;
  }

  /** `connection`: of a database in which it may make, and empty, the schema. */
  static async open({ connection, schema }: { readonly connection: string; readonly schema: string }): Promise<PostgresSharedDatabase> {
    const { default: pg } = await import('pg');
    const pool = new pg.Pool({ connectionString: connection, max: 4, ...({ pipeline: true } as object) });
    const settings = { ...connectionSettings, synchronous_commit: 'off' };
    const text = `SELECT ${Object.entries(settings).map(([name, value]) => `set_config('${name}', '${value}', false)`).join(', ')}`;
    pool.setMaxListeners(0);
    pool.on('connect', (client) => void client.query(text).catch(() => undefined));
    const database = new PostgresSharedDatabase(pool, schema, await pool.connect());
    const store = await database.#open(() => realSystem().clock.nowMs(), realSystem(), []);
    await store.migrate();
    await store.close();
    const tables = await database.#rows("SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename NOT IN ('requirement', 'schema_version')", [schema]);
    database.#tables = tables.map((row) => `${quotedSchema(schema)}.${String(row['tablename'])}`);
    return database;
  }

  async empty(): Promise<void> {
    await this.#last;
    this.#known.clear();
    // Stores of processes that died were never closed.
    this.#pool.removeAllListeners('error');
    this.#pool.on('error', () => undefined);
    await this.#client.query(this.#tables.map((table) => `DELETE FROM ${table};`).join(' '));
  }

  hasRoom(): void {
    // A server's disk is not ours to fill.
  }

  async store({ system, outboxKinds, time }: SharedStoreOptions): Promise<Store> {
    const inner = await time.during(() => this.#inTurn(() => this.#open(() => time.nowMs, system, outboxKinds)));
    const listeners = new Set<(hint: ChangeHint) => void>();
    let hints: ChangeHint[] = [];
    inner.onChange((hint) => void hints.push(hint));
    const store = crashStore(inner, ({ name }, perform) => time.during(() => this.#inTurn(async () => {
      try {
        return await perform();
      } finally {
        const said = hints;
        hints = [];
        if (changing.has(name)) await this.#lookAt(said.flatMap(({ ref }) => ref ?? []));
        for (const hint of said) for (const listener of listeners) listener(hint);
      }
    })));
    return new Proxy(store, {
      get: (target, name) => {
        if (name !== 'onChange') return Reflect.get(target, name, target) as unknown;
        return (listener: (hint: ChangeHint) => void) => {
          listeners.add(listener);
          return () => void listeners.delete(listener);
        };
      },
    });
  }

  reader(): SessionReader {
    return {
      find: (ref) => this.#known.get(keyOf(ref))?.session ?? null,
      entries: (ref, { afterSeq = 0, limit }) => (this.#known.get(keyOf(ref))?.log ?? []).filter(({ seq }) => seq > afterSeq).slice(0, limit),
    };
  }

  operationsOf(ref: SessionRef): readonly Operation[] {
    return this.#known.get(keyOf(ref))?.operations ?? [];
  }

  inSnapshot<Result>(_nowMs: number, look: (snapshot: StoreSnapshot) => Promise<Result>): Promise<Result> {
    const rows = async (text: string, values: readonly unknown[] = []) => (await this.#client.query({ text, values: [...values], types: columnTypes })).rows as Record<string, string | number | null>[];
    return this.#inTurn(() => look(new PostgresSnapshot(rows, quotedSchema(this.#schema))));
  }

  async close(): Promise<void> {
    await this.#last;
    this.#client.release();
    await this.#pool.end();
  }

  /** Its own waits, for a connection or after a conflict, are in real time: virtual time stands still meanwhile. */
  #open(nowMs: () => number, system: SharedStoreOptions['system'], outboxKinds: SharedStoreOptions['outboxKinds']): Promise<Store> {
    const { clock, random } = realSystem();
    // The store tells processes apart by how their secrets begin; those of a simulated process begin with the time.
    const ids = { ...system.ids, secret: () => system.ids.secret().split('').reverse().join('') };
    return postgresStore({ connection: this.#pool as unknown as PostgresPool, schema: this.#schema, system: { clock, random, ids }, outboxKinds, dialect: { notify: false }, nowMs });
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.then(() => undefined, () => undefined);
    return result;
  }

  /** Reads what is known of sessions anew: of those that were told of, and of all whose operations may have changed. */
  async #lookAt(refs: readonly SessionRef[]): Promise<void> {
    const told = new Map([...this.#known.values()].map(({ ref }) => [keyOf(ref), ref]));
    for (const ref of refs) told.set(keyOf(ref), ref);
    await Promise.all([...told.values()].map((ref) => this.#look(ref)));
  }

  async #look({ tenant, id }: SessionRef): Promise<void> {
    const known = this.#known.get(keyOf({ tenant, id })) ?? { ref: { tenant, id }, session: null, log: [], operations: [] };
    const of = (table: string, rest: string): Promise<readonly Row[]> => this.#rows(`SELECT body FROM ${quotedSchema(this.#schema)}.${table} WHERE tenant = $1 AND ${rest}`, [tenant, id, ...(table === 'entry' ? [known.log.length] : [])]);
    const [[row], entries, operations] = await Promise.all([of('session', 'id = $2'), of('entry', 'session_id = $2 AND seq > $3 ORDER BY seq'), of('operation', 'session_id = $2 ORDER BY id')]);
    this.#known.set(keyOf({ tenant, id }), known);
    known.session = row === undefined ? null : readSession(String(row['body']));
    known.log.push(...entries.map(entryOf));
    known.operations = operations.map(({ body }) => JSON.parse(String(body)) as Operation);
  }

  async #rows(text: string, values: readonly unknown[]): Promise<readonly Row[]> {
    return (await this.#client.query({ text, values: [...values] })).rows as Row[];
  }
}

function keyOf({ tenant, id }: SessionRef): string {
  return `${tenant}\n${id}`;
}
