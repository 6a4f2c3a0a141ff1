import type { Client } from 'pg';
import type { System } from '../../core/system.ts';
import type { Columns, EngineCheck, Problem, SchemaVersions, StoreAdministration, StoreSnapshot } from '../administration.ts';
import { StoreError } from '../store-error.ts';
import { schemaVersionLatest } from './migrations.ts';
import { quotedSchema } from './open-database.ts';
import { codeOf } from './postgres-errors.ts';
import { columnTypes, PostgresSnapshot } from './snapshot.ts';

export interface PostgresAdministrationOptions {
  /** `postgres://user:password@host:port/database`. */
  readonly connection: string;
  /** The same for messages, without the password. */
  readonly name: string;
  /** Default `holdfast`. */
  readonly schema?: string | undefined;
  readonly system: System;
}

const connectMs = 5_000;
/** How long a NOTIFY may take to come back. On the same connection it comes with the answer. */
const notifyMs = 3_000;
/** Rows that change with every step: their dead versions tell whether vacuum keeps up. */
const hotTables = ['session', 'chunk', 'outcome', 'operation', 'outbox', 'idempotency'] as const;

/** Opens one connection to a database that is there. Rejects as {@link StoreAdministration} says, and with `HoldfastError` code `options_invalid` when the schema's name is none. */
export async function postgresAdministration({ connection, name, schema = 'holdfast', system }: PostgresAdministrationOptions): Promise<StoreAdministration> {
  const quoted = quotedSchema(schema);
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: connection, connectionTimeoutMillis: connectMs, application_name: 'holdfast administration', types: columnTypes });
  // What breaks between two statements, the next one says.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    throw new StoreError(codeOf(error) === '3D000' ? 'store_missing' : 'store_unavailable', `${name}: ${reasonOf(error)}`, { cause: error });
  }
  return new PostgresAdministration(client, name, quoted, system);
}

/** One sentence on why nobody got in, with what to do. */
function reasonOf(error: unknown): string {
  const code = codeOf(error);
  const said = error instanceof Error && error.message !== '' ? error.message : code;
  if (code === '28P01' || code === '28000') return `the server lets nobody in like this (${said}): look at user and password`;
  if (code === '3D000') return `there is no such database (${said}): make it first, or name another one`;
  if (code === '42501') return `the user may not do this (${said})`;
  return `the database cannot be reached (${said}): look whether it runs, and at host and port`;
}

class PostgresAdministration implements StoreAdministration {
  readonly #client: Client;
  readonly #name: string;
  readonly #schema: string;
  readonly #system: System;

  constructor(client: Client, name: string, schema: string, system: System) {
    this.#client = client;
    this.#name = name;
    this.#schema = schema;
    this.#system = system;
  }

  async readSchema(): Promise<SchemaVersions> {
    const schema = this.#schema;
    const [found] = await this.#rows('SELECT to_regclass($1) IS NOT NULL AS found', [`${schema}.requirement`]);
    if (found?.['found'] !== 1) return { version: 0, latest: schemaVersionLatest };
    const [row] = await this.#rows(`SELECT max(version) AS version FROM ${schema}.schema_version`);
    return { version: Number(row?.['version']), latest: schemaVersionLatest };
  }

  async examineEngine(): Promise<readonly EngineCheck[]> {
    const [row = {}] = await this.#rows("SELECT current_setting('server_version') AS version, current_setting('default_transaction_isolation') AS isolation");
    return [
      { name: 'Postgres', detail: `${String(row['version'])}, transactions are ${String(row['isolation'])} by default`, faults: [], warnings: [] },
      await this.#durability(),
      await this.#hints(),
      await this.#vacuum(),
    ];
  }

  async inSnapshot<Result>(look: (snapshot: StoreSnapshot) => Promise<Result>): Promise<Result> {
    await this.#rows('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const result = await look(new PostgresSnapshot((text, values) => this.#rows(text, values), this.#schema));
    // Where looking failed, the transaction ends with the connection.
    await this.#rows('ROLLBACK');
    return result;
  }

