import type { SendReply } from '../core/accept/send.ts';
import type { StopReply } from '../core/accept/stop.ts';
import type { EndReply } from '../core/accept/end.ts';
import type { QueueReply } from '../core/accept/queue.ts';
import type { Principal } from '../agent/tool.ts';
import { isRefusal, refuse, RefusedError, type Refusal } from '../core/errors.ts';
import type { Entry } from '../core/entry.ts';
import { feedStart, type FeedEvent } from '../core/feed-event.ts';
import type { CommandHost, CommandOptions, CommandReply } from '../commands/command-host.ts';
import { deleteSession } from '../commands/delete.ts';
import { end } from '../commands/end.ts';
import type { EndInput, SendInput, SettingsInput, StopInput } from '../commands/input.ts';
import { deleteQueued, holdQueue, promoteQueued, releaseQueue } from '../commands/queue.ts';
import { send } from '../commands/send.ts';
import { changeSettings } from '../commands/settings.ts';
import { stop } from '../commands/stop.ts';
import type { Feed } from '../feed/feed.ts';
import { sessionView, type SessionView } from '../feed/session-view.ts';
import { readTranscript, type TranscriptPage } from '../feed/transcript-page.ts';
import { readTurn, type TurnView } from '../feed/turn-view.ts';
import type { EntryRange, SessionRef } from '../store/store.ts';
import { returning } from './returning.ts';
import { TurnPartReader, type TurnPart } from './turn-parts.ts';
import type { TurnWaiters } from './turn-waiters.ts';

export interface HandleHost {
  readonly commands: CommandHost;
  readonly feed: Feed;
  readonly waiters: TurnWaiters;
}

/** How a call is made once though it is sent twice, and only if nothing has changed. */
export type CallOptions = Omit<CommandOptions, 'principal'>;

/** A session, as the library's users hold it. It keeps no copy of anything: every call reads or commits. */
export class SessionHandle {
  readonly id: string;
  readonly #host: HandleHost;
  readonly #ref: SessionRef;
  readonly #principal: Principal;

  constructor(host: HandleHost, ref: SessionRef, principal: Principal) {
    this.id = ref.id;
    this.#host = host;
    this.#ref = ref;
    this.#principal = principal;
  }

