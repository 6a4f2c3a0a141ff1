import type { CallResult, Entry } from '../core/entry.ts';
import type { Refusal } from '../core/errors.ts';
import type { Change, Transition } from '../core/draft.ts';
import type { FeedTail } from '../core/feed-event.ts';
import type { Branch } from '../core/history.ts';
import type { JsonValue } from '../core/json.ts';
import type { Operation, OperationStatus } from '../core/operation.ts';
import type { OperationTransition } from '../core/operation-transitions.ts';
import type { Session, SessionStatus } from '../core/session.ts';
import type { StateWrite } from '../core/state.ts';
import type { StreamSegment } from '../core/stream-parts.ts';
import type { Idempotency, SessionRef } from './session-ref.ts';
import type { StateStore } from './state-store.ts';
import type { UsageStore } from './usage-store.ts';
import type { AnnouncedWorker, Claimable, ClaimableQuery, DeadWorkers, HeldSession, Renewal, WorkerRow } from './worker-row.ts';

export type { Idempotency, SessionRef } from './session-ref.ts';
export type { AnnouncedWorker, Claimable, ClaimableQuery, DeadWorkers, HeldSession, Renewal, WorkerRow } from './worker-row.ts';

/**
 * Where sessions are kept. The port speaks in the engine's verbs; no begin or commit crosses it. Every write is one
 * commit (G3), and a promise of a write resolves only after that commit is durable (G1). What was lost to another
 * (fence, claim, key) is a returned value; a store that cannot be reached rejects with a `StoreError`.
 */
export interface Store {
  /** For messages and metrics: `sqlite`, `postgres`. */
  readonly name: string;
  readonly capabilities: StoreCapabilities;
  readonly state: StateStore;
  readonly usage: UsageStore;

  /** Brings the schema up to date. Safe to call from many processes at once and again. Rejects with code `store_unsupported` when the data asks for a newer version of Holdfast than this. */
  migrate(): Promise<void>;

  /** The store's time in milliseconds since the epoch, by which leases, expiries and due times go: where many machines share a store it is the store's, as far as this process knows it. */
  nowMs(): number;

  /**
   * Creates a session by a change that `build` makes of nothing. An external id that is in use already returns the session
   * that has it. Idempotent by `idempotency`, as {@link update}.
   */
  create<Reply>(request: CreateRequest<Reply>): Promise<CreateResult<Reply>>;

  /**
   * Runs a transition on a session under its lock and commits the change it returns. Nothing else changes the session between
   * what the transition sees and the commit. The transition is pure and may be run more than once.
   */
  update<Reply>(request: UpdateRequest<Reply>): Promise<UpdateResult<Reply>>;

  /** Stores live output of an attempt, if its fence and attempt are still the session's. */
  appendChunkIfHeld(chunk: ChunkWrite): Promise<'stored' | 'fence-lost'>;

  /** Stores a call's outcome ahead of its step, if the fence is still the session's. Repeating it is harmless. With `transaction` it lands with that, or not at all. */
  storeOutcomeIfHeld(outcome: OutcomeWrite): Promise<'stored' | 'fence-lost'>;

  /** Keeps the whole of a result of which the log has only head and tail, under its own id. Goes with its session. `session-gone`: there is none. With `transaction` it lands with that, or not at all. */
  storeWholeResult(whole: WholeResult): Promise<'stored' | 'session-gone'>;
  /** The whole of a result as JSON text; null: none is kept under this id. */
  readWholeResult(ref: SessionRef, id: string): Promise<string | null>;

  /**
   * Runs a transition on an operation, and on its session if `reads` asks for it, under their locks (the session's first) and commits the change it returns. Whatever
   * touches the operation alone does not lock its session.
   */
  updateOperation<Reply>(request: OperationUpdateRequest<Reply>): Promise<OperationUpdateResult<Reply>>;
  /** The operation, or null if it does not exist or is not the owner's (G13). */
  readOperation(key: OperationKey): Promise<Operation | null>;
  /** The operations of a session, newest first, ended ones included. */
  listOperations(ref: SessionRef, page: OperationFilter): Promise<OperationPage>;
  /** Operations with something to do: unclaimed, past their time, or claimed by one of the dead. Oldest first, tenants in turn. A hint: the claim decides. */
  findClaimableOperations(query: ClaimableQuery): Promise<readonly ClaimableOperation[]>;
  /** The operations that name the worker, with their fences. */
  findHeldOperations(worker: string): Promise<readonly HeldSession[]>;

