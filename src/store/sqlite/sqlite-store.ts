import { externalIdTaken } from '../../core/accept/transfer.ts';
import type { Change, Loaded } from '../../core/draft.ts';
import type { Entry, EntryKind } from '../../core/entry.ts';
import { isRefusal, refuse } from '../../core/errors.ts';
import type { Operation } from '../../core/operation.ts';
import { keysOfOpenCalls, type Session } from '../../core/session.ts';
import type { System } from '../../core/system.ts';
import type { AnnouncedWorker, BranchFilter, BranchPage, ChangeHint, ChunkWrite, Claimable, ClaimableOperation, ClaimableQuery, CreateRequest, CreateResult, DeadWorkers, EntryRange, HeldSession, OperationFilter, OperationKey, OperationPage, OperationUpdateRequest, OperationUpdateResult, OutboxItem, OutcomeWrite, Renewal, SessionFilter, SessionKey, SessionPage, SessionRef, Store, Tail, TailFrom, UpdateRequest, UpdateResult, WholeResult, WorkerRow } from '../store.ts';
import { StoreError } from '../store-error.ts';
import { ChangeHints } from './change-hints.ts';
import { ChangeWriter } from './change-writer.ts';
import { claimableSessions } from './claimable-sessions.ts';
import { GroupCommit, storeErrorOf } from './group-commit.ts';
import { isOutdated, migrateDatabase, schemaVersionLatest } from './migrations.ts';
import { isBusy, openDatabase, type Database } from './open-database.ts';
import { OperationRows } from './operation-rows.ts';
import { listSessions } from './session-list.ts';
import { SessionRows } from './session-rows.ts';
import { sqliteState, StateRows } from './state-rows.ts';
import { PreparedStatements } from './statements.ts';
import { StoredReplies } from './stored-replies.ts';
import { sqliteUsage, UsageRows } from './usage-rows.ts';
import { WorkerLocks, type ProcessLocks } from './worker-lock.ts';

export interface SqliteStoreOptions {
  /** Path of the database file, or `:memory:`. Created if it does not exist; beside it lie `-wal`, `-shm` and a folder `-workers`. */
  readonly path: string;
  readonly system: Pick<System, 'clock' | 'random'>;
  /** Entries whose commit also leaves an event to deliver. Default: none. */
  readonly outboxKinds?: readonly EntryKind[];
  /** Told of every statement as SQLite runs it, for measuring what a turn costs. */
  readonly onStatement?: (sql: string) => void;
  /** How often to look for commits of other processes while somebody listens, in milliseconds. Default 20. */
  readonly pollMs?: number;
}

/** An open database, and what a store needs to know of it. */
export interface SqliteConnection {
  readonly database: Database;
  readonly statements: PreparedStatements;
  /** null: whether a worker lives, its lease alone tells. */
  readonly locks: ProcessLocks | null;
  /** Others may use it too, and it survives the process. */
  readonly isFile: boolean;
  /** Ends it with the store. */
  close(): void;
}

/**
 * Opens the SQLite store on a file; several processes may use one file. Every acknowledged write survives a crash of the
 * process and of the machine (`synchronous=FULL`). Rejects with a `StoreError`: `store_unsupported`, `store_unavailable`.
 */
export async function sqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const database = await openDatabase(options.path, options.onStatement);
  const { default: Sqlite } = await import('better-sqlite3');
  const isFile = options.path !== ':memory:';
  return sqliteStoreOn({ database, statements: new PreparedStatements(database), locks: isFile ? new WorkerLocks(options.path, Sqlite) : null, isFile, close: () => database.close() }, options);
}

/** The store on a database that is open already. Several may be on one, each as if it were in a process of its own: what a simulation is made of. */
export function sqliteStoreOn(connection: SqliteConnection, options: Omit<SqliteStoreOptions, 'path' | 'onStatement'>): Store {
  return new SqliteStore(connection, options);
}

