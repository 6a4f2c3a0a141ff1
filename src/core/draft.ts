import type { CallResult, Entry, EntryDraft, ErrorInfo, Interval, MessageContent, SessionEnded, TurnEndReason, UserMessage } from './entry.ts';
import type { KnownBudgets } from './budget.ts';
import { entryFormats } from './entry-format.ts';
import { invariant, isRefusal, type Refusal } from './errors.ts';
import { limits } from './limits.ts';
import type { Branch, Mark } from './history.ts';
import type { LabelKind } from './label-entry.ts';
import { closedAt, cutBefore, isVisible } from './intervals.ts';
import type { Delivery, LiveOperation, Operation, OperationResult } from './operation.ts';
import { project } from './project.ts';
import { redactEntry, wholeIdsOf } from './redact.ts';
import type { Redaction } from './redaction-entry.ts';
import type { QueuedMessage, Session, Turn } from './session.ts';
import type { StateProvenance, StateWrite } from './state.ts';
import { StateWorld, type LoadedState, type ScopeChange } from './state-world.ts';
import type { StreamSegment } from './stream-parts.ts';

/** What a transition is given: the session as it is under its lock, and what was asked to be read with it. */
export interface Loaded {
  readonly session: Session;
  /** Live output of the attempt in flight, in order; read when the transition asked for it. */
  readonly chunks: readonly StreamSegment[];
  /** Outcomes stored ahead of their step; read when the transition asked for them. */
  readonly outcomes: readonly CallResult[];
  /** Operations that live under the keys of the session's open calls, and under those that were asked for. */
  readonly keyedOperations?: readonly Operation[];
  /** The marks of the session's history, in the order of the log; read when the transition asked for them. */
  readonly marks?: readonly Mark[];
  /** The branch that was asked for; null: there is none of that id. */
  readonly branch?: Branch | null;
  /** State that the change writes; read when it was asked for, and unasked where stored outcomes have writes. */
  readonly state?: LoadedState | undefined;
  /** The entries that were asked for, as the log has them now; read when the transition asked for them. */
  readonly entries?: readonly Entry[];
}

/** What a transition does in one commit (G3). */
export interface Change<Reply> {
  readonly session: Session;
  readonly entries: readonly NewEntry[];
  /** The live output of the attempt is dropped: its step is committed, or it is retracted. */
  readonly dropsChunks: boolean;
  /** The early outcomes are dropped: their step's results are committed. */
  readonly dropsOutcomes: boolean;
  /** Outcomes of open calls, stored for when the step's last one is in. Absent: none; so with the next two. */
  readonly outcomes?: readonly StoredOutcome[];
  /** Operations that begin. */
  readonly operations?: readonly Operation[];
  /** Operations that are over, by id: what lives of them is cancelled, see `cancelled` in `operation-transitions.ts`. */
  readonly cancels?: readonly string[];
  /** Entries that stand in the log already and whose content is removed: as they are without it. The wholes of their results go, and what the rows of these operations say. */
  readonly redacts?: readonly Entry[];
  readonly redactsWholes?: readonly string[];
  readonly redactsOperations?: readonly string[];
  /** Branches that are discarded, and ids of those that are restored. */
  readonly branches?: { readonly filed: readonly Branch[]; readonly restored: readonly string[] };
  /** Rows of scopes beside the session. */
  readonly stateRows?: readonly ScopeChange[];
  /** Everything of the session is removed. */
  readonly deletesSession: boolean;
  /** What its entries say happened elsewhere, and was told of and counted there: no events are kept for hooks, and no counter of this day grows. */
  readonly imported?: true;
  readonly reply: Reply;
}

/**
 * An entry to write. `contentFrom` says that its content is that of the entry at that seq (of a queued message, of a detached operation's end), which
 * the store copies in the same commit, see `contentOf` in `entry-format.ts`: the projection holds no bodies.
 */
export type NewEntry = Entry & { readonly contentFrom?: number };

export interface StoredOutcome {
  readonly stepSeq: number;
  readonly result: CallResult;
}

/** A pure function of a session's present state: a change to commit, or a refusal with nothing changed. */
export type Transition<Reply> = (loaded: Loaded) => Change<Reply> | Refusal;

/** What a transition is given besides the session: time, new ids and chance are arguments (design section 3). */
export interface Circumstances {
  readonly nowMs: number;
  readonly mintId: (prefix: 'turn' | 'msg' | 'att' | 'br' | 'op') => string;
  /** What is known of the budgets; absent: there are none. */
  readonly budgets?: KnownBudgets | undefined;
}