  /** The session, or null if it does not exist or is not the owner's (G13). */
  readSession(key: SessionKey): Promise<Session | null>;
  /** Entries in order, at most `limit`. Empty for an unknown session. */
  readEntries(key: SessionRef, range: EntryRange): Promise<readonly Entry[]>;
  /** The last entry with this mark (`markOf` in `core/history.ts`), visible or not; null: none has it. */
  readMarked(ref: SessionRef, mark: string): Promise<Entry | null>;
  /** The session, its entries after a seq and the live output after an ordinal, as one consistent read. null: no such session. */
  readTail(key: SessionKey, from: TailFrom): Promise<Tail | null>;
  listSessions(filter: SessionFilter): Promise<SessionPage>;
  /** The discarded futures of a session, newest first. Empty for an unknown session. */
  listBranches(ref: SessionRef, page: BranchFilter): Promise<BranchPage>;

  /** Announces a worker process. Its lease begins now, by the store's clock. It holds an OS-level lock from here on where the store has them. */
  registerWorker(worker: WorkerRow): Promise<void>;
  /** Renews a lease that has not expired by the store's clock. `lost` when it has: the process must drop everything and take a new id. */
  renewWorker(worker: string, leaseMs: number): Promise<Renewal | 'lost'>;
  /** The sessions that name the worker, with their fences. */
  findHeld(worker: string): Promise<readonly HeldSession[]>;
  /** Takes a worker away that has handed over all it had. */
  retireWorker(worker: string): Promise<void>;
  /** Workers that are dead: their lease has run out by the store's clock, or their lock is free. They may still be named by sessions or operations. */
  findDeadWorkers(): Promise<DeadWorkers>;
  /** The workers that are announced, dead ones included. */
  listWorkers(): Promise<readonly AnnouncedWorker[]>;
  /** Forgets dead workers that no session and no operation names any more. */
  removeDeadWorkers(workers: readonly string[]): Promise<void>;
  /** Sessions with something to do: due by now and unclaimed, or claimed by one of the dead. Oldest first, tenants in turn. A hint: the claim decides. */
  findClaimable(query: ClaimableQuery): Promise<readonly Claimable[]>;

  /** Events that were committed with their cause and not yet delivered (G3). */
  readOutbox(query: { readonly limit: number; readonly olderThanMs: number }): Promise<readonly OutboxItem[]>;
  /** Forgets delivered events. */
  deleteOutbox(items: readonly OutboxItem[]): Promise<void>;

  /** Drops what has expired: state beside sessions, idempotent replies past their time whose turn is closed. Looks at no more than `limit` rows, and the next call at those that follow: what waits for long costs no sweep more. */
  sweep(nowMs: number, limit: number): Promise<number>;

  /**
   * Tells of changed sessions soon after their commit, by any process as far as the store can hear of them. A hint that may be lost, doubled or late: whoever needs
   * certainty also polls.
   */
  onChange(listener: (hint: ChangeHint) => void): () => void;
  /** Whether hints of other processes come within moments now, so that polling is only needed for those that get lost. */
  readonly hearsOthers: boolean;

  /**
   * Runs `work` in one transaction of the database, in which the caller's own statements and those writes of this port that take a `transaction` take part: all of it lands, or nothing.
   * Rolled back when `work` rejects; whatever uses the transaction afterwards is refused. After the commit what it changed is announced. Not tried again: `work` may have effects elsewhere. The store bounds how many are open
   * at once, so that there are always connections for its own commits; the others wait for their turn. Rejects with what `work` rejected with, with the driver's error when the database refused the commit, and with
   * `StoreError`: `transaction_conflict` when it lost against another transaction (`cause` is what it rejected with), `store_unsupported` where `capabilities.transactions` is false, `store_unavailable` when its turn did not come in time or the database did not answer before `work` was called, `transaction_failed` when a
   * statement had failed in it, so that there was nothing to commit, and `commit_unknown` when the connection broke in the commit.
   */
  transaction<Result>(work: (transaction: StoreTransaction) => Promise<Result>, options?: TransactionOptions): Promise<Result>;