class SqliteStore implements Store {
  readonly name = 'sqlite';
  readonly capabilities;
  readonly state;
  readonly usage;
  readonly #database: Database;
  readonly #statements: PreparedStatements;
  readonly #rows: SessionRows;
  readonly #operations: OperationRows;
  readonly #stateRows: StateRows;
  readonly #replies: StoredReplies;
  readonly #writer: ChangeWriter;
  readonly #group: GroupCommit;
  readonly #locks: ProcessLocks | null;
  readonly #system: SqliteStoreOptions['system'];
  readonly #hints: ChangeHints;
  readonly #connection: SqliteConnection;
  #closing: Promise<void> | null = null;

  constructor(connection: SqliteConnection, { system, outboxKinds = [], pollMs = 20 }: Omit<SqliteStoreOptions, 'path'>) {
    const { database, statements, locks, isFile } = connection;
    this.#connection = connection;
    this.#database = database;
    this.#statements = statements;
    this.#rows = new SessionRows(this.#statements);
    this.#operations = new OperationRows(this.#statements);
    this.#replies = new StoredReplies(this.#statements);
    this.#stateRows = new StateRows(this.#statements, this.#rows);
    const usageRows = new UsageRows(this.#statements);
    this.#writer = new ChangeWriter(this.#statements, this.#rows, this.#operations, this.#stateRows, usageRows, outboxKinds);
    this.usage = sqliteUsage({ rows: usageRows, nowMs: () => this.nowMs(), run: (write) => this.#group.run(write), whenFree: (read) => this.#whenFree(read) });
    this.#locks = locks;
    this.#system = system;
    this.#hints = new ChangeHints({ database, clock: system.clock, pollMs: isFile ? pollMs : null });
    this.#group = new GroupCommit(database, system, () => this.#hints.announce());
    this.state = sqliteState({ rows: this.#stateRows, sessions: this.#rows, replies: this.#replies, nowMs: () => this.nowMs(), run: (write) => this.#group.run(write), whenFree: (read) => this.#whenFree(read) });
    this.capabilities = { processLocks: locks !== null, durable: isFile, transactions: false, hintsOfOthers: isFile };
  }

  /** A look at the file is so cheap that no hint of another process is late. */
  get hearsOthers(): boolean {
    return true;
  }

  nowMs(): number {
    return this.#system.clock.nowMs();
  }

  async migrate(): Promise<void> {
    await this.#whenFree(() => migrateDatabase(this.#database));
  }

  create<Reply>(request: CreateRequest<Reply>): Promise<CreateResult<Reply>> {
    const { ref, owner, externalId, idempotency = [] } = request;
    return this.#group.run((): CreateResult<Reply> => {
      const replayed = this.#replies.find({ tenant: ref.tenant, id: '' }, idempotency);
      if (replayed !== null) return replayed;
      const existing = externalId === undefined ? null : this.#rows.find({ tenant: ref.tenant, id: externalId, owner });
      if (existing !== null) return { kind: 'exists', session: existing };
      const change = request.build(request.origin === undefined ? null : this.#rows.find(request.origin));
      if (isRefusal(change)) return { kind: 'refused', refusal: change };
      const entries = this.#write(null, change);
      this.#replies.keep({ tenant: ref.tenant, id: '' }, idempotency, request.replyToStore(change.reply), ref.id);
      for (const { idempotency: key, reply } of request.sessionReplies?.(change.reply) ?? []) this.#replies.keep(ref, [key], reply);
      return { kind: 'created', reply: change.reply, session: change.session, entries };
    });
  }

  update<Reply>(request: UpdateRequest<Reply>): Promise<UpdateResult<Reply>> {
    return this.#group.run(() => this.#update(request));
  }

  #update<Reply>({ key, idempotency = [], transition, reads, replyToStore }: UpdateRequest<Reply>): UpdateResult<Reply> {
    const session = this.#rows.find(key);
    if (session === null) {
      // The reply of a deletion outlives its session.
      const deleted = this.#replies.find({ tenant: key.tenant, id: '' }, idempotency);
      if (deleted?.kind === 'replayed') return deleted;
      return { kind: 'refused', refusal: deleted?.refusal ?? refuse('session_not_found', `there is no session ${key.id}`), session: null };
    }
    // The key is looked at before the revision and the status (G2).
    const replayed = this.#replies.find(session, idempotency);
    if (replayed !== null) return replayed.kind === 'refused' ? { ...replayed, session } : replayed;
    const change = transition(this.#load(session, reads));
    if (isRefusal(change)) return { kind: 'refused', refusal: change, session };
    const { owner, externalId } = change.session;
    const other = owner === session.owner || externalId === null ? null : this.#rows.find({ tenant: session.tenant, id: externalId, owner });
    if (externalId !== null && other !== null) return { kind: 'refused', refusal: externalIdTaken({ owner, externalId, agent: other.agent }), session };
    const entries = this.#write(session, change);
    if (idempotency.length > 0) this.#replies.keep(change.deletesSession ? { tenant: session.tenant, id: '' } : session, idempotency, replyToStore?.(change.reply) ?? null);
    return { kind: 'committed', reply: change.reply, session: change.session, entries };
  }

  #load(session: Session, reads: UpdateRequest<never>['reads'] = {}): Loaded {
    const attempt = session.turn?.attempt;
    const outcomes = reads.outcomes === true ? this.#rows.outcomes(session) : [];
    return {
      session, outcomes, state: this.#stateRows.loadFor(session, reads.state ?? [], outcomes, this.nowMs()),
      chunks: reads.chunks === true && attempt ? this.#rows.chunks(session, attempt.id, -1).segments : [],
      keyedOperations: this.#operations.ofKeys(session.tenant, [...keysOfOpenCalls(session), ...(reads.operationKeys ?? [])]),
      ...(reads.marks === true ? { marks: this.#rows.marks(session) } : {}),
      ...(reads.branchId === undefined ? {} : { branch: this.#rows.branch(session, reads.branchId) }),
      ...(reads.entries === undefined ? {} : { entries: reads.entries.flatMap((seq) => this.#rows.entries(session, { afterSeq: seq - 1, limit: 1 }).filter((entry) => entry.seq === seq)) }),
    };
  }

  #write<Reply>(before: Session | null, change: Change<Reply>): readonly Entry[] {
    const entries = this.#writer.write(before, change);
    this.#hints.changed({ tenant: change.session.tenant, id: change.session.id });
    return entries;
  }

  appendChunkIfHeld({ ref, fence, attemptId, ordinal, segments }: ChunkWrite): Promise<'stored' | 'fence-lost'> {
    return this.#group.run(() => {
      const { changes } = this.#statements.get('insertChunk').run(ordinal, JSON.stringify(segments), ref.tenant, ref.id, fence, attemptId);
      if (changes === 0) return 'fence-lost';
      this.#hints.changed(ref);
      return 'stored';
    });
  }

  storeOutcomeIfHeld({ ref, fence, stepSeq, result }: OutcomeWrite): Promise<'stored' | 'fence-lost'> {
    return this.#group.run(() => {
      this.#statements.get('insertOutcome').run(stepSeq, result.index, JSON.stringify(result), ref.tenant, ref.id, fence);
      return this.#statements.get('sessionHasFence').get(ref.tenant, ref.id, fence) === undefined ? 'fence-lost' : 'stored';
    });
  }

  storeWholeResult({ ref, id, body }: WholeResult): Promise<'stored' | 'session-gone'> {
    return this.#group.run(() => {
      if (this.#statements.get('insertWholeResult').run(id, body, ref.tenant, ref.id).changes > 0) return 'stored';
      return this.#statements.get('sessionExists').get(ref.tenant, ref.id) === undefined ? 'session-gone' : 'stored';
    });
  }

  readWholeResult({ tenant, id: sessionId }: SessionRef, id: string): Promise<string | null> {
    return this.#whenFree(() => (this.#statements.get('wholeResult').get(tenant, sessionId, id) as { body: string } | undefined)?.body ?? null);
  }

  updateOperation<Reply>(request: OperationUpdateRequest<Reply>): Promise<OperationUpdateResult<Reply>> {
    return this.#group.run(() => this.#updateOperation(request));
  }

  #updateOperation<Reply>({ key, transition, reads }: OperationUpdateRequest<Reply>): OperationUpdateResult<Reply> {
    const operation = this.#operations.find(key);
    if (operation === null) return { kind: 'refused', refusal: refuse('operation_not_found', `there is no operation ${key.id}`), operation: null };
    const { tenant, sessionId } = operation;
    const session = reads?.session === true ? this.#rows.find({ tenant, id: sessionId }) : null;
    const change = transition({ operation, session, outcomes: session === null ? [] : this.#rows.outcomes(session) });
    if (isRefusal(change)) return { kind: 'refused', refusal: change, operation };
    if (change.operation !== operation) {
      this.#operations.update(change.operation);
      // Followers of the session see its operations, though its row stays as it is.
      if (change.session === null) this.#hints.changed({ tenant, id: sessionId });
    }
    const entries = change.session === null ? [] : this.#write(session, change.session);
    return { kind: 'committed', reply: change.reply, operation: change.operation, session: change.session?.session ?? null, entries };
  }

  readOperation(key: OperationKey): Promise<Operation | null> {
    return this.#whenFree(() => this.#operations.find(key));
  }

  listOperations(ref: SessionRef, page: OperationFilter): Promise<OperationPage> {
    return this.#whenFree(() => this.#operations.list(ref, page));
  }

  findClaimableOperations(query: ClaimableQuery): Promise<readonly ClaimableOperation[]> {
    return this.#whenFree(() => this.#operations.claimable(query));
  }

  findHeldOperations(worker: string): Promise<readonly HeldSession[]> {
    return this.#whenFree(() => this.#operations.heldBy(worker));
  }

  readSession(key: SessionKey): Promise<Session | null> {
    return this.#whenFree(() => this.#rows.find(key));
  }

  readEntries(ref: SessionRef, range: EntryRange): Promise<readonly Entry[]> {
    return this.#whenFree(() => this.#rows.entries(ref, range));
  }

  readMarked(ref: SessionRef, mark: string): Promise<Entry | null> {
    return this.#whenFree(() => this.#rows.marked(ref, mark));
  }

  readTail(key: SessionKey, { afterSeq, limit, attemptId, afterOrdinal }: TailFrom): Promise<Tail | null> {
    return this.#whenFree(this.#database.transaction((): Tail | null => {
      const session = this.#rows.find(key);
      if (session === null) return null;
      const entries = afterSeq >= session.lastSeq ? [] : this.#rows.entries(session, { afterSeq, limit });
      const complete = (entries.at(-1)?.seq ?? afterSeq) >= session.lastSeq;
      const operations = complete ? this.#operations.liveOf(session) : [];
      const attempt = session.turn?.attempt;
      if (!complete || !attempt) return { session, entries, complete, chunks: [], ordinal: -1, operations };
      const { segments, ordinal } = this.#rows.chunks(session, attempt.id, attempt.id === attemptId ? afterOrdinal : -1);
      return { session, entries, complete, chunks: segments, ordinal, operations };
    }));
  }

  listSessions(filter: SessionFilter): Promise<SessionPage> {
    return this.#whenFree(() => listSessions(this.#database, filter));
  }

  listBranches(ref: SessionRef, page: BranchFilter): Promise<BranchPage> {
    return this.#whenFree(() => this.#rows.branches(ref, page));
  }

  async registerWorker({ id, leaseMs, agents }: WorkerRow): Promise<void> {
    this.#locks?.hold(id);
    try {
      await this.#group.run(() => this.#statements.get('insertWorker').run(id, this.nowMs() + leaseMs, JSON.stringify(agents), schemaVersionLatest));
    } catch (error) {
      this.#locks?.release(id);
      throw error;
    }
  }

  renewWorker(worker: string, leaseMs: number): Promise<Renewal | 'lost'> {
    return this.#group.run(() => {
      const nowMs = this.nowMs();
      if (this.#statements.get('renewWorker').run(nowMs + leaseMs, worker, nowMs).changes === 0) return 'lost';
      return { held: this.#statements.get('sessionsOfWorker').all(worker) as HeldSession[], outdated: isOutdated(this.#database) };
    });
  }

  findHeld(worker: string): Promise<readonly HeldSession[]> {
    return this.#whenFree(() => this.#statements.get('sessionsOfWorker').all(worker) as HeldSession[]);
  }

  async retireWorker(worker: string): Promise<void> {
    await this.#group.run(() => this.#statements.get('deleteWorker').run(worker));
    this.#locks?.release(worker);
  }

  findDeadWorkers(): Promise<DeadWorkers> {
    return this.#whenFree(() => {
      const workers = this.#workers();
      const dead = workers.filter(({ isDead }) => isDead).map(({ id }) => id);
      const stray = (this.#statements.get('strayWorkers').all() as { worker: string }[]).map((row) => row.worker);
      const living = workers.filter(({ isDead }) => !isDead).map(({ leaseUntilMs }) => leaseUntilMs - this.nowMs());
      return { dead: [...dead, ...stray], nextEndMs: living.length === 0 ? null : Math.min(...living) };
    });
  }

  listWorkers(): Promise<readonly AnnouncedWorker[]> {
    return this.#whenFree(() => this.#workers());
  }

  #workers(): readonly (AnnouncedWorker & { readonly leaseUntilMs: number })[] {
    const rows = this.#statements.get('workers').all() as { id: string; lease_until_ms: number; agents: string; schema_version: number }[];
    return rows.map((row) => ({
      id: row.id, leaseUntilMs: row.lease_until_ms, agents: JSON.parse(row.agents) as string[], schemaVersion: row.schema_version,
      isDead: row.lease_until_ms <= this.nowMs() || this.#locks?.isFree(row.id) === true,
    }));
  }

