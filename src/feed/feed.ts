import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { decodePosition, feedEvents, feedStart, feedStateBefore, type FeedCursor, type FeedEvent } from '../core/feed-event.ts';
import type { System } from '../core/system.ts';
import type { SessionKey, SessionRef, Store, Tail } from '../store/store.ts';
import type { FeedPlace, FeedStep } from './feed-place.ts';
import { SharedTail } from './shared-tail.ts';

/** Entries of one read. */
const pageEntries = 500;

export interface FollowOptions {
  /** Position of the last event that was received; absent: from the beginning of the log. `now` begins with what comes. */
  readonly after?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The read side of streams: events of sessions from any position, then live. All followers of one session in one process share one reader of the
 * store. Following never changes anything, and ending it cancels nothing.
 */
export class Feed {
  readonly #store: Store;
  readonly #system: System;
  readonly #tails = new Map<string, SharedTail>();
  readonly #pollMs: number;
  #unsubscribe: (() => void) | null = null;
  #closed = false;

  /** `pollMs`: how often to look when no hint came; hints may be lost. */
  constructor(store: Store, system: System, pollMs: number) {
    this.#store = store;
    this.#system = system;
    this.#pollMs = pollMs;
  }

  /** Checks that the session can be followed from there; a refusal is `session_not_found` or `bad_position`. */
  async open(key: SessionKey, after?: string): Promise<{ readonly ref: SessionRef; readonly cursor: FeedCursor } | Refusal> {
    const session = await this.#store.readSession(key);
    if (session === null) return refuse('session_not_found', `there is no session ${key.id}`);
    const cursor = after === undefined ? feedStart : after === 'now' ? { ...feedStart, seq: session.lastSeq } : decodePosition(after);
    if (isRefusal(cursor)) return cursor;
    if (cursor.seq > session.lastSeq) return refuse('bad_position', `position ${JSON.stringify(after)} lies beyond the end of this session's log: it is another session's, or of a store that was set back`);
    return { ref: { tenant: session.tenant, id: session.id }, cursor };
  }

  /**
   * The events of a session in batches, as they are committed: what was missed first, then live, until the session is deleted or the signal aborts.
   * Throws a `StoreError` when the store fails, and `FollowerLagsError` when more waits for the follower than is kept for it, of which `onLag` tells at once;
   * following again from the last position goes on.
   */
  async *follow(ref: SessionRef, from: FeedCursor, signal: AbortSignal, onLag?: () => void): AsyncGenerator<readonly FeedEvent[], void, void> {
    const tail = this.#acquire(ref);
    try {
      let place: FeedPlace = { cursor: from, state: feedStateBefore(from), attemptId: null, ordinal: -1 };
      while (!signal.aborted && !this.#closed) {
        const step = await this.read(ref, place);
        if (step === null) return;
        if (step.events.length > 0) yield step.events;
        place = step.place;
        if (!step.complete) continue;
        let joined = tail.join(place, signal, onLag);
        if (joined === null) {
          await tail.advance();
          joined = tail.join(place, signal, onLag);
        }
        if (joined === null) continue;
        try {
          for (;;) {
            const next = await joined.next();
            if (next === 'ended') return;
            yield next;
          }
        } finally {
          joined.leave();
        }
      }
    } finally {
      this.#release(ref, tail);
    }
  }

  /** One read on from a place. null: the session is gone. */
  async read(ref: SessionRef, { cursor, state, attemptId, ordinal }: FeedPlace): Promise<FeedStep | null> {
    const tail: Tail | null = await this.#store.readTail(ref, { afterSeq: cursor.seq, limit: pageEntries, attemptId, afterOrdinal: ordinal });
    if (tail === null) return null;
    const next = feedEvents(cursor, state, tail);
    const place = { cursor: next.cursor, state: next.state, attemptId: tail.session.turn?.attempt?.id ?? null, ordinal: tail.ordinal };
    return { place, events: next.events, complete: tail.complete };
  }

  /** Followers of all sessions in this process. */
  get followers(): number {
    let followers = 0;
    for (const tail of this.#tails.values()) followers += tail.users;
    return followers;
  }

  /** Whether it has been closed: then following ends though the session goes on. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Ends all following. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe?.();
    for (const tail of this.#tails.values()) tail.end();
    this.#tails.clear();
  }

  #acquire(ref: SessionRef): SharedTail {
    this.#unsubscribe ??= this.#store.onChange(({ ref: changed }) => {
      if (changed !== null) this.#tails.get(keyOf(changed))?.wake();
      else for (const tail of this.#tails.values()) tail.wake();
    });
    const key = keyOf(ref);
    let tail = this.#tails.get(key);
    if (tail === undefined) {
      tail = new SharedTail((place) => this.read(ref, place), this.#system.clock, this.#pollMs);
      this.#tails.set(key, tail);
    }
    tail.users += 1;
    return tail;
  }

  #release(ref: SessionRef, tail: SharedTail): void {
    tail.users -= 1;
    if (tail.users > 0) return;
    tail.end();
    if (this.#tails.get(keyOf(ref)) === tail) this.#tails.delete(keyOf(ref));
    if (this.#tails.size === 0) {
      this.#unsubscribe?.();
      this.#unsubscribe = null;
    }
  }
}

function keyOf({ tenant, id }: SessionRef): string {
  return `${tenant}\n${id}`;
}
