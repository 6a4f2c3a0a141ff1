import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import { HoldfastError } from '../../core/errors.ts';
import type { System } from '../../core/system.ts';
import { StoreError } from '../store-error.ts';
import type { StoreTransaction } from '../store.ts';
import { arrayLiteral, type ArrayElement } from './array-literal.ts';
import { isConflict, isPassing, storeErrorOf } from './postgres-errors.ts';

/** A connection as `pg` gives it, as far as it is used here. */
export interface PostgresClient extends StoreTransaction {
  query(statement: { readonly text: string; readonly values?: unknown[]; readonly name?: string; readonly types?: unknown }): Promise<{ readonly rows: unknown[] }>;
  release(destroy?: boolean | Error): void;
  on(event: 'notification' | 'error' | 'end', listener: (detail: never) => void): unknown;
  removeListener(event: 'notification' | 'error' | 'end', listener: (detail: never) => void): unknown;
}

/** A pool of connections as `pg` makes it, as far as it is used here: the user's own may be any with these members. */
export interface PostgresPool {
  /** Connections of `pg`, whose types do not fit {@link PostgresClient} in how they name their listeners. */
  connect(): Promise<StoreTransaction & Pick<PostgresClient, 'release'>>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  removeListener(event: 'error', listener: (error: Error) => void): unknown;
  /** How many connections it makes at most; 10 where it does not say, as in `pg`. */
  readonly options?: { readonly max?: number | undefined };
}

export interface Statement {
  readonly text: string;
  readonly values?: readonly unknown[];
  /** Names it within this schema: then the server keeps its plan. */
  readonly name?: string;
  /** So long its answer is waited for; else as long as the pool says. */
  readonly answerMs?: number;
}

export type Row = Readonly<Record<string, unknown>>;

export interface DatabaseOptions {
  /** `postgres://user:password@host:port/database`; or an open pool, which stays the caller's to close. */
  readonly connection: string | PostgresPool;
  readonly schema: string;
  readonly connectionsMax: number;
  readonly preparedStatements: boolean;
  readonly system: Pick<System, 'clock' | 'random'>;
  /** Told of every statement before it is sent, for measuring. */
  readonly onStatement?: ((text: string) => void) | undefined;
}

/** How long what the database refuses for the moment is tried again, before the caller is told. */
const patienceMs = 10_000;
const retryMsFirst = 20;
const retryMsMax = 500;
const conflictTriesMax = 50;
/**
 * So often a transaction is begun as the database begins them. Where it sees what was there at its beginning, it fails if what it locks was changed between that and the lock, and somebody who keeps storing live output lets
 * that happen for ever. READ COMMITTED waits instead; an engine without it takes it for what it has.
 */
const asDefaultTriesMax = 5;
const connectMs = 5_000;
/**
 * Of each connection of our own. A statement that takes longer than 30 s is ended by the server; every one of ours takes milliseconds, and is a look into an index: its plan is kept as long as the connection, and may be made
 * while the tables are still empty and reading all of them would look cheaper.
 */
export const connectionSettings = { statement_timeout: 30_000, idle_in_transaction_session_timeout: 60_000, enable_seqscan: 'off', enable_hashjoin: 'off', enable_mergejoin: 'off', jit: 'off' } as const;
/** Those of them that are for our statements only, not for a user's. */
const plannerSettings = ['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit'] as const satisfies readonly (keyof typeof connectionSettings)[];
/** Longer than the server's own limit, for a server that does not answer any more. */
const answerMs = 40_000;

/** Connections to one database, and what every use of them shares: plans kept by name, tries again after what passes, errors as `StoreError`. */
export class Database {
  readonly #pool: PostgresPool;
  readonly #own: Pool | null;
  readonly #options: DatabaseOptions;
  readonly #namePrefix: string;
  readonly #onPoolError = (): void => undefined;
  #closed = false;

