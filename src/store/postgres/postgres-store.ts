import type { Entry, EntryKind } from '../../core/entry.ts';
import type { Operation } from '../../core/operation.ts';
import type { Session } from '../../core/session.ts';
import type { System } from '../../core/system.ts';
import { HoldfastError } from '../../core/errors.ts';
import { StoreError } from '../store-error.ts';
import type {
  AnnouncedWorker, BranchFilter, BranchPage, ChangeHint, ChunkWrite, Claimable, ClaimableOperation, ClaimableQuery, CreateRequest, CreateResult, DeadWorkers, EntryRange, HeldSession, OperationFilter,
  OperationKey, OperationPage, OperationUpdateRequest, OperationUpdateResult, OutboxItem, OutcomeWrite, Renewal, SessionFilter, SessionKey, SessionPage, SessionRef, Store,
  StoreTransaction, Tail, TailFrom, TransactionOptions, UpdateRequest, UpdateResult, WholeResult, WorkerRow,
} from '../store.ts';
import { CallerTransactions } from './caller-transactions.ts';
import { ChangeHints } from './change-hints.ts';
import { ChangeWriter } from './change-writer.ts';
import { claimableWork } from './claimable-sessions.ts';
import { dialectFor, type Dialect } from './dialect.ts';
import { GroupCommit } from './group-commit.ts';
import { KnownSessions } from './known-sessions.ts';
import { migrateDatabase, schemaVersionLatest } from './migrations.ts';
import { channelOf, Database, quotedSchema, type PostgresPool, type Row } from './open-database.ts';
import { OperationRows } from './operation-rows.ts';
import { listSessions } from './session-list.ts';
import { SessionRows, storable } from './session-rows.ts';
import { SessionWrites } from './session-writes.ts';
import { postgresState, sweepState } from './state-rows.ts';
import { Statements, type StatementName } from './statements.ts';
import { StoreClock } from './store-clock.ts';
import { ExpiredReplies } from './stored-replies.ts';
import { postgresUsage } from './usage-rows.ts';