/** A change being put together. */
export class Draft {
  session: Session;
  readonly nowMs: number;
  readonly #entries: NewEntry[] = [];
  readonly #operations: Operation[] = [];
  readonly #cancels: string[] = [];
  readonly #filed: Branch[] = [];
  readonly #restored: string[] = [];
  readonly #redacts: Entry[] = [];
  readonly #redactsWholes: string[] = [];
  readonly #redactsOperations = new Set<string>();
  #state: StateWorld | null;
  /** Of the open calls: as they were stored, and as this change adds to them. */
  #known: readonly CallResult[];
  #added: StoredOutcome[] = [];
  #dropsChunks = false;
  #dropsOutcomes = false;

  constructor(session: Session, nowMs: number, outcomes: readonly CallResult[] = [], state?: LoadedState) {
    this.session = session;
    this.#known = outcomes;
    // The clock may step back; a session's time does not.
    this.nowMs = Math.max(nowMs, session.updatedAtMs);
    this.#state = state === undefined ? null : StateWorld.of(state, this.nowMs);
  }

  get entries(): readonly NewEntry[] {
    return this.#entries;
  }

  /** Operations that this change starts. */
  get operations(): readonly Operation[] {
    return this.#operations;
  }

  /** The outcomes of the open calls, so far as there are any. */
  get outcomes(): readonly CallResult[] {
    return this.#known;
  }

  /** An entry of another session, as it was there but for its place. */
  copy(body: EntryDraft, atMs: number): Entry {
    return this.#append(body, atMs);
  }

  append(body: EntryDraft, contentFrom?: number): Entry {
    return this.#append(body, this.nowMs, contentFrom);
  }