  async close(): Promise<void> {
    await this.#client.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #durability(): Promise<EngineCheck> {
    const [row = {}] = await this.#rows("SELECT current_setting('synchronous_commit') AS commits, current_setting('fsync', true) AS fsync, current_setting('full_page_writes', true) AS pages");
    const off = (setting: string, why: string): Problem => ({ code: 'not_durable', message: `${setting} is off: ${why}; set it to on` });
    const warnings = [
      ...(row['commits'] === 'off' ? [off('synchronous_commit', 'commits that were acknowledged may be lost when the server crashes')] : []),
      ...(row['fsync'] === 'off' ? [off('fsync', 'everything may be lost when the machine crashes')] : []),
      ...(row['pages'] === 'off' ? [off('full_page_writes', 'pages may be torn when the machine crashes')] : []),
    ];
    return { name: 'durability', detail: `synchronous_commit is ${String(row['commits'])}`, faults: [], warnings };
  }

  /** Whether what is announced is heard: through a pooler in transaction mode, LISTEN is taken and nothing ever comes. */
  async #hints(): Promise<EngineCheck> {
    const check = { name: 'hints', detail: 'NOTIFY comes back', faults: [] };
    const channel = `holdfast_check_${this.#system.ids.secret().slice(0, 20)}`;
    try {
      const { promise: heard, resolve } = Promise.withResolvers<boolean>();
      const onNotification = (message: { readonly channel: string }): void => { if (message.channel === channel) resolve(true); };
      this.#client.on('notification', onNotification);
      await this.#client.query(`LISTEN "${channel}"`);
      await this.#client.query(`NOTIFY "${channel}"`);
      const cancel = this.#system.clock.after(notifyMs, () => resolve(false));
      const comesBack = await heard;
      cancel();
      this.#client.removeListener('notification', onNotification);
      await this.#client.query(`UNLISTEN "${channel}"`);
      if (comesBack) return { ...check, warnings: [] };
    } catch (error) {
      return { ...check, detail: 'the engine takes no LISTEN', warnings: [silent(reasonText(error))] };
    }
    return { ...check, detail: 'NOTIFY does not come back', warnings: [silent(`nothing came within ${notifyMs} ms, as through a pooler that hands connections on`)] };
  }

  /** Only told: what keeps dead versions of rows from being cleaned away, and how many there are. */
  async #vacuum(): Promise<EngineCheck> {
    const check = { name: 'vacuum', faults: [], warnings: [] };
    try {
      const tables = await this.#rows('SELECT relname, n_live_tup, n_dead_tup FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = ANY($2::text[]) ORDER BY relname', [this.#schema.replaceAll('"', ''), hotTables]);
      const [oldest = {}] = await this.#rows(`SELECT coalesce(max(age(backend_xmin)), 0)::bigint AS held, coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::bigint AS seconds
        FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`);
      const dead = tables.map((row) => `${String(row['relname'])} ${String(row['n_live_tup'])}+${String(row['n_dead_tup'])}`).join(', ');
      return { ...check, detail: `oldest transaction ${String(oldest['seconds'])} s, its xmin ${String(oldest['held'])} transactions old${dead === '' ? '' : `; rows live+dead: ${dead}`}` };
    } catch (error) {
      return { ...check, detail: `the engine does not tell (${reasonText(error)})` };
    }
  }

  async #rows(text: string, values: readonly unknown[] = []): Promise<readonly Columns[]> {
    try {
      return (await this.#client.query({ text, values: [...values] })).rows as Columns[];
    } catch (error) {
      throw new StoreError('store_unavailable', `${this.#name}: ${reasonText(error)}`, { cause: error });
    }
  }
}

function silent(why: string): Problem {
  return { code: 'hints_silent', message: `other processes' commits are found by polling only, up to a second late: ${why}` };
}

function reasonText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
