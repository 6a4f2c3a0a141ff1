import pg from 'pg';
import type { PostgresClient, PostgresPool } from '../../src/store/postgres/open-database.ts';

type Query = Parameters<PostgresClient['query']>[0];
type Answer = Awaited<ReturnType<PostgresClient['query']>>;

/** What becomes of a statement that was caught on its way to the server. */
type Fate =
  | { readonly kind: 'pass' }
  /** The server says so, and has done nothing. */
  | { readonly kind: 'refuse'; readonly error: Error }
  /** The connection breaks before the server has it. */
  | { readonly kind: 'lose' }
  /** The server does it, and the connection breaks before it can say so. */
  | { readonly kind: 'lose-reply' }
  /** The connection is taken for broken; the server gets the statement when `delivery` resolves. */
  | { readonly kind: 'late'; readonly delivery: Promise<void>; readonly delivered: (answer: Promise<unknown>) => void };

/** One statement that a test waits for, and decides about. */
export class CaughtStatement {
  /** Resolves when it is about to be sent. Nothing of it has reached the server. */
  readonly reached: Promise<void>;
  readonly fate: Promise<Fate>;
  readonly #pattern: RegExp;
  #reach: () => void = () => undefined;
  #decide: (fate: Fate) => void = () => undefined;

  constructor(pattern: RegExp) {
    this.#pattern = pattern;
    this.reached = new Promise((resolve) => { this.#reach = resolve; });
    this.fate = new Promise((resolve) => { this.#decide = resolve; });
  }

  matches({ name = '', text }: Query): boolean {
    return this.#pattern.test(`${name}\n${text}`);
  }

  reach(): void {
    this.#reach();
  }

  pass(): void {
    this.#decide({ kind: 'pass' });
  }

  refuse(sqlState: string): void {
    this.#decide({ kind: 'refuse', error: Object.assign(new Error(`refused by the test with ${sqlState}`), { code: sqlState }) });
  }

  lose(): void {
    this.#decide({ kind: 'lose' });
  }

  loseReply(): void {
    this.#decide({ kind: 'lose-reply' });
  }

  /** The store hears at once that the connection broke; the returned function has the server do the statement all the same, and resolves with whether it did. */
  arriveLate(): () => Promise<'done' | 'failed'> {
    let deliver: () => void = () => undefined;
    let answered: (answer: Promise<unknown>) => void = () => undefined;
    const delivery = new Promise<void>((resolve) => { deliver = resolve; });
    const answer = new Promise<unknown>((resolve) => { answered = resolve; });
    this.#decide({ kind: 'late', delivery, delivered: answered });
    return async () => {
      deliver();
      return answer.then(() => 'done', () => 'failed');
    };
  }
}

/** A pool whose single statements a test can hold back, refuse or lose, by their names and texts. */
export class StatementGate implements PostgresPool {
  readonly #pool: pg.Pool;
  readonly #expected: CaughtStatement[] = [];

  constructor(connectionString: string, applicationName: string) {
    this.#pool = new pg.Pool({ connectionString, application_name: applicationName, max: 8 });
  }

  /** The next statement that fits, once. The caller says what becomes of it. */
  next(pattern: RegExp): CaughtStatement {
    const caught = new CaughtStatement(pattern);
    this.#expected.push(caught);
    return caught;
  }

  async connect(): Promise<PostgresClient> {
    return new GatedClient(await this.#pool.connect(), (statement) => this.#take(statement));
  }

  on(event: 'error', listener: (error: Error) => void): unknown {
    return this.#pool.on(event, listener);
  }

  removeListener(event: 'error', listener: (error: Error) => void): unknown {
    return this.#pool.removeListener(event, listener);
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }

  #take(statement: Query): CaughtStatement | undefined {
    const place = this.#expected.findIndex((caught) => caught.matches(statement));
    return place === -1 ? undefined : this.#expected.splice(place, 1)[0];
  }
}

function connectionLost(): Error {
  return Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });
}

class GatedClient implements PostgresClient {
  readonly #client: pg.PoolClient;
  readonly #take: (statement: Query) => CaughtStatement | undefined;
  /** Set when the connection is taken for broken: what the server still gets on it. */
  #rest: Promise<unknown> | null = null;

  constructor(client: pg.PoolClient, take: (statement: Query) => CaughtStatement | undefined) {
    this.#client = client;
    this.#take = take;
  }

  async query(statement: Query): Promise<Answer> {
    if (this.#rest !== null) throw connectionLost();
    const caught = this.#take(statement);
    if (caught === undefined) return this.#send(statement);
    caught.reach();
    const fate = await caught.fate;
    switch (fate.kind) {
      case 'pass':
        return this.#send(statement);
      case 'refuse':
        throw fate.error;
      case 'lose':
        this.#rest = Promise.resolve();
        throw connectionLost();
      case 'lose-reply':
        await this.#send(statement);
        this.#rest = Promise.resolve();
        throw connectionLost();
      case 'late':
        this.#rest = fate.delivery.then(() => this.#send(statement));
        fate.delivered(this.#rest);
        throw connectionLost();
    }
  }

  release(destroy?: boolean | Error): void {
    if (this.#rest === null) this.#client.release(destroy);
    // What comes late needs its connection until then; whatever the server said to it, nobody hears.
    else void Promise.allSettled([this.#rest]).then(() => this.#client.release(true));
  }

  on(event: 'notification' | 'error' | 'end', listener: (detail: never) => void): unknown {
    return this.#client.on(event as 'error', listener as (error: Error) => void);
  }

  removeListener(event: 'notification' | 'error' | 'end', listener: (detail: never) => void): unknown {
    return this.#client.removeListener(event as 'error', listener as (error: Error) => void);
  }

  async #send(statement: Query): Promise<Answer> {
    return await this.#client.query(statement as pg.QueryConfig) as Answer;
  }
}