  #append(body: EntryDraft, atMs: number, contentFrom?: number): Entry {
    // The conversation goes on another way: what could have been brought back is a branch now.
    if (entryFormats[body.kind].place === 'timeline') this.fileRewound();
    const seq = this.session.lastSeq + 1;
    const entry = { ...body, seq, v: entryFormats[body.kind].version, atMs } as Entry;
    this.#entries.push(contentFrom === undefined ? entry : { ...entry, contentFrom });
    this.session = project(this.session, entry);
    return entry;
  }

  /** Changes what is no entry: fence, claim, attempt, dispatch. */
  set(fields: Partial<Pick<Session, 'fence' | 'claim' | 'crashes' | 'turn' | 'operations' | 'labelling' | 'endAfterInactivityMs' | 'endsAtMs' | 'deleteAfterRestMs' | 'deletesAtMs'>>): void {
    this.session = { ...this.session, ...fields, updatedAtMs: this.nowMs };
  }

  /** Says when somebody looks whether the try that waits may begin earlier. */
  lookAgainAt(lookAtMs: number): void {
    const turn = this.session.turn;
    invariant(turn !== null && turn.retry !== null, 'a try waits');
    this.set({ turn: { ...turn, retry: { ...turn.retry, lookAtMs } } });
  }

  dropChunks(): void {
    this.#dropsChunks = true;
  }

  /** Answers the step's calls: what was stored of them is in the log now. */
  dropOutcomes(): void {
    this.#dropsOutcomes = true;
    this.#known = [];
    this.#added = [];
  }

  /** Keeps a call's outcome until its siblings have theirs. The first one counts. */
  keepOutcome(result: CallResult): void {
    const turn = this.session.turn;
    const step = turn?.lastStep;
    invariant(turn !== null && step !== null && step !== undefined, 'an outcome belongs to a step');
    if (!this.#known.some(({ index }) => index === result.index)) {
      this.#known = [...this.#known, result];
      this.#added.push({ stepSeq: step.seq, result });
    }
    this.set({ turn: { ...turn, lastStep: { ...step, openCalls: step.openCalls.map((call) => (call.index === result.index ? { ...call, ended: true } : call)) } } });
  }

  startOperation(operation: Operation): void {
    this.#operations.push(operation);
    const { id: operationId, turnId, mode, stepSeq, index, toolCallId, toolName } = operation;
    this.append({ kind: 'operation-started', operationId, turnId, mode, stepSeq, index, toolCallId, toolName });
  }

  /** Cancels operations that live; what they do from here on counts no more. */
  cancelOperations(operations: readonly LiveOperation[]): void {
    for (const { id: operationId, ...operation } of operations) {
      this.#cancels.push(operationId);
      this.append({ kind: 'operation-ended', operationId, ...operation, status: 'cancelled' });
    }
  }

  /** Ends the turn, and starts the next queued message with it unless the turn failed or the queue is held (G3). */
  endTurn(reason: TurnEndReason, options: { readonly error?: ErrorInfo; readonly startsNext?: boolean; readonly labels?: readonly LabelKind[] } = {}): void {
    const turn = this.session.turn;
    invariant(turn !== null, 'a turn that ends is open');
    this.append({ kind: 'turn-ended', turnId: turn.id, reason, ...(options.error === undefined ? {} : { error: options.error }) });
    if (options.labels !== undefined && options.labels.length > 0) this.append({ kind: 'labels-wanted', turnId: turn.id, labels: options.labels });
    if (options.startsNext !== false && reason !== 'failed') this.#startNext(reason);
    this.rest();
  }

  /** What waits: messages first, in their order; then results that came while the turn ran. A stop is no reason to begin with those. */
  #startNext(reason: TurnEndReason): void {
    if (!this.session.queueHeld) this.startQueued();
    if (this.session.turn === null && reason !== 'stopped') this.startDelivery();
  }

  /** At rest, opens the turn of a detached operation's result that waits to be given to the model, unless too many in a row have been opened so. */
  startDelivery(): void {
    const { turn, archived, ended, deliveries, turnsUnasked } = this.session;
    const turnId = deliveries.find((delivery) => delivery.turnId !== null)?.turnId;
    if (turn === null && !archived && !ended && turnsUnasked < limits.turnsUnaskedMax && typeof turnId === 'string') this.append({ kind: 'turn-started', turnId, origin: 'operation' });
  }

  /** At rest, begins to wait for the end by inactivity and for the end of retention, where the agent has them. An operation that lives is activity. */
  rest(): void {
    const { turn, ended, operations, endAfterInactivityMs, deleteAfterRestMs } = this.session;
    if (turn !== null || operations.length > 0) return;
    if (!ended && endAfterInactivityMs !== null) this.set({ endsAtMs: this.nowMs + Math.ceil(endAfterInactivityMs) });
    if (deleteAfterRestMs !== null) this.set({ deletesAtMs: this.nowMs + Math.ceil(deleteAfterRestMs) });
  }

  /** Closes the session at rest for good. Messages that still wait leave the queue. */
  endSession(reason: SessionEnded['reason']): void {
    for (const { messageId } of this.session.queue) this.append({ kind: 'message-unqueued', messageId, reason: 'session-ended' });
    this.cancelOperations(this.session.operations);
    this.append({ kind: 'session-ended', reason });
    this.set({ fence: this.session.fence + 1, claim: null });
    if (reason !== 'inactivity') this.rest();
  }

  /** Starts the turn of the first message of the queue, if there is one. */
  startQueued(): void {
    const first = this.session.queue[0];
    if (first === undefined) return;
    this.append(queuedMessage(first, first.turnId), first.seq);
  }

  /** What waited for the running turn's next generation joins it: steered messages, results of detached operations. */
  deliver(): void {
    const turn = this.session.turn;
    invariant(turn !== null, 'what is delivered joins a turn');
    for (const queued of this.session.queue) {
      if (queued.steer === true) this.append({ ...queuedMessage(queued, turn.id), steered: true }, queued.seq);
    }
    for (const { operationId, seq } of this.session.deliveries) this.append({ ...emptyResult(operationId, turn.id), visibility: 'model' }, seq);
  }

  startMessage(content: MessageContent, turnId: string): void {
    this.append({ kind: 'user-message', turnId, ...content });
  }

  /** Puts a note where the conversation is: into the turn that runs, or as a turn of its own that is over with it. Nothing answers it. */
  addNote(content: MessageContent, newTurnId: string): void {
    const { turn } = this.session;
    this.append({ kind: 'user-message', turnId: turn?.id ?? newTurnId, ...content, ...(turn === null ? {} : { steered: true }) });
    if (turn === null) this.endTurn('complete', { startsNext: false });
  }

  /** Leaves the history from `seq` on; it stays in the log as a branch (G10). `left`: of the one turn that is left, what the model was given of results in it, and the node that it began in. */
  discardFrom(seq: number, fromTurnId: string | null, turns: number, branchId: string, left?: Pick<Turn, 'given' | 'nodeBefore'>): void {
    const { kept: before, cut: intervals } = cutBefore(this.session.visible, seq, this.session.lastSeq);
    const deliveries = left?.given.filter(({ stepSeq }) => isVisible(before, stepSeq)) ?? [];
    const moves = left !== undefined && left.nodeBefore !== this.session.node;
    this.#file({ id: branchId, fromTurnId, turns, before, intervals }, deliveries, moves ? { node: left.nodeBefore } : {});
  }

  /** What rewinding cut off can no longer be brought back by `redo`: it is a branch. */
  fileRewound(): void {
    const { rewound, visible, lastSeq } = this.session;
    if (rewound === null) return;
    const { branchId: id, ...branch } = rewound;
    // What the model is still to be given is of the history that stayed: rewinding saw to that.
    this.#file({ id, ...branch, before: closedAt(visible, lastSeq) }, []);
  }

  #file(branch: Omit<Branch, 'discardedAtMs'>, deliveries: readonly Delivery[], node: { readonly node?: string | null } = {}): void {
    const { id: branchId, ...fields } = branch;
    this.append({ kind: 'branch-discarded', branchId, ...fields, ...(deliveries.length === 0 ? {} : { deliveries }), ...node });
    this.#filed.push({ ...branch, discardedAtMs: this.nowMs });
  }

  /** Removes the content of an entry that stands in the log, and what the rows of operations say of it. */
  redact(entry: Entry, redaction: Redaction, operationIds: readonly string[]): void {
    this.#redacts.push(redactEntry(entry, redaction));
    this.#redactsWholes.push(...wholeIdsOf(entry));
    for (const id of operationIds) this.#redactsOperations.add(id);
  }

  /** Makes all of these writes, or none. Those of the conversation are in the log when {@link appendState} has been called. */
  writeState(writes: readonly StateWrite[], provenance: Omit<StateProvenance, 'atMs'>): Refusal | null {
    invariant(this.#state !== null, 'state is read before it is written');
    const tried = this.#state.clone();
    const refused = tried.writeAll(writes, provenance);
    if (!isRefusal(refused)) this.#state = tried;
    return refused;
  }

  /** Appends what was written of the conversation's state; returns the entries. */
  appendState(): readonly Entry[] {
    const turnId = this.session.turn?.id;
    return (this.#state?.takeConversation() ?? []).map(({ key, item, provenance }) => {
      const what = item === null ? { deleted: true as const } : { value: item.value, ...(item.expiresAtMs === null ? {} : { expiresAtMs: item.expiresAtMs }) };
      return this.append({ kind: 'state-changed', scope: 'conversation', key, ...what, ...provenance, ...(turnId === undefined ? {} : { turnId }) });
    });
  }

  /** Makes a branch the present history again. */
  restoreBranch(branch: Branch, visible: readonly Interval[], deliveries: readonly Delivery[], node: { readonly node?: string | null } = {}): void {
    this.append({ kind: 'branch-restored', branchId: branch.id, turns: branch.turns, visible, deliveries, ...node });
    this.#restored.push(branch.id);
  }

  done<Reply>(reply: Reply, deletesSession = false): Change<Reply> {
    const stateRows = this.#state?.changes() ?? [];
    return {
      session: this.session, entries: this.#entries, dropsChunks: this.#dropsChunks, dropsOutcomes: this.#dropsOutcomes, outcomes: this.#added,
      operations: this.#operations, cancels: this.#cancels, deletesSession, reply,
      ...(this.#redacts.length === 0 ? {} : { redacts: this.#redacts, redactsWholes: this.#redactsWholes, redactsOperations: [...this.#redactsOperations] }),
      ...(stateRows.length === 0 ? {} : { stateRows }),
      ...(this.#filed.length + this.#restored.length === 0 ? {} : { branches: { filed: this.#filed, restored: this.#restored } }),
    };
  }
}

/** The entry that a waiting message becomes, but for its content. */
function queuedMessage({ messageId, model, clientTools }: QueuedMessage, turnId: string): UserMessage {
  return { kind: 'user-message', turnId, messageId, parts: [], ...(model === undefined ? {} : { model }), ...(clientTools === undefined ? {} : { clientTools: [] }) };
}

/** The entry that gives the model an operation's result, but for its content. */
function emptyResult(operationId: string, turnId: string): OperationResult {
  const result: CallResult = { index: 0, toolCallId: '', toolName: '', outcome: 'unknown' };
  return { kind: 'operation-result', turnId, operationId, stepSeq: 0, index: 0, toolCallId: '', toolName: '', result };
}
