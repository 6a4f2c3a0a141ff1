import type { SendReply } from '../core/accept/send.ts';
import { refuse, RefusedError } from '../core/errors.ts';
import { feedStart, type FeedEvent } from '../core/feed-event.ts';
import type { Session } from '../core/session.ts';
import { findMessageTurn, readTurn, type TurnView } from '../feed/turn-view.ts';
import type { SessionRef } from '../store/store.ts';
import { shuttingDown, type HandleHost } from './handle-host.ts';
import { returning } from './returning.ts';
import { TurnPartReader, type TurnPart } from './turn-parts.ts';

export interface TurnResult extends TurnView {
  readonly sessionId: string;
}

/** A turn that was started or queued. Dropping the handle cancels nothing. */
export class TurnHandle {
  /** The turn that the message opens. One that joins a turn which runs (see {@link steers}) opens it only if that one ends first. */
  readonly id: string;
  /** Id of the user message; undefined for a handle made from a turn's id alone. */
  readonly messageId: string | undefined;
  /** It waits for the turns before it, or to join the one that runs. */
  readonly queued: boolean;
  /** The turn that the message is to join; undefined for one that was not sent to. What the handle streams and results in is the turn that the message came to be in. */
  readonly steers: { readonly turnId: string } | undefined;
  readonly #host: HandleHost;
  readonly #ref: SessionRef;
  readonly #afterSeq: number | undefined;
  /** Whether others have been told of the turn; what was sent in a caller's transaction is told of when it is asked for. */
  #isAnnounced: boolean;
  #waiting: Promise<TurnResult> | null = null;

  constructor(host: HandleHost, ref: SessionRef, turn: Pick<SendReply, 'turnId'> & Partial<SendReply>, { isAnnounced = true }: { readonly isAnnounced?: boolean } = {}) {
    this.#host = host;
    this.#ref = ref;
    this.id = turn.turnId;
    this.messageId = turn.messageId;
    this.queued = turn.queued ?? false;
    this.steers = turn.steers;
    this.#isAnnounced = isAnnounced;
    // The revision of the reply is the seq of the message's entry, or of what came right after it, as the end of a note's turn does.
    this.#afterSeq = turn.revision === undefined ? undefined : Math.max(0, turn.revision - 2);
  }

  /**
   * What the turn says, as it says it: what was said already first. Ends when the turn has ended, and when it needs an action: its last `action` part says which; asked for
   * again after the decision it begins anew and goes on. While the turn waits for an operation it stays open. Of a turn that was sent in a transaction, ask after its commit: the work begins with it. Throws `RefusedError`: `turn_not_found` when the turn is gone, and
   * `shutting_down` when this Holdfast is closed before its end; `StoreError` when the store fails. Asking again begins anew.
   */
  get stream(): AsyncGenerator<TurnPart, void, void> {
    return returning((signal) => this.#stream(signal));
  }

  /**
   * The turn once it has ended, whatever way (`reason` says which), or needs an action: then its `status` is `requires_action`, and its `actions` say which. Asked for again
   * after the decision, or after a rejection, it waits anew; an end is kept. Of a turn that was sent in a transaction, ask after its commit: the work begins with it. Rejects only when the store fails, when the turn is gone (`turn_not_found`), and when this Holdfast is closed before its
   * end (`shutting_down`).
   */
  get result(): Promise<TurnResult> {
    if (this.#waiting !== null) return this.#waiting;
    this.#announce();
    const waiting = this.#wait();
    this.#waiting = waiting;
    const forget = (): void => {
      if (this.#waiting === waiting) this.#waiting = null;
    };
    waiting.then(({ status }) => {
      this.#isAnnounced = true;
      return status === 'ended' ? undefined : forget();
    }, forget);
    return waiting;
  }

  /** Before its transaction's commit nobody finds anything; so it is told of each time that it is asked for, until it has been seen. */
  #announce(): void {
    if (!this.#isAnnounced) this.#host.commands.store.announce(this.#ref);
  }

  async *#stream(signal: AbortSignal): AsyncGenerator<TurnPart, void, void> {
    const { feed } = this.#host;
    this.#announce();
    const reader = this.#reader();
    const from = this.#afterSeq === undefined ? feedStart : { ...feedStart, seq: this.#afterSeq };
    for await (const events of feed.follow(this.#ref, from, signal)) {
      for (const event of events) {
        await this.#giveStep(reader, event);
        for (const part of reader.read(event)) {
          yield part;
          if (part.type === 'end') return;
        }
      }
      if (reader.isPaused) return;
      if (reader.isGone) throw this.#gone();
    }
    if (signal.aborted) return;
    throw feed.closed ? shuttingDown() : this.#gone();
  }

  #reader(): TurnPartReader {
    const { steers, messageId } = this;
    return new TurnPartReader(this.id, steers === undefined || messageId === undefined ? null : { turnId: steers.turnId, messageId });
  }

  /** An action's call is in a step that may lie before what is followed. */
  async #giveStep(reader: TurnPartReader, event: FeedEvent): Promise<void> {
    const stepSeq = reader.missingStep(event);
    if (stepSeq === null) return;
    const [step] = await this.#host.commands.store.readEntries(this.#ref, { afterSeq: stepSeq - 1, limit: 1 });
    if (step?.kind === 'assistant-step' && step.seq === stepSeq) reader.know(step);
  }

  async #wait(): Promise<TurnResult> {
    const { waiters, commands: { store } } = this.#host;
    for (;;) {
      const seen = this.steers === undefined ? waiters.seenToEnd(this.#ref, this.id) : null;
      if (seen !== null) return { ...seen, sessionId: this.#ref.id };
      await waiters.wait(this.#ref, this.steers === undefined ? this.id : [this.id, this.steers.turnId]);
      if (waiters.closed) throw shuttingDown();
      if (this.steers === undefined && waiters.seenToEnd(this.#ref, this.id) !== null) continue;
      const session = await store.readSession(this.#ref);
      const turn = session === null ? null : await this.#read(session);
      if (turn === null) throw this.#gone();
      // Somebody may have decided in between.
      if (turn.status === 'ended' || turn.status === 'requires_action') return { ...turn, sessionId: this.#ref.id };
    }
  }

  /** The turn that the message is in, or waits for. */
  async #read(session: Session): Promise<TurnView | null> {
    const { commands: { store } } = this.#host;
    const { id, messageId, steers } = this;
    if (steers === undefined || messageId === undefined || session.turn?.id === id) return readTurn(store, session, id, this.#afterSeq);
    if (session.queue.some((queued) => queued.messageId === messageId)) return readTurn(store, session, session.turn?.id === steers.turnId ? steers.turnId : id);
    const turnId = await findMessageTurn(store, session, messageId, this.#afterSeq ?? 0);
    return turnId === null ? null : readTurn(store, session, turnId, turnId === id && steers.turnId !== id ? this.#afterSeq : undefined);
  }

  #gone(): RefusedError {
    return new RefusedError(refuse('turn_not_found', `turn ${this.id} is gone: its message was taken from the queue, or the session was deleted, or the transaction that it was sent in is not committed`));
  }
}