  private constructor(pool: PostgresPool, own: Pool | null, options: DatabaseOptions) {
    this.#pool = pool;
    this.#own = own;
    this.#options = options;
    this.#namePrefix = `holdfast_${createHash('sha256').update(options.schema).digest('hex').slice(0, 8)}_`;
    // A connection that breaks while nobody uses it: the next use gets another one. Without a listener it would end the process.
    pool.on('error', this.#onPoolError);
  }

  /** Makes the pool; connects with its first use. Rejects with `HoldfastError` code `options_invalid` when the URL is none. */
  static async open(options: DatabaseOptions): Promise<Database> {
    if (typeof options.connection !== 'string') return new Database(options.connection, null, options);
    const { default: pg } = await import('pg');
    const own = new pg.Pool({
      connectionString: options.connection, max: options.connectionsMax, connectionTimeoutMillis: connectMs, keepAlive: true, application_name: 'holdfast', query_timeout: answerMs,
      // Statements of one transaction go out together (see `pipeline` in the documentation of pg); `client` of Pool's types does not know it yet.
      ...({ pipeline: true } as object),
    });
    const text = `SELECT ${Object.entries(connectionSettings).map(([name, value]) => `set_config('${name}', '${value}', false)`).join(', ')}`;
    // Not as parameters of the connection, which poolers refuse. Sent before whatever the connection was made for; should it fail, so does that.
    own.on('connect', (client) => void client.query(text).catch(() => undefined));
    return new Database(own as unknown as PostgresPool, own, options);
  }

  /** Whether the connections are the store's own, set up as it needs them. */
  get isOwn(): boolean {
    return this.#own !== null;
  }

  /** How many connections there are at most. */
  get connectionsMax(): number {
    return this.#own === null ? (this.#pool.options?.max ?? 10) : this.#options.connectionsMax;
  }

  /** The settings of the planner that were changed on each connection. */
  get plannerSettings(): readonly string[] {
    return this.#own === null ? [] : plannerSettings;
  }

  get closed(): boolean {
    return this.#closed;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // Our own pool keeps its listener: connections that it is just ending may still break.
    if (this.#own !== null) await this.#own.end();
    else this.#pool.removeListener('error', this.#onPoolError);
  }

  /** One statement, which is one transaction. Tried again after conflicts, and where `repeats` says that it may be, while the database cannot be reached. */
  async run(statement: Statement, { repeats = true }: { readonly repeats?: boolean } = {}): Promise<readonly Row[]> {
    return this.retrying(() => this.withClient((client) => this.send(client, statement)), repeats);
  }

  /**
   * Runs `work`, which is one transaction or one statement, again when it lost against another, and, where `repeats` says so, while the database cannot be reached. Rejects with `StoreError`: `store_unavailable` when
   * that goes on, `store_closed`. `work` is told which try it is, from 1.
   */
  async retrying<Result>(work: (tries: number) => Promise<Result>, repeats = true): Promise<Result> {
    const { clock } = this.#options.system;
    const untilMs = clock.monotonicMs() + patienceMs;
    for (let tries = 1; ; tries += 1) {
      if (this.#closed) throw new StoreError('store_closed', 'the store is closed');
      try {
        return await work(tries);
      } catch (error) {
        const again = isConflict(error) ? tries < conflictTriesMax : repeats && isPassing(error) && clock.monotonicMs() < untilMs;
        if (!again) throw storeErrorOf(error);
        await this.pause(tries, isConflict(error) ? 1 : retryMsFirst);
      }
    }
  }

  /** Waits longer each time, at random, so that those who met do not meet again. */
  async pause(tries: number, firstMs = retryMsFirst): Promise<void> {
    const { clock, random } = this.#options.system;
    const delayMs = Math.min(retryMsMax, firstMs * 2 ** Math.min(tries, 10)) * random.next();
    await new Promise<void>((resolve) => clock.after(delayMs, resolve));
  }

  /** Gives `use` a connection of its own. One that fails otherwise than by a statement's error is thrown away. */
  async withClient<Result>(use: (client: PostgresClient) => Promise<Result>): Promise<Result> {
    const client = await this.connect();
    let broken = false;
    // It may break between two statements: the next one says so.
    const onError = (): void => { broken = true; };
    client.on('error', onError);
    try {
      return await use(client);
    } catch (error) {
      broken ||= isPassing(error);
      throw error;
    } finally {
      client.removeListener('error', onError);
      client.release(broken);
    }
  }

  async connect(): Promise<PostgresClient> {
    return await this.#pool.connect() as PostgresClient;
  }

  async send(client: StoreTransaction, { text, values, name, answerMs: waitMs }: Statement): Promise<readonly Row[]> {
    this.#options.onStatement?.(text);
    const named = name !== undefined && this.#options.preparedStatements ? { name: this.#namePrefix + name } : {};
    const { rows } = await (client as PostgresClient).query({ text, types: plainTypes, ...(values === undefined ? {} : { values: values.map((value) => (Array.isArray(value) ? arrayLiteral(value as readonly ArrayElement[]) : value)) }), ...(waitMs === undefined ? {} : { query_timeout: waitMs }), ...named });
    return rows as Row[];
  }

  /** Sends statements that need nothing of each other's answers: together on a connection that takes them so, as ours do, one by one on another. Rejects with the first error, after all have been answered. */
  async sendAll(client: StoreTransaction, statements: readonly Statement[]): Promise<readonly (readonly Row[])[]> {
    if ('pipeline' in client && client.pipeline === true) {
      const results = await Promise.allSettled(statements.map((statement) => this.send(client, statement)));
      return results.map((result) => {
        if (result.status === 'rejected') throw result.reason;
        return result.value;
      });
    }
    const results: (readonly Row[])[] = [];
    for (const statement of statements) results.push(await this.send(client, statement));
    return results;
  }

  /** Several statements as one transaction, in one round trip on a connection of ours. */
  async runAll(statements: readonly Statement[]): Promise<readonly (readonly Row[])[]> {
    return this.withClient(async (client) => {
      try {
        return (await this.sendAll(client, [{ text: 'BEGIN' }, ...statements, { text: 'COMMIT' }])).slice(1, -1);
      } catch (error) {
        if (!isPassing(error)) await this.send(client, { text: 'ROLLBACK' });
        throw error;
      }
    });
  }

  /**
   * A transaction on a connection of its own: committed when `work` resolves, rolled back when it rejects. `work` ends with the statements that go out together with the COMMIT. It locks first and reads after; so
   * from a certain one of its `tries` on, see `asDefaultTriesMax`, it needs no more than READ COMMITTED.
   */
  async transaction<Result>(
    first: readonly Statement[], work: (rows: readonly (readonly Row[])[], client: PostgresClient) => Promise<{ readonly last: readonly Statement[] | 'rollback'; readonly result: Result }>, tries = 1,
  ): Promise<Result> {
    return this.withClient(async (client) => {
      try {
        const [, ...rows] = await this.sendAll(client, [{ text: tries > asDefaultTriesMax ? 'BEGIN ISOLATION LEVEL READ COMMITTED' : 'BEGIN' }, ...first]);
        const { last, result } = await work(rows, client);
        if (last === 'rollback') await this.send(client, { text: 'ROLLBACK' });
        else await this.sendAll(client, [...last, { text: 'COMMIT' }]);
        return result;
      } catch (error) {
        if (!isPassing(error)) await this.send(client, { text: 'ROLLBACK' });
        throw error;
      }
    });
  }
}

/** Numbers and booleans as such, everything else as text, whatever a user's pool has set. */
const plainTypes = {
  getTypeParser: (oid: number) => (oid === 20 || oid === 21 || oid === 23 ? Number : oid === 16 ? (text: string) => text === 't' : (text: string) => text),
};

const schemaPattern = /^[a-z_][a-z0-9_]{0,47}$/;

/** The schema as SQL writes it. Throws `HoldfastError` with code `options_invalid` for what is no plain name. */
export function quotedSchema(schema: string): string {
  if (!schemaPattern.test(schema)) throw new HoldfastError('options_invalid', `the schema ${JSON.stringify(schema)} is no plain name: use lower-case letters, digits and _, at most 48`);
  return `"${schema}"`;
}

/** The channel on which changes in a schema are announced: channels are the database's, not the schema's. */
export function channelOf(schema: string): string {
  return `holdfast_${createHash('sha256').update(schema).digest('hex').slice(0, 16)}`;
}