  /**
   * After the commit of a transaction that the caller began: tells of the session, or of all that this store has changed in such transactions and not told of yet, as of changes that were committed elsewhere. A hint:
   * telling too often, too early or of what was rolled back is harmless. Does nothing where `capabilities.transactions` is false. Never throws.
   */
  announce(ref?: SessionRef): void;

  /** Finishes what is queued and closes. Idempotent. Whatever is asked afterwards rejects with code `store_closed`; a listener hears nothing more. */
  close(): Promise<void>;
}

export interface StoreCapabilities {
  /** A worker's death is seen by its lock, before its lease runs out. */
  readonly processLocks: boolean;
  /** Survives the end of the process. */
  readonly durable: boolean;
  /** The caller's own statements can be part of a commit. */
  readonly transactions: boolean;
  /** Other processes' commits are told of; without, they are found by polling only. */
  readonly hintsOfOthers: boolean;
}

/** How long a transaction's turn is waited for. */
export interface TransactionOptions {
  /** In milliseconds. Default 10,000. */
  readonly waitMs?: number;
  /** Aborting it ends the wait; of a transaction that has begun it changes nothing. */
  readonly signal?: AbortSignal;
}

/** A transaction of the user's database: what their driver calls a client, with which they began it. The user begins and ends it. */
export interface StoreTransaction {
  query(statement: { readonly text: string; readonly values?: unknown[] }): Promise<{ readonly rows: unknown[] }>;
}

/** What `onChange` tells of. */
export interface ChangeHint {
  /** null: something changed somewhere. */
  readonly ref: SessionRef | null;
  /** Another process has committed it. */
  readonly elsewhere: boolean;
  /** It may have left work that nobody holds. */
  readonly leavesWork: boolean;
}

/**
 * Names a session as a caller does. `id` is a session id or an external id: session ids begin with `ses_`, which external ids
 * may not, so the two cannot collide. `owner` set: only this owner's session is found.
 */
export interface SessionKey {
  readonly tenant: string;
  readonly id: string;
  readonly owner?: string | undefined;
}

/** A key whose reply is stored for later, without being looked at now. */
export interface StoredReply {
  readonly idempotency: Idempotency;
  readonly reply: JsonValue;
}

export interface CreateRequest<Reply> {
  readonly ref: SessionRef;
  readonly owner: string;
  readonly externalId?: string | undefined;
  readonly idempotency?: readonly Idempotency[];
  /** The session that it is a copy of: read for `build`, and there with no more redactions than it has then when the new one is committed. */
  readonly origin?: SessionRef | undefined;
  /** Builds the session; a refusal creates nothing. Given the origin, null where there is none. May be called more than once. */
  readonly build: (origin: Session | null) => Change<Reply> | Refusal;
  readonly replyToStore: (reply: Reply) => JsonValue;
  /** The commit is the caller's, as in {@link UpdateRequest}. */
  readonly transaction?: StoreTransaction | undefined;
  /** Keys that belong to the new session itself: its first message's id. */
  readonly sessionReplies?: (reply: Reply) => readonly StoredReply[];
}

export type CreateResult<Reply> =
  | { readonly kind: 'created'; readonly reply: Reply; readonly session: Session; readonly entries: readonly Entry[] }
  | { readonly kind: 'exists'; readonly session: Session }
  | { readonly kind: 'replayed'; readonly reply: JsonValue; readonly httpStatus: number }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

export interface UpdateRequest<Reply> {
  readonly key: SessionKey;
  /** All keys are checked before the transition and stored with its commit. Those of a deletion outlive the session: their scope must name it. */
  readonly idempotency?: readonly Idempotency[];
  readonly transition: Transition<Reply>;
  /** The commit is the caller's: the change is written in this transaction, and seen by nobody before it. The transition runs once. */
  readonly transaction?: StoreTransaction | undefined;
  /** What the transition needs besides the session. Operations under the keys of its open calls (`keysOfOpenCalls`) are read unasked, where there are any. */
  readonly reads?: {
    readonly chunks?: boolean;
    readonly outcomes?: boolean;
    readonly operationKeys?: readonly string[];
    /** The marks of the history, see `markOf` in `core/history.ts`. */
    readonly marks?: boolean;
    readonly branchId?: string;
    /** State that is to be written: what is there. Of stored outcomes with writes it is read unasked. */
    readonly state?: readonly StateWrite[];
    /** Entries of the log, by their seqs. */
    readonly entries?: readonly number[];
  };
  /** The part of the reply that an idempotent repetition is given; needed with `idempotency`. */
  readonly replyToStore?: (reply: Reply) => JsonValue;
}

