import type { Pool, PoolClient } from 'pg';
import { HoldfastError } from '../../core/errors.ts';
import type { Entry } from '../../core/entry.ts';
import type { Branch } from '../../core/history.ts';
import type { Operation } from '../../core/operation.ts';
import type { Session } from '../../core/session.ts';
import type { StateProvenance } from '../../core/state.ts';
import type { StoreSnapshot } from '../../store/administration.ts';
import { connectionSettings, quotedSchema, type PostgresPool, type Row } from '../../store/postgres/open-database.ts';
import { postgresStore } from '../../store/postgres/postgres-store.ts';
import { entryOf, readSession } from '../../store/postgres/session-rows.ts';
import { columnTypes, PostgresSnapshot } from '../../store/postgres/snapshot.ts';
import type { ChangeHint, SessionRef, Store } from '../../store/store.ts';
import { realSystem } from '../../system.ts';
import { crashStore } from '../crash-store.ts';
import type { SessionReader, OutputArchive, SharedDatabase, SharedStoreOptions } from '../simulation/shared-database.ts';

interface Known {
  readonly ref: SessionRef;
  session: Session | null;
  log: readonly Entry[];
  operations: readonly Operation[];
  branches: readonly Branch[];
  /** Entries whose events wait to be told of. */
  events: readonly number[];
}

