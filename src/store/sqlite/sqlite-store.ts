import type { Change } from '../../core/draft.ts';
import type { Entry, EntryKind } from '../../core/entry.ts';
import { isRefusal, refuse } from '../../core/errors.ts';
import type { JsonValue } from '../../core/json.ts';
import type { Session } from '../../core/session.ts';
import type { System } from '../../core/system.ts';
import type {
  ChunkWrite, Claimable, ClaimableQuery, CreateRequest, CreateResult, EntryRange, HeldSession, Idempotency, OutboxItem, OutcomeWrite,
  SessionFilter, SessionKey, SessionPage, SessionRef, Store, Tail, TailFrom, UpdateRequest, UpdateResult, WorkerRow,
} from '../store.ts';
import { StoreError } from '../store-error.ts';
import { GroupCommit, storeErrorOf } from './group-commit.ts';
import { migrateDatabase } from './migrations.ts';
import { isBusy, openDatabase, type Database } from './open-database.ts';
import { listSessions } from './session-list.ts';
import { SessionRows } from './session-rows.ts';
import { PreparedStatements } from './statements.ts';
import { WorkerLocks } from './worker-lock.ts';

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

/**
 * Opens the SQLite store on a file; several processes may use one file. Every acknowledged write survives a crash of the
 * process and of the machine (`synchronous=FULL`). Rejects with a `StoreError`: `store_unsupported`, `store_unavailable`.
 */
export async function sqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const database = await openDatabase(options.path, options.onStatement);
  const { default: Sqlite } = await import('better-sqlite3');
  const locks = options.path === ':memory:' ? null : new WorkerLocks(options.path, Sqlite);
  return new SqliteStore(database, locks, options);
}

class SqliteStore implements Store {
  readonly name = 'sqlite';
  readonly capabilities;
  readonly #database: Database;
  readonly #statements: PreparedStatements;
  readonly #rows: SessionRows;
  readonly #group: GroupCommit;
  readonly #locks: WorkerLocks | null;
  readonly #system: SqliteStoreOptions['system'];
  readonly #outboxKinds: ReadonlySet<EntryKind>;
  readonly #pollMs: number;
  readonly #listeners = new Set<(change: SessionRef | null) => void>();
  #changed: SessionRef[] = [];
  #dataVersion = 0;
  #stopPolling: (() => void) | null = null;
  #closing: Promise<void> | null = null;

  constructor(database: Database, locks: WorkerLocks | null, { system, outboxKinds = [], pollMs = 20, path }: SqliteStoreOptions) {
    this.#database = database;
    this.#statements = new PreparedStatements(database);
    this.#rows = new SessionRows(this.#statements);
    this.#locks = locks;
    this.#system = system;
    this.#outboxKinds = new Set(outboxKinds);
    this.#pollMs = pollMs;
    this.#group = new GroupCommit(database, system, () => this.#announce());
    this.capabilities = { processLocks: locks !== null, durable: path !== ':memory:' };
  }

  async migrate(): Promise<void> {
    await this.#whenFree(() => migrateDatabase(this.#database));
  }