export type UpdateResult<Reply> =
  | { readonly kind: 'committed'; readonly reply: Reply; readonly session: Session; readonly entries: readonly Entry[] }
  | { readonly kind: 'replayed'; readonly reply: JsonValue; readonly httpStatus: number }
  /** `session` is null when there is none to be seen. */
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly session: Session | null };

export interface ChunkWrite {
  readonly ref: SessionRef;
  readonly fence: number;
  readonly attemptId: string;
  /** From 0, dense per attempt. */
  readonly ordinal: number;
  readonly segments: readonly StreamSegment[];
}

export interface OutcomeWrite {
  readonly ref: SessionRef;
  readonly fence: number;
  readonly stepSeq: number;
  readonly result: CallResult;
  readonly transaction?: StoreTransaction | undefined;
}

export interface WholeResult {
  readonly ref: SessionRef;
  /** `res_…` */
  readonly id: string;
  /** JSON text. */
  readonly body: string;
  readonly transaction?: StoreTransaction | undefined;
}

/** Names an operation as a caller does. `owner` set: only this owner's operation is found. */
export interface OperationKey {
  readonly tenant: string;
  readonly id: string;
  readonly owner?: string | undefined;
}

export interface OperationUpdateRequest<Reply> {
  readonly key: OperationKey;
  readonly transition: OperationTransition<Reply>;
  /** The transition needs the session, with the outcomes of its open calls. */
  readonly reads?: { readonly session?: boolean };
}

export type OperationUpdateResult<Reply> =
  /** `session` is null when the change left it alone. `entries` are those of the session. */
  | { readonly kind: 'committed'; readonly reply: Reply; readonly operation: Operation; readonly session: Session | null; readonly entries: readonly Entry[] }
  /** `operation` is null when there is none to be seen. */
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly operation: Operation | null };

export interface OperationFilter {
  readonly status?: OperationStatus | undefined;
  readonly limit: number;
  /** Operations with a smaller id. */
  readonly before?: string | undefined;
}

export interface OperationPage {
  readonly items: readonly Operation[];
  /** `before` of the next page; null at the end. */
  readonly nextCursor: string | null;
}

export interface BranchFilter {
  readonly limit: number;
  /** Branches with a smaller id. */
  readonly before?: string | undefined;
}

export interface BranchPage {
  readonly items: readonly Branch[];
  /** `before` of the next page; null at the end. */
  readonly nextCursor: string | null;
}

export interface ClaimableOperation {
  readonly tenant: string;
  readonly id: string;
  readonly agent: string;
}

export interface EntryRange {
  /** Entries with a greater seq, in order. Default 0. */
  readonly afterSeq?: number;
  /** Entries with a smaller seq; of those after `afterSeq` the last `limit`, in order. */
  readonly beforeSeq?: number;
  readonly limit: number;
}

export interface TailFrom {
  readonly afterSeq: number;
  readonly limit: number;
  /** The attempt whose live output is known up to `afterOrdinal`; of another attempt all is read. */
  readonly attemptId: string | null;
  readonly afterOrdinal: number;
}

export interface Tail extends FeedTail {
  /** The last ordinal read of the attempt in flight; -1 when nothing of it is stored. */
  readonly ordinal: number;
}

export interface SessionFilter {
  readonly tenant: string;
  readonly owner?: string | undefined;
  readonly agent?: string | undefined;
  readonly status?: SessionStatus | undefined;
  readonly archived?: boolean | undefined;
  /** Text to be found in the title, letters of either case. */
  readonly titleText?: string | undefined;
  /** `nextCursor` of the page before. Anything else is refused: rejects with a `RefusedError` of code `invalid_request`. */
  readonly cursor?: string | undefined;
  readonly limit: number;
  /** Also count all that match. */
  readonly count: boolean;
}

export interface SessionPage {
  readonly items: readonly Session[];
  readonly nextCursor: string | null;
  readonly count: number | null;
}

export interface OutboxItem extends SessionRef {
  readonly seq: number;
  readonly kind: Entry['kind'];
}

/** See `store-error.ts`. */
export { StoreError } from './store-error.ts';