/** Verbs that may change what is known. */
const changing: ReadonlySet<string> = new Set(['create', 'update', 'updateOperation', 'deleteOutbox']);

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
  #leases: ReadonlyMap<string, number> = new Map();
  #attempts = 0;
  #tables: readonly string[] = [];
  #last: Promise<unknown> = Promise.resolve();
  isLocked: () => boolean = () => false;

  private constructor(pool: Pool, schema: string, client: PoolClient) {
    this.#pool = pool;
    this.#schema = schema;
    this.#client = client;
  }

  /** Makes the schema, which must not be there yet: it is emptied again and again, and is gone when this is closed. Rejects with `HoldfastError` code `options_invalid` where it is there. */
  static async open({ connection, schema }: { readonly connection: string; readonly schema: string }): Promise<PostgresSharedDatabase> {
    const { default: pg } = await import('pg');
    const pool = new pg.Pool({ connectionString: connection, max: 4, ...({ pipeline: true } as object) });
    const settings = { ...connectionSettings, synchronous_commit: 'off' };
    const text = `SELECT ${Object.entries(settings).map(([name, value]) => `set_config('${name}', '${value}', false)`).join(', ')}`;
    pool.setMaxListeners(0);
    pool.on('connect', (client) => void client.query(text).catch(() => undefined));
    const database = new PostgresSharedDatabase(pool, schema, await pool.connect());
    const [found] = await database.#rows('SELECT 1 FROM pg_namespace WHERE nspname = $1', [schema]);
    if (found !== undefined) {
      await database.#end();
      throw new HoldfastError('options_invalid', `the schema ${schema} is there already, and would be emptied: name one that is not`);
    }
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
    this.#leases = new Map();
    this.#attempts = 0;
    // Stores of processes that died were never closed.
    this.#pool.removeAllListeners('error');
    this.#pool.on('error', () => undefined);
    await this.#client.query(this.#tables.map((table) => `DELETE FROM ${table};`).join(' '));
  }

  hasRoom(): void {
    // A server's disk is not ours to fill.
  }

  /** Nobody follows the sessions of a failpoint: whatever would be heard was stored nowhere. */
  archive(): OutputArchive {
    return { partsOf: () => [] };
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
      entriesAt: (ref, seqs) => (this.#known.get(keyOf(ref))?.log ?? []).filter(({ seq }) => seqs.includes(seq)),
      // Nobody follows a session here.
      chunks: () => ({ segments: [] }),
    };
  }

  operationsOf(ref: SessionRef): readonly Operation[] {
    return this.#known.get(keyOf(ref))?.operations ?? [];
  }

  branchesOf(ref: SessionRef): readonly Branch[] {
    return this.#known.get(keyOf(ref))?.branches ?? [];
  }

  leases(): ReadonlyMap<string, number> {
    return this.#leases;
  }

  async stateProvenances(): Promise<readonly StateProvenance[]> {
    return (await this.#rows(`SELECT provenance FROM ${quotedSchema(this.#schema)}.state`, [])).map(({ provenance }) => JSON.parse(String(provenance)) as StateProvenance);
  }

  hasEvent(ref: SessionRef, seq: number): boolean {
    return this.#known.get(keyOf(ref))?.events.includes(seq) === true;
  }

  eventsLeft(): number {
    return [...this.#known.values()].reduce((sum, { events }) => sum + events.length, 0);
  }

  attemptsCounted(): number {
    return this.#attempts;
  }

  inSnapshot<Result>(_nowMs: number, look: (snapshot: StoreSnapshot) => Promise<Result>): Promise<Result> {
    const rows = async (text: string, values: readonly unknown[] = []) => (await this.#client.query({ text, values: [...values], types: columnTypes })).rows as Record<string, string | number | null>[];
    return this.#inTurn(() => look(new PostgresSnapshot(rows, quotedSchema(this.#schema))));
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#client.query(`DROP SCHEMA ${quotedSchema(this.#schema)} CASCADE`);
    await this.#end();
  }

  async #end(): Promise<void> {
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

  async #look(ref: SessionRef): Promise<void> {
    const key = keyOf(ref);
    const rows = (await this.#client.query({ name: 'look', text: this.#looking, values: [ref.tenant, ref.id] })).rows as { readonly what: string; readonly text: string; readonly number: string }[];
    const of = (what: string): readonly string[] => rows.filter((row) => row.what === what).map(({ text }) => text);
    const [session] = of('session');
    this.#known.set(key, {
      ref, session: session === undefined ? null : readSession(session), log: of('entry').map((body) => entryOf({ body })),
      operations: of('operation').map((body) => JSON.parse(body) as Operation).sort((left, right) => (left.id < right.id ? -1 : 1)), branches: of('branch').map((body) => JSON.parse(body) as Branch),
      events: rows.filter(({ what }) => what === 'event').map(({ number }) => Number(number)),
    });
    this.#leases = new Map(rows.filter(({ what }) => what === 'worker').map(({ text, number }) => [text, Number(number)]));
    this.#attempts = Number(rows.find(({ what }) => what === 'attempts')?.number);
  }

  /** One statement, so that all of it is of one moment. */
  get #looking(): string {
    const schema = quotedSchema(this.#schema);
    const ofSession = (what: string, columns: string, table: string, order: string): string => `SELECT '${what}' AS what, ${columns}, ${order} AS place FROM ${schema}.${table} WHERE tenant = $1 AND session_id = $2`;
    return `SELECT 'session' AS what, body AS text, 0 AS number, 0 AS place FROM ${schema}.session WHERE tenant = $1 AND id = $2
      UNION ALL ${ofSession('entry', 'body, 0', 'entry', 'seq')} UNION ALL ${ofSession('event', "'', seq", 'outbox', 'seq')}
      UNION ALL ${ofSession('operation', 'body, 0', 'operation', '0')} UNION ALL ${ofSession('branch', 'body, 0', 'branch', '0')}
      UNION ALL SELECT 'worker', id, lease_until_ms, 0 FROM ${schema}.worker UNION ALL SELECT 'attempts', '', coalesce(sum(attempts), 0)::bigint, 0 FROM ${schema}.usage_counter ORDER BY place`;
  }

  async #rows(text: string, values: readonly unknown[]): Promise<readonly Row[]> {
    return (await this.#client.query({ text, values: [...values] })).rows as Row[];
  }
}

function keyOf({ tenant, id }: SessionRef): string {
  return `${tenant}\n${id}`;
}
