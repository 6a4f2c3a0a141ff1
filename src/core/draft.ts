import type { CallResult, Entry, EntryDraft, ErrorInfo, MessageContent, TurnEndReason } from './entry.ts';
import { entryFormats } from './entry-format.ts';
import { invariant, type Refusal } from './errors.ts';
import { cutBefore, openAt } from './intervals.ts';
import { project, type Session } from './session.ts';
import type { StreamSegment } from './stream-parts.ts';

/** What a transition is given: the session as it is under its lock, and what was asked to be read with it. */
export interface Loaded {
  readonly session: Session;
  /** Live output of the attempt in flight, in order; read when the transition asked for it. */
  readonly chunks: readonly StreamSegment[];
  /** Outcomes stored ahead of their step; read when the transition asked for them. */
  readonly outcomes: readonly CallResult[];
}

/** What a transition does in one commit (G3). */
export interface Change<Reply> {
  readonly session: Session;
  readonly entries: readonly NewEntry[];
  /** The live output of the attempt is dropped: its step is committed, or it is retracted. */
  readonly dropsChunks: boolean;
  /** The early outcomes are dropped: their step's results are committed. */
  readonly dropsOutcomes: boolean;
  /** Everything of the session is removed. */
  readonly deletesSession: boolean;
  readonly reply: Reply;
}

/**
 * An entry to write. `contentFrom` says that its message content is that of the (queued) entry at that seq, which
 * the store copies in the same commit: the projection holds no bodies.
 */
export type NewEntry = Entry & { readonly contentFrom?: number };

/** A pure function of a session's present state: a change to commit, or a refusal with nothing changed. */
export type Transition<Reply> = (loaded: Loaded) => Change<Reply> | Refusal;

/** What a transition is given besides the session: time, new ids and chance are arguments (design section 3). */
export interface Circumstances {
  readonly nowMs: number;
  readonly mintId: (prefix: 'turn' | 'msg' | 'att' | 'br') => string;
}

/** A change being put together. */
export class Draft {
  session: Session;
  readonly nowMs: number;
  readonly #entries: NewEntry[] = [];
  #dropsChunks = false;
  #dropsOutcomes = false;

  constructor(session: Session, nowMs: number) {
    this.session = session;
    // The clock may step back; a session's time does not.
    this.nowMs = Math.max(nowMs, session.updatedAtMs);
  }

  get entries(): readonly NewEntry[] {
    return this.#entries;
  }

  append(body: EntryDraft, contentFrom?: number): Entry {
    const seq = this.session.lastSeq + 1;
    if (entryFormats[body.kind].place === 'timeline') this.#openInterval(seq);
    const entry = { ...body, seq, v: entryFormats[body.kind].version, atMs: this.nowMs } as Entry;
    this.#entries.push(contentFrom === undefined ? entry : { ...entry, contentFrom });
    this.session = project(this.session, entry);
    return entry;
  }

  /** Changes what is no entry: fence, claim, attempt, dispatch. */
  set(fields: Partial<Pick<Session, 'fence' | 'claim' | 'crashes' | 'turn' | 'visible' | 'endAfterInactivityMs' | 'endsAtMs'>>): void {
    this.session = { ...this.session, ...fields, updatedAtMs: this.nowMs };
  }

  dropChunks(): void {
    this.#dropsChunks = true;
  }

  dropOutcomes(): void {
    this.#dropsOutcomes = true;
  }

  /** Ends the turn, and starts the next queued message with it unless the turn failed or the queue is held (G3). */
  endTurn(reason: TurnEndReason, options: { readonly error?: ErrorInfo; readonly startsNext?: boolean } = {}): void {
    const turn = this.session.turn;
    invariant(turn !== null, 'a turn that ends is open');
    this.append({ kind: 'turn-ended', turnId: turn.id, reason, ...(options.error === undefined ? {} : { error: options.error }) });
    if (options.startsNext !== false && reason !== 'failed' && !this.session.queueHeld) this.startQueued();
    this.rest();
  }

  /** At rest, begins to wait for the end by inactivity, if the agent has one. */
  rest(): void {
    const { turn, ended, endAfterInactivityMs } = this.session;
    if (turn === null && !ended && endAfterInactivityMs !== null) this.set({ endsAtMs: this.nowMs + endAfterInactivityMs });
  }

  /** Closes the session at rest for good. Messages that still wait leave the queue. */
  endSession(reason: 'api' | 'inactivity'): void {
    for (const { messageId } of this.session.queue) this.append({ kind: 'message-unqueued', messageId, reason: 'session-ended' });
    this.append({ kind: 'session-ended', reason });
    this.set({ fence: this.session.fence + 1, claim: null });
  }

  /** Starts the turn of the first message of the queue, if there is one. */
  startQueued(): void {
    const first = this.session.queue[0];
    if (first === undefined) return;
    const { messageId, turnId, model } = first;
    this.append({ kind: 'user-message', turnId, messageId, parts: [], ...(model === undefined ? {} : { model }) }, first.seq);
  }

  startMessage(content: MessageContent, turnId: string): void {
    this.append({ kind: 'user-message', turnId, ...content });
  }

  /** Leaves the history from `seq` on; it stays in the log as a branch (G10). */
  discardFrom(seq: number, fromTurnId: string, turns: number, branchId: string): void {
    const { kept, cut } = cutBefore(this.session.visible, seq, this.session.lastSeq);
    this.set({ visible: kept });
    this.append({ kind: 'branch-discarded', branchId, fromTurnId, intervals: cut, turns });
  }

  done<Reply>(reply: Reply, deletesSession = false): Change<Reply> {
    return {
      session: this.session, entries: this.#entries, dropsChunks: this.#dropsChunks, dropsOutcomes: this.#dropsOutcomes, deletesSession, reply,
    };
  }

  #openInterval(seq: number): void {
    const last = this.session.visible.at(-1);
    if (last?.toSeq === null) return;
    this.session = { ...this.session, visible: openAt(this.session.visible, seq) };
  }
}