  /**
   * Sends a user message; resolves when it is committed. Throws `RefusedError`, its `code` one of those of `send` (see docs/errors). Safe to repeat with the
   * same `idempotencyKey` or `messageId`.
   */
  async send(message: string | SendInput, options: CallOptions = {}): Promise<TurnHandle> {
    const body = typeof message === 'string' ? { text: message } : message;
    return this.turn(value(await send(this.#host.commands, this.id, body, this.#options(options))));
  }

  /** A handle of a turn that exists or waits in the queue. */
  turn(turn: Pick<SendReply, 'turnId'> & Partial<SendReply>): TurnHandle {
    return new TurnHandle(this.#host, this.#ref, turn);
  }

  /** Ends the running turn: when this resolves it is over. Repeating it is harmless. */
  async stop(body: StopInput = {}, options: CallOptions = {}): Promise<StopReply> {
    return value(await stop(this.#host.commands, this.id, body, this.#options(options)));
  }

  /** Closes the session for good. Repeating it is harmless. */
  async end(body: EndInput = {}, options: CallOptions = {}): Promise<EndReply> {
    return value(await end(this.#host.commands, this.id, body, this.#options(options)));
  }

  /** Sets title, metadata, archived. */
  async update(body: SettingsInput, options: CallOptions = {}): Promise<void> {
    value(await changeSettings(this.#host.commands, this.id, body, this.#options(options)));
  }

  /** Removes everything of the session. */
  async delete(options: CallOptions = {}): Promise<void> {
    value(await deleteSession(this.#host.commands, this.id, this.#options(options)));
  }

  /** The waiting messages, and what can be done with them. */
  get queue() {
    const { commands } = this.#host;
    const run = async (work: Promise<CommandReply<QueueReply> | Refusal>): Promise<QueueReply> => value(await work);
    return {
      delete: (messageId: string, options: CallOptions = {}) => run(deleteQueued(commands, this.id, messageId, this.#options(options))),
      promote: (messageId: string, options: CallOptions = {}) => run(promoteQueued(commands, this.id, messageId, this.#options(options))),
      hold: (options: CallOptions = {}) => run(holdQueue(commands, this.id, this.#options(options))),
      release: (options: CallOptions = {}) => run(releaseQueue(commands, this.id, this.#options(options))),
    };
  }

  /** The session as of now. Throws `RefusedError` with code `session_not_found` when it was deleted. */
  async get(): Promise<SessionView> {
    return sessionView(await this.#session());
  }

  /** A page of the visible conversation, the latest by default. `limit` at most 100, default 50. */
  async messages(options: { readonly before?: number; readonly limit?: number } = {}): Promise<TranscriptPage> {
    return readTranscript(this.#host.commands.store, await this.#session(), { before: options.before, limit: Math.min(options.limit ?? 50, 100) });
  }

  /** The log: entries after a seq, at most 500 at once. */
  async entries(range: Partial<EntryRange> = {}): Promise<readonly Entry[]> {
    return this.#host.commands.store.readEntries(this.#ref, { ...range, limit: Math.min(range.limit ?? 500, 500) });
  }

  /**
   * Everything that happens in the session, from a position on (default: from its beginning), until the signal aborts or the session is deleted. Throws `RefusedError`
   * (`session_not_found`, `bad_position`, and `shutting_down` when this Holdfast is closed) and `StoreError`; following again after the last position goes on.
   */
  events(options: { readonly after?: string; readonly signal?: AbortSignal } = {}): AsyncGenerator<FeedEvent, void, void> {
    return returning((signal) => this.#events(options.after, signal), options.signal);
  }

  async *#events(after: string | undefined, signal: AbortSignal): AsyncGenerator<FeedEvent, void, void> {
    const { feed } = this.#host;
    const opened = await feed.open(this.#ref, after);
    if (isRefusal(opened)) throw new RefusedError(opened);
    for await (const events of feed.follow(opened.ref, opened.cursor, signal)) yield* events;
    if (feed.closed && !signal.aborted) throw shuttingDown();
  }

  async #session() {
    const session = await this.#host.commands.store.readSession(this.#ref);
    if (session === null) throw new RefusedError(refuse('session_not_found', `there is no session ${this.id}`));
    return session;
  }

  #options(options: CallOptions): CommandOptions {
    return { ...options, principal: this.#principal };
  }
}

export interface TurnResult extends TurnView {
  readonly sessionId: string;
}

/** A turn that was started or queued. Dropping the handle cancels nothing. */
export class TurnHandle {
  readonly id: string;
  /** Id of the user message; undefined for a handle made from a turn's id alone. */
  readonly messageId: string | undefined;
  /** It waits for the turns before it. */
  readonly queued: boolean;
  readonly #host: HandleHost;
  readonly #ref: SessionRef;
  readonly #afterSeq: number | undefined;
  #result: Promise<TurnResult> | null = null;

  constructor(host: HandleHost, ref: SessionRef, turn: Pick<SendReply, 'turnId'> & Partial<SendReply>) {
    this.#host = host;
    this.#ref = ref;
    this.id = turn.turnId;
    this.messageId = turn.messageId;
    this.queued = turn.queued ?? false;
    // The revision of the reply is the seq of the message's entry, or of what came right after it.
    this.#afterSeq = turn.revision === undefined ? undefined : Math.max(0, turn.revision - 1);
  }

  /**
   * What the turn says, as it says it: what was said already first. Ends when the turn has ended. Throws `RefusedError`: `turn_not_found` when the turn is gone, and
   * `shutting_down` when this Holdfast is closed before its end; `StoreError` when the store fails. Asking again begins anew.
   */
  get stream(): AsyncGenerator<TurnPart, void, void> {
    return returning((signal) => this.#stream(signal));
  }

  /**
   * The turn once it has ended, whatever way; `reason` says which. Rejects only when the store fails, when the turn is gone (`turn_not_found`), and when this Holdfast is
   * closed before its end (`shutting_down`).
   */
  get result(): Promise<TurnResult> {
    this.#result ??= this.#wait();
    return this.#result;
  }

  async *#stream(signal: AbortSignal): AsyncGenerator<TurnPart, void, void> {
    const { feed } = this.#host;
    const reader = new TurnPartReader(this.id);
    const from = this.#afterSeq === undefined ? feedStart : { ...feedStart, seq: this.#afterSeq };
    for await (const events of feed.follow(this.#ref, from, signal)) {
      for (const event of events) {
        for (const part of reader.read(event)) {
          yield part;
          if (part.type === 'end') return;
        }
      }
      if (reader.isGone) throw this.#gone();
    }
    if (signal.aborted) return;
    throw feed.closed ? shuttingDown() : this.#gone();
  }

  async #wait(): Promise<TurnResult> {
    const { waiters, commands: { store } } = this.#host;
    await waiters.wait(this.#ref, this.id);
    if (waiters.closed) throw shuttingDown();
    const session = await store.readSession(this.#ref);
    const turn = session === null ? null : await readTurn(store, session, this.id, this.#afterSeq);
    if (turn === null) throw this.#gone();
    return { ...turn, sessionId: this.#ref.id };
  }

  #gone(): RefusedError {
    return new RefusedError(refuse('turn_not_found', `turn ${this.id} is gone: its message was taken from the queue, or the session was deleted`));
  }
}

function shuttingDown(): RefusedError {
  return new RefusedError(refuse('shutting_down', 'this Holdfast is closed; the session goes on, and another one can follow it'));
}

/** The reply, or the refusal as an error. */
export function value<Reply>(result: CommandReply<Reply> | Refusal): Reply {
  if (isRefusal(result)) throw new RefusedError(result);
  return result.reply;
}