/** Sessions that a process knows without reading. */
const knownSessionsMax = 1_024;

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:port/database`, or a pool of `pg` that stays the caller's to close. The store keeps one of its connections for listening. */
  readonly connection: string | PostgresPool;
  /** The schema of the tables, made if it is not there: lower-case letters, digits and _, at most 48. Default `holdfast`. */
  readonly schema?: string | undefined;
  /** Connections of the store's own pool, that for listening included. Default 10. */
  readonly connectionsMax?: number | undefined;
  /** Whether plans are kept by name; false for poolers that hand a connection to another client after each transaction and do not know of them. Default true. */
  readonly preparedStatements?: boolean | undefined;
  /** What the engine can do; default: what Postgres can, by the isolation level that the database has for transactions. */
  readonly dialect?: Partial<Dialect> | undefined;
  readonly system: System;
  /** Entries whose commit also leaves an event to deliver. Default: none. */
  readonly outboxKinds?: readonly EntryKind[];
  /** Told of every statement before it is sent, for measuring what a turn costs. */
  readonly onStatement?: (text: string) => void;
  /** Instead of the database's clock, for tests of what goes by it. */
  readonly nowMs?: () => number;
}

/**
 * Opens the Postgres store: any number of processes may use one database. Every acknowledged write survives a crash of the process, and of the database as its `synchronous_commit` says (on by default). Rejects with
 * `HoldfastError` code `options_invalid`, and with `StoreError` code `store_unavailable` when the database does not answer for 10 s.
 */
export async function postgresStore(options: PostgresStoreOptions): Promise<Store> {
  const schema = quotedSchema(options.schema ?? 'holdfast');
  const { connection, connectionsMax = 10, preparedStatements = true, system, onStatement } = options;
  requireConnections(typeof connection === 'string' ? connectionsMax : connection.options?.max, options.dialect?.notify ?? true);
  const database = await Database.open({ connection, schema, connectionsMax, preparedStatements, system, onStatement });
  try {
    const clock = new StoreClock(system.clock);
    // What the time is, is asked on a connection that is there: making one takes longer than all the rest.
    await database.run({ text: 'SELECT 1' });
    const [server] = await clock.during(() => database.run({ text: "SELECT current_setting('default_transaction_isolation') AS isolation, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms" }), nowMsOf);
    return new PostgresStore(database, schema, dialectFor(String(server?.['isolation']), options.dialect), clock, options);
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** Fewer would wait for each other for ever: one listens, one may be held by a transaction in which the user's statements take part, and one is for everything else. Throws `HoldfastError` with code `options_invalid`. */
function requireConnections(max = 10, listens: boolean): void {
  const least = listens ? 3 : 2;
  if (max >= least) return;
  throw new HoldfastError('options_invalid', `the pool has ${max} connection${max === 1 ? '' : 's'}, and Holdfast needs at least ${least}${listens ? ': one listens,' : ':'} one may be held by a transaction with your statements in it, and one is for all the rest; set max of your pool, or connectionsMax`);
}

class PostgresStore implements Store {
  readonly name = 'postgres';
  readonly capabilities;
  readonly state;
  readonly usage;
  readonly #database: Database;
  readonly #schema: string;
  readonly #statements: Statements;
  readonly #rows: SessionRows;
  readonly #sessions: SessionWrites;
  readonly #operations: OperationRows;
  readonly #expired: ExpiredReplies;
  readonly #known = new KnownSessions(knownSessionsMax);
  readonly #hints: ChangeHints;
  readonly #transactions: CallerTransactions;
  readonly #clock: StoreClock;
  readonly #given: PostgresStoreOptions['nowMs'];
  readonly #mintCommitId: () => string;
  readonly #used = new Set<Promise<unknown>>();
  #closing: Promise<void> | null = null;

  constructor(database: Database, schema: string, dialect: Dialect, clock: StoreClock, { system, outboxKinds = [], nowMs }: PostgresStoreOptions) {
    this.#database = database;
    this.#schema = schema;
    this.#clock = clock;
    this.#given = nowMs;
    this.#statements = new Statements(schema, dialect);
    this.#rows = new SessionRows(database, this.#statements);
    this.#expired = new ExpiredReplies(database, this.#statements);
    this.#hints = new ChangeHints({ database, system, channel: dialect.notify ? channelOf(schema) : null });
    // Of a session that another process has changed what is known is old: a commit made of it would be a round trip for nothing.
    this.#hints.subscribe(({ ref, elsewhere }) => {
      if (elsewhere && ref !== null) this.#known.forget(ref);
    });
    this.#transactions = new CallerTransactions({ database, system, announce: (ref) => this.#hints.announce(ref, true, true) });
    this.#mintCommitId = commitIds(system);
    const writer = new ChangeWriter(schema, dialect, outboxKinds);
    const writing = {
      database, statements: this.#statements, rows: this.#rows, known: this.#known, writer, nowMs: () => this.nowMs(), mintCommitId: this.#mintCommitId,
      group: dialect.skipLocked && database.isOwn ? new GroupCommit(database, writer, system) : null,
      announce: (ref: SessionRef, leavesWork: boolean) => this.#hints.announce(ref, leavesWork),
    };
    this.#sessions = new SessionWrites(writing);
    this.#operations = new OperationRows(writing);
    this.state = postgresState({ database, statements: this.#statements, nowMs: () => this.nowMs(), use: (verb) => this.#use(verb) });
    this.usage = postgresUsage({ database, statements: this.#statements, nowMs: () => this.nowMs(), use: (verb) => this.#use(verb) });
    this.capabilities = { processLocks: false, durable: true, transactions: true, hintsOfOthers: dialect.notify };
  }

  migrate(): Promise<void> {
    return this.#use(async () => {
      await migrateDatabase(this.#database, this.#schema);
      this.#hints.start();
    });
  }

  nowMs(): number {
    return this.#given?.() ?? this.#clock.nowMs();
  }

  get hearsOthers(): boolean {
    return this.#hints.hearsOthers;
  }

  create<Reply>(request: CreateRequest<Reply>): Promise<CreateResult<Reply>> {
    return this.#use(() => this.#within(request.transaction, () => this.#sessions.create(request)));
  }

  update<Reply>(request: UpdateRequest<Reply>): Promise<UpdateResult<Reply>> {
    return this.#use(() => this.#within(request.transaction, () => this.#sessions.update(request)));
  }

  appendChunkIfHeld({ ref, fence, attemptId, ordinal, segments }: ChunkWrite): Promise<'stored' | 'fence-lost'> {
    return this.#use(async () => {
      const held = await this.#run('appendChunk', ref.tenant, ref.id, fence, attemptId, ordinal, JSON.stringify(segments));
      if (held.length === 0) return 'fence-lost';
      this.#hints.announce(ref, false);
      return 'stored';
    });
  }

  storeOutcomeIfHeld({ ref, fence, stepSeq, result, transaction }: OutcomeWrite): Promise<'stored' | 'fence-lost'> {
    return this.#use(async () => {
      const statement = this.#statements.get('storeOutcome', ref.tenant, ref.id, fence, this.#mintCommitId(), stepSeq, result.index, JSON.stringify(result));
      const held = transaction === undefined ? await this.#database.run(statement) : await this.#transactions.inTurn(transaction, () => this.#database.send(transaction, statement));
      this.#known.forget(ref);
      return held.length === 0 ? 'fence-lost' : 'stored';
    });
  }

  storeWholeResult({ ref, id, body, transaction }: WholeResult): Promise<'stored' | 'session-gone'> {
    return this.#use(async () => {
      const statement = this.#statements.get('storeWholeResult', ref.tenant, ref.id, id, body);
      const held = transaction === undefined ? await this.#database.run(statement) : await this.#transactions.inTurn(transaction, () => this.#database.send(transaction, statement));
      return held.length === 0 ? 'session-gone' : 'stored';
    });
  }

  readWholeResult({ tenant, id: sessionId }: SessionRef, id: string): Promise<string | null> {
    return this.#use(async () => {
      const [row] = await this.#run('wholeResult', tenant, sessionId, id);
      return row === undefined ? null : String(row['body']);
    });
  }

  updateOperation<Reply>(request: OperationUpdateRequest<Reply>): Promise<OperationUpdateResult<Reply>> {
    return this.#use(() => this.#operations.update(request));
  }

  readOperation(key: OperationKey): Promise<Operation | null> {
    return this.#use(() => this.#operations.find(key));
  }

  listOperations(ref: SessionRef, page: OperationFilter): Promise<OperationPage> {
    return this.#use(() => this.#operations.list(ref, page));
  }

  findClaimableOperations(query: ClaimableQuery): Promise<readonly ClaimableOperation[]> {
    return this.#use(() => claimableWork(this.#database, this.#statements, 'Operations', query));
  }

  findHeldOperations(worker: string): Promise<readonly HeldSession[]> {
    return this.#use(() => this.#operations.heldBy(worker));
  }

  readSession(key: SessionKey): Promise<Session | null> {
    return this.#use(() => this.#rows.find(key));
  }

  readEntries(ref: SessionRef, range: EntryRange): Promise<readonly Entry[]> {
    return this.#use(() => this.#rows.entries(ref, range));
  }

  readMarked(ref: SessionRef, mark: string): Promise<Entry | null> {
    return this.#use(() => this.#rows.marked(ref, mark));
  }

  readTail(key: SessionKey, from: TailFrom): Promise<Tail | null> {
    return this.#use(() => this.#rows.tail(key, from));
  }

  listSessions(filter: SessionFilter): Promise<SessionPage> {
    return this.#use(() => listSessions(this.#database, this.#schema, filter));
  }

  listBranches(ref: SessionRef, page: BranchFilter): Promise<BranchPage> {
    return this.#use(() => this.#rows.branches(ref, page));
  }

  registerWorker({ id, leaseMs, agents }: WorkerRow): Promise<void> {
    return this.#use(async () => {
      await this.#run('registerWorker', this.#time(), id, leaseMs, JSON.stringify(agents), schemaVersionLatest);
    });
  }

  renewWorker(worker: string, leaseMs: number): Promise<Renewal | 'lost'> {
    return this.#use(async () => {
      const rows = await this.#clock.during(() => this.#run('renewWorker', this.#time(), worker, leaseMs), nowMsOf);
      const [row] = rows;
      if (row === undefined) return 'lost';
      return { held: rows.filter(({ id }) => id !== null).map(heldSession), outdated: Number(row['oldest_version']) > schemaVersionLatest };
    });
  }

  findHeld(worker: string): Promise<readonly HeldSession[]> {
    return this.#use(async () => (await this.#run('sessionsOfWorker', worker)).map(heldSession));
  }

  retireWorker(worker: string): Promise<void> {
    return this.#use(async () => {
      await this.#run('deleteWorker', worker);
    });
  }

  findDeadWorkers(): Promise<DeadWorkers> {
    return this.#use(async () => {
      const [row] = await this.#clock.during(() => this.#run('deadWorkers', this.#time()), nowMsOf);
      const nowMs = Number(row?.['now_ms']);
      const leftMs = (JSON.parse(String(row?.['workers'])) as (readonly [id: string, leaseUntilMs: number])[]).map(([id, untilMs]) => ({ id, leftMs: untilMs - nowMs }));
      const living = leftMs.filter((worker) => worker.leftMs > 0);
      return {
        dead: [...leftMs.filter((worker) => worker.leftMs <= 0).map(({ id }) => id), ...JSON.parse(String(row?.['stray'])) as string[]],
        nextEndMs: living.length === 0 ? null : Math.min(...living.map((worker) => worker.leftMs)),
      };
    });
  }

  listWorkers(): Promise<readonly AnnouncedWorker[]> {
    return this.#use(async () => {
      return (await this.#run('workers', this.#time())).map((row) => ({
        id: String(row['id']), agents: JSON.parse(String(row['agents'])) as string[], schemaVersion: Number(row['schema_version']), isDead: Number(row['lease_until_ms']) <= Number(row['now_ms']),
      }));
    });
  }

  removeDeadWorkers(workers: readonly string[]): Promise<void> {
    return this.#use(async () => {
      await this.#run('forgetWorkers', workers);
    });
  }

  findClaimable(query: ClaimableQuery): Promise<readonly Claimable[]> {
    return this.#use(() => claimableWork(this.#database, this.#statements, 'Sessions', query));
  }

  readOutbox({ limit, olderThanMs }: { readonly limit: number; readonly olderThanMs: number }): Promise<readonly OutboxItem[]> {
    return this.#use(async () => {
      const rows = await this.#run('outboxUntil', olderThanMs, limit);
      return rows.map((row) => ({ tenant: String(row['tenant']), id: String(row['session_id']), seq: Number(row['seq']), kind: String(row['kind']) as EntryKind }));
    });
  }

  deleteOutbox(items: readonly OutboxItem[]): Promise<void> {
    return this.#use(async () => {
      for (const { tenant, id, seq } of items) await this.#run('deleteOutboxItem', tenant, id, seq);
    });
  }

  sweep(nowMs: number, limit: number): Promise<number> {
    return this.#use(async () => {
      await this.#clock.during(() => this.#run('time', this.#time()), nowMsOf);
      return await this.#expired.sweep(nowMs, limit) + await sweepState(this.#database, this.#statements, nowMs, limit);
    });
  }

  onChange(listener: (hint: ChangeHint) => void): () => void {
    return this.#hints.subscribe(listener);
  }

  transaction<Result>(work: (transaction: StoreTransaction) => Promise<Result>, options?: TransactionOptions): Promise<Result> {
    return this.#use(() => this.#transactions.run(work, options));
  }

  announce(ref?: SessionRef): void {
    if (ref === undefined) this.#transactions.announceAll();
    else this.#hints.announce(ref, true, true);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    while (this.#used.size > 0) await Promise.allSettled(this.#used);
    await this.#hints.close();
    await this.#database.close();
  }

  /** A change that belongs to a caller's transaction, if there is one: it is told of when that has ended. */
  async #within<Result extends { readonly kind: string }>(transaction: StoreTransaction | undefined, verb: () => Promise<Result>): Promise<Result> {
    if (transaction === undefined) return verb();
    const result = await this.#transactions.inTurn(transaction, verb);
    if ((result.kind === 'committed' || result.kind === 'created') && 'session' in result) this.#transactions.changed(transaction, result.session as SessionRef);
    return result;
  }

  /** Every verb: none after closing, and closing waits for those before. */
  async #use<Result>(verb: () => Promise<Result>): Promise<Result> {
    if (this.#closing !== null) throw new StoreError('store_closed', 'the store is closed');
    const result = verb();
    this.#used.add(result);
    try {
      return await result;
    } finally {
      this.#used.delete(result);
    }
  }

  #run(name: StatementName, ...values: readonly unknown[]): Promise<readonly Row[]> {
    return this.#database.run(this.#statements.get(name, ...values));
  }

  /** null: the database's own time. */
  #time(): number | null {
    return this.#given?.() ?? null;
  }
}

function heldSession(row: Row): HeldSession {
  return { tenant: String(row['tenant']), id: String(row['id']), fence: Number(row['fence']) };
}

function nowMsOf([row]: readonly Row[]): number | null {
  return row === undefined ? null : Number(row['now_ms']);
}

/** Ids that no other process mints: a chance beginning, then a count. */
function commitIds({ ids }: Pick<System, 'ids'>): () => string {
  const prefix = storable(ids.secret().slice(0, 9));
  let count = 0;
  return () => {
    count += 1;
    return `${prefix}${count.toString(36)}`;
  };
}