  async removeDeadWorkers(workers: readonly string[]): Promise<void> {
    await this.#group.run(() => {
      for (const worker of workers) {
        if (this.#statements.get('workerIsNamed').get(worker, worker) === undefined) this.#statements.get('deleteWorker').run(worker);
      }
    });
    for (const worker of workers) if (this.#locks?.isFree(worker) === true) this.#locks.remove(worker);
  }

  findClaimable(query: ClaimableQuery): Promise<readonly Claimable[]> {
    return this.#whenFree(() => claimableSessions(this.#statements, query));
  }

  readOutbox({ limit, olderThanMs }: { readonly limit: number; readonly olderThanMs: number }): Promise<readonly OutboxItem[]> {
    return this.#whenFree(() => {
      const rows = this.#statements.get('outboxUntil').all(olderThanMs, limit) as { tenant: string; session_id: string; seq: number; kind: EntryKind }[];
      return rows.map((row) => ({ tenant: row.tenant, id: row.session_id, seq: row.seq, kind: row.kind }));
    });
  }

  async deleteOutbox(items: readonly OutboxItem[]): Promise<void> {
    await this.#group.run(() => {
      for (const { tenant, id, seq } of items) this.#statements.get('deleteOutboxItem').run(tenant, id, seq);
    });
  }

  sweep(nowMs: number, limit: number): Promise<number> {
    return this.#group.run(() => this.#replies.sweep(nowMs, limit) + this.#stateRows.sweep(nowMs, limit));
  }

  transaction(): Promise<never> {
    return Promise.reject(new StoreError('store_unsupported', 'the SQLite store has no transactions for others: its file is not where your tables are. Use Postgres for tools with `transaction` and for `send(…, { transaction })`'));
  }

  announce(): void {
    // No commit is another's.
  }

  onChange(listener: (hint: ChangeHint) => void): () => void {
    return this.#hints.listen(listener);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#hints.close();
    await this.#group.close();
    this.#locks?.releaseAll();
    this.#connection.close();
  }

  /** Reads only wait when another process is just recovering the file. */
  async #whenFree<Result>(read: () => Result): Promise<Result> {
    for (let tries = 0; ; tries += 1) {
      if (this.#closing !== null) throw new StoreError('store_closed', 'the store is closed');
      try {
        return read();
      } catch (error) {
        if (!isBusy(error) || tries >= 200) throw storeErrorOf(error);
        await new Promise<void>((resolve) => this.#system.clock.after(10, resolve));
      }
    }
  }
}
