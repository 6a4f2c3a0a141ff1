import type { FeedEvent } from '../core/feed-event.ts';
import { limits } from '../core/limits.ts';
import type { Clock } from '../core/system.ts';
import { isSamePlace, type FeedPlace, type FeedStep } from './feed-place.ts';
import { HoldfastError } from '../core/errors.ts';

/** A follower that has caught up and now gets what the shared reader reads. */
export interface JoinedFollower {
  /** The next events; `ended` when the session is gone, the process closes or the signal aborts. Rejects when the follower lags too far behind, or the store fails. */
  next(): Promise<readonly FeedEvent[] | 'ended'>;
  leave(): void;
}

/** One reader of a session's end for all its followers in a process: it reads once for each change, however many follow. */
export class SharedTail {
  users = 0;
  readonly #read: (place: FeedPlace) => Promise<FeedStep | null>;
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #followers = new Set<Follower>();
  #place: FeedPlace | null = null;
  #reading: Promise<void> | null = null;
  #again = false;
  #ended = false;
  #cancelPoll: (() => void) | null = null;

  constructor(read: (place: FeedPlace) => Promise<FeedStep | null>, clock: Clock, pollMs: number) {
    this.#read = read;
    this.#clock = clock;
    this.#pollMs = pollMs;
  }

  /** Joins a follower at its place; null when the shared reader is at another: then both read on and try again. `onLag` is called at once when it lags too far behind. */
  join(place: FeedPlace, signal: AbortSignal, onLag?: () => void): JoinedFollower | null {
    if (this.#ended) return endedFollower;
    if (this.#followers.size === 0 && this.#reading === null) this.#place = place;
    if (this.#place === null || !isSamePlace(this.#place, place)) return null;
    const follower = new Follower(() => {
      this.#followers.delete(follower);
      if (this.#followers.size === 0) this.#stopPolling();
    }, signal, onLag);
    this.#followers.add(follower);
    if (this.#cancelPoll === null) this.#poll();
    // A change may have come between the follower's read and now.
    this.wake();
    return follower;
  }

  /** Reads what is new, once. */
  advance(): Promise<void> {
    if (this.#reading === null) this.#begin();
    return this.#reading ?? Promise.resolve();
  }

  wake(): void {
    if (this.#reading !== null) this.#again = true;
    else if (this.#followers.size > 0) this.#begin();
  }

  end(): void {
    this.#ended = true;
    this.#stopPolling();
    for (const follower of this.#followers) follower.end();
    this.#followers.clear();
  }

  #begin(): void {
    const from = this.#place;
    if (from === null || this.#ended) return;
    this.#again = false;
    this.#reading = this.#readOn(from).finally(() => {
      this.#reading = null;
      if (this.#again) this.wake();
    });
  }

  async #readOn(from: FeedPlace): Promise<void> {
    let step: FeedStep | null;
    try {
      step = await this.#read(from);
    } catch (error) {
      for (const follower of this.#followers) follower.fail(error);
      this.#followers.clear();
      return;
    }
    if (step === null) {
      this.end();
      return;
    }
    this.#place = step.place;
    if (step.events.length > 0) for (const follower of this.#followers) follower.push(step.events);
    if (!step.complete) this.#again = true;
  }

  #poll(): void {
    this.#cancelPoll = this.#clock.after(this.#pollMs, () => {
      this.wake();
      this.#poll();
    });
  }

  #stopPolling(): void {
    this.#cancelPoll?.();
    this.#cancelPoll = null;
  }
}

/** A reader that does not take what it is given, beyond the bound of what is kept for it. It resumes from storage. */
export class FollowerLagsError extends HoldfastError {
  override readonly name = 'FollowerLagsError';
  constructor() {
    super('follower_lags', `the follower is more than ${limits.streamLagBytesMax} characters behind; follow again from the last position`);
  }
}

class Follower implements JoinedFollower {
  readonly #onLeave: () => void;
  readonly #signal: AbortSignal;
  readonly #onLag: (() => void) | undefined;
  /** Often the very array that all followers are given, so that what is made of it can be shared too. */
  #waiting: readonly FeedEvent[] = [];
  #waitingChars = 0;
  #ended = false;
  #failure: Error | null = null;
  #notify: (() => void) | null = null;

  constructor(onLeave: () => void, signal: AbortSignal, onLag?: () => void) {
    this.#onLeave = onLeave;
    this.#signal = signal;
    this.#onLag = onLag;
    signal.addEventListener('abort', this.#wake);
  }

  readonly #wake = (): void => this.#notify?.();

  push(events: readonly FeedEvent[]): void {
    if (this.#failure !== null) return;
    // However much comes at once, only a follower that leaves something lie lags.
    const lies = this.#waiting.length > 0;
    for (const event of events) this.#waitingChars += sizeOf(event);
    this.#waiting = lies ? [...this.#waiting, ...events] : events;
    if (lies && this.#waitingChars > limits.streamLagBytesMax) {
      this.fail(new FollowerLagsError());
      this.#onLag?.();
      return;
    }
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = error instanceof Error ? error : new HoldfastError('feed_failed', String(error));
    this.#waiting = [];
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  leave(): void {
    this.#signal.removeEventListener('abort', this.#wake);
    this.#onLeave();
  }

  async next(): Promise<readonly FeedEvent[] | 'ended'> {
    if (this.#waiting.length === 0 && !this.#ended && this.#failure === null && !this.#signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#notify = resolve;
      });
      this.#notify = null;
    }
    if (this.#signal.aborted) return 'ended';
    if (this.#failure !== null) throw this.#failure;
    if (this.#waiting.length === 0) return 'ended';
    const events = this.#waiting;
    this.#waiting = [];
    this.#waitingChars = 0;
    return events;
  }
}

const endedFollower: JoinedFollower = { next: () => Promise.resolve('ended'), leave: () => undefined };

const sizes = new WeakMap<FeedEvent, number>();

/** Characters of an event as JSON, counted once however many followers it goes to. */
function sizeOf(event: FeedEvent): number {
  const known = sizes.get(event);
  if (known !== undefined) return known;
  const size = JSON.stringify(event).length;
  sizes.set(event, size);
  return size;
}