  create<Reply>(request: CreateRequest<Reply>): Promise<CreateResult<Reply>> {
    const { ref, owner, externalId, idempotency = [] } = request;
    return this.#group.run((): CreateResult<Reply> => {
      const replayed = this.#replay({ tenant: ref.tenant, id: '' }, idempotency);
      if (replayed !== null) return replayed;
      const existing = externalId === undefined ? null : this.#rows.find({ tenant: ref.tenant, id: externalId, owner });
      if (existing !== null) return { kind: 'exists', session: existing };
      const change = request.build();
      if (isRefusal(change)) return { kind: 'refused', refusal: change };
      this.#rows.insert(change.session);
      const entries = this.#writeChange(change);
      this.#storeReplies({ tenant: ref.tenant, id: '' }, idempotency, request.replyToStore(change.reply), ref.id);
      for (const { idempotency: key, reply } of request.sessionReplies?.(change.reply) ?? []) this.#storeReplies(ref, [key], reply);
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
      const deleted = this.#replay({ tenant: key.tenant, id: '' }, idempotency);
      if (deleted?.kind === 'replayed') return deleted;
      return { kind: 'refused', refusal: deleted?.refusal ?? refuse('session_not_found', `there is no session ${key.id}`), session: null };
    }
    // The key is looked at before the revision and the status (G2).
    const replayed = this.#replay(session, idempotency);
    if (replayed !== null) return replayed.kind === 'refused' ? { ...replayed, session } : replayed;
    const attempt = session.turn?.attempt;
    const change = transition({
      session,
      chunks: reads?.chunks === true && attempt ? this.#rows.chunks(session, attempt.id, -1).segments : [],
      outcomes: reads?.outcomes === true ? this.#rows.outcomes(session) : [],
    });
    if (isRefusal(change)) return { kind: 'refused', refusal: change, session };
    if (change.deletesSession) {
      this.#rows.delete(session);
      if (idempotency.length > 0) this.#storeReplies({ tenant: session.tenant, id: '' }, idempotency, replyToStore?.(change.reply) ?? null);
      this.#changed.push({ tenant: session.tenant, id: session.id });
      return { kind: 'committed', reply: change.reply, session: change.session, entries: [] };
    }
    if (change.session !== session) this.#rows.update(change.session);
    const entries = this.#writeChange(change);
    if (idempotency.length > 0) this.#storeReplies(session, idempotency, replyToStore?.(change.reply) ?? null);
    return { kind: 'committed', reply: change.reply, session: change.session, entries };
  }

  /** Writes all of a change but the session's row. */
  #writeChange<Reply>(change: Change<Reply>): readonly Entry[] {
    const { tenant, id } = change.session;
    const entries = this.#rows.insertEntries(change.session, change.entries);
    if (change.dropsChunks) this.#statements.get('deleteChunks').run(tenant, id);
    if (change.dropsOutcomes) this.#statements.get('deleteOutcomes').run(tenant, id);
    for (const entry of entries) {
      if (this.#outboxKinds.has(entry.kind)) this.#statements.get('insertOutbox').run(tenant, id, entry.seq, entry.kind, entry.atMs);
    }
    this.#changed.push({ tenant, id });
    return entries;
  }

  #replay({ tenant, id }: SessionRef, keys: readonly Idempotency[]): { kind: 'replayed'; reply: JsonValue; httpStatus: number } | { kind: 'refused'; refusal: Idempotency['mismatch'] } | null {
    for (const { scope, fingerprint, mismatch, replays } of keys) {
      const row = this.#statements.get('idempotencyByScope').get(tenant, id, scope) as { fingerprint: string; http_status: number; reply: string } | undefined;
      if (row === undefined) continue;
      if (!replays || row.fingerprint !== fingerprint) return { kind: 'refused', refusal: mismatch };
      return { kind: 'replayed', reply: JSON.parse(row.reply) as JsonValue, httpStatus: row.http_status };
    }
    return null;
  }

  #storeReplies({ tenant, id }: SessionRef, keys: readonly Idempotency[], reply: JsonValue, createdSessionId: string | null = null): void {
    for (const { scope, fingerprint, httpStatus, expiresAtMs } of keys) {
      this.#statements.get('insertIdempotency').run(tenant, id, scope, fingerprint, httpStatus, JSON.stringify(reply), expiresAtMs, createdSessionId);
    }
  }

  appendChunkIfHeld({ ref, fence, attemptId, ordinal, segments }: ChunkWrite): Promise<'stored' | 'fence-lost'> {
    return this.#group.run(() => {
      const { changes } = this.#statements.get('insertChunk').run(ordinal, JSON.stringify(segments), ref.tenant, ref.id, fence, attemptId);
      if (changes === 0) return 'fence-lost';
      this.#changed.push(ref);
      return 'stored';
    });
  }

  storeOutcomeIfHeld({ ref, fence, stepSeq, result }: OutcomeWrite): Promise<'stored' | 'fence-lost'> {
    return this.#group.run(() => {
      this.#statements.get('insertOutcome').run(stepSeq, result.index, JSON.stringify(result), ref.tenant, ref.id, fence);
      return this.#statements.get('sessionHasFence').get(ref.tenant, ref.id, fence) === undefined ? 'fence-lost' : 'stored';
    });
  }

  readSession(key: SessionKey): Promise<Session | null> {
    return this.#whenFree(() => this.#rows.find(key));
  }

  readEntries(ref: SessionRef, range: EntryRange): Promise<readonly Entry[]> {
    return this.#whenFree(() => this.#rows.entries(ref, range));
  }

  readTail(key: SessionKey, { afterSeq, limit, attemptId, afterOrdinal }: TailFrom): Promise<Tail | null> {
    return this.#whenFree(this.#database.transaction((): Tail | null => {
      const session = this.#rows.find(key);
      if (session === null) return null;
      const entries = afterSeq >= session.lastSeq ? [] : this.#rows.entries(session, { afterSeq, limit });
      const complete = (entries.at(-1)?.seq ?? afterSeq) >= session.lastSeq;
      const attempt = session.turn?.attempt;
      if (!complete || !attempt) return { session, entries, complete, chunks: [], ordinal: -1 };
      const { segments, ordinal } = this.#rows.chunks(session, attempt.id, attempt.id === attemptId ? afterOrdinal : -1);
      return { session, entries, complete, chunks: segments, ordinal };
    }));
  }

  listSessions(filter: SessionFilter): Promise<SessionPage> {
    return this.#whenFree(() => listSessions(this.#database, filter));
  }

  async registerWorker({ id, leaseUntilMs }: WorkerRow): Promise<void> {
    this.#locks?.hold(id);
    try {
      await this.#group.run(() => this.#statements.get('insertWorker').run(id, leaseUntilMs));
    } catch (error) {
      this.#locks?.release(id);
      throw error;
    }
  }

  renewWorker(worker: string, leaseUntilMs: number, nowMs: number): Promise<{ readonly held: readonly HeldSession[] } | 'lost'> {
    return this.#group.run(() => {
      if (this.#statements.get('renewWorker').run(leaseUntilMs, worker, nowMs).changes === 0) return 'lost';
      return { held: this.#statements.get('sessionsOfWorker').all(worker) as HeldSession[] };
    });
  }

  findHeld(worker: string): Promise<readonly HeldSession[]> {
    return this.#whenFree(() => this.#statements.get('sessionsOfWorker').all(worker) as HeldSession[]);
  }

  async retireWorker(worker: string): Promise<void> {
    await this.#group.run(() => this.#statements.get('deleteWorker').run(worker));
    this.#locks?.release(worker);
  }

  findDeadWorkers(nowMs: number): Promise<readonly string[]> {
    return this.#whenFree(() => {
      const rows = this.#statements.get('workers').all() as { id: string; lease_until_ms: number }[];
      const dead = rows.filter((row) => row.lease_until_ms <= nowMs || this.#locks?.isFree(row.id) === true).map((row) => row.id);
      const stray = (this.#statements.get('strayWorkers').all() as { worker: string }[]).map((row) => row.worker);
      return [...dead, ...stray];
    });
  }

  async removeDeadWorkers(workers: readonly string[]): Promise<void> {
    await this.#group.run(() => {
      for (const worker of workers) {
        if (this.#statements.get('sessionsOfWorker').get(worker) === undefined) this.#statements.get('deleteWorker').run(worker);
      }
    });
    for (const worker of workers) if (this.#locks?.isFree(worker) === true) this.#locks.remove(worker);
  }

  findClaimable({ nowMs, deadWorkers, agents, limit }: ClaimableQuery): Promise<readonly Claimable[]> {
    return this.#whenFree(() => {
      const orphaned = deadWorkers.flatMap((worker) => this.#statements.get('sessionsOfWorker').all(worker) as Claimable[]);
      // More than asked for are read, so that one tenant's backlog does not hide the others. Neither do new turns hide those that wait for a retry.
      const names = JSON.stringify(agents);
      const unclaimed = this.#statements.get('unclaimedSessions').all(names, limit * 8) as DueRow[];
      const due = this.#statements.get('dueSessions').all(nowMs, names, limit * 8) as DueRow[];
      const waiting = [...unclaimed, ...due].sort((left, right) => left.active_at_ms - right.active_at_ms);
      return tenantsInTurn([...orphaned.filter(({ agent }) => agents.includes(agent)), ...waiting]).slice(0, limit).map(({ tenant, id, agent }) => ({ tenant, id, agent }));
    });
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
    return this.#group.run(() => {
      const rows = this.#statements.get('expiredIdempotency').all(nowMs, limit) as { tenant: string; session_id: string; scope: string }[];
      for (const row of rows) this.#statements.get('deleteExpired').run(row.tenant, row.session_id, row.scope);
      return rows.length;
    });
  }

  onChange(listener: (change: SessionRef | null) => void): () => void {
    this.#listeners.add(listener);
    if (this.#stopPolling === null && this.capabilities.durable && this.#closing === null) this.#poll();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#endPolling();
    };
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#endPolling();
    await this.#group.close();
    this.#locks?.releaseAll();
    this.#database.close();
  }

  #announce(): void {
    const changed = this.#changed;
    this.#changed = [];
    for (const ref of changed) for (const listener of this.#listeners) listener(ref);
  }

  /** `data_version` changes when another connection has committed; it is one read of shared memory. */
  #poll(): void {
    const stop = this.#system.clock.after(this.#pollMs, () => {
      if (this.#hasChangedElsewhere()) for (const listener of this.#listeners) listener(null);
      if (this.#stopPolling === stop) this.#poll();
    });
    this.#stopPolling = stop;
  }

  #hasChangedElsewhere(): boolean {
    let version: number;
    try {
      version = Number(this.#database.pragma('data_version', { simple: true }));
    } catch (error) {
      // Another process is just recovering the file: the next look sees what it changed.
      if (isBusy(error)) return false;
      throw error;
    }
    const changed = version !== this.#dataVersion;
    this.#dataVersion = version;
    return changed;
  }

  #endPolling(): void {
    this.#stopPolling?.();
    this.#stopPolling = null;
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

interface DueRow extends Claimable {
  readonly active_at_ms: number;
}

/** The first of each tenant, then the second of each, and so on. */
function tenantsInTurn(sessions: readonly Claimable[]): readonly Claimable[] {
  const places = new Map<string, number>();
  return sessions
    .map((session) => {
      const round = places.get(session.tenant) ?? 0;
      places.set(session.tenant, round + 1);
      return { session, round };
    })
    .sort((left, right) => left.round - right.round)
    .map(({ session }) => session);
}
