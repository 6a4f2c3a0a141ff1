import type { Entry } from '../core/entry.ts';
import { HoldfastError } from '../core/errors.ts';
import type { Session } from '../core/session.ts';
import type { Clock } from '../core/system.ts';
import type { SessionRef, Store } from '../store/store.ts';

interface Waiter {
  readonly ref: SessionRef;
  readonly turnId: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Waits for turns to end. Commits of this process say so themselves; those of others are looked for after the store's hints, and now and then
 * without one.
 */
export class TurnWaiters {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #waiters = new Map<string, Set<Waiter>>();
  #unsubscribe: (() => void) | null = null;
  #cancelPoll: (() => void) | null = null;
  #looking = false;
  #lookAgain = false;
  #closed = false;

  constructor(store: Store, clock: Clock, pollMs: number) {
    this.#store = store;
    this.#clock = clock;
    this.#pollMs = pollMs;
  }

  /** Whether it has been closed: then waiting ends though the turn may go on. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when the turn has ended, or no longer waits in the queue, or all waiting is closed; rejects when the signal aborts or the store fails. */
  async wait(ref: SessionRef, turnId: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closed) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { ref, turnId, resolve, reject };
    const waiters = this.#waiters.get(turnId) ?? new Set();
    waiters.add(waiter);
    this.#waiters.set(turnId, waiters);
    const give = (): void => reject(signal?.reason as Error);
    signal?.addEventListener('abort', give);
    this.#listen();
    // It may have ended before anybody waited.
    void this.#look([waiter]);
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', give);
      this.#remove(waiter);
    }
  }

  /** Entries of a commit of this process. */
  committed(entries: readonly Entry[]): void {
    if (this.#waiters.size === 0) return;
    for (const entry of entries) if (entry.kind === 'turn-ended') this.#settle(entry.turnId);
    // Which turn a message would have opened is not in the entry that takes it from the queue.
    if (entries.some(({ kind }) => kind === 'message-unqueued')) void this.#lookAtAll();
  }

  /** Ends all waiting. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#quiet();
    for (const turnId of [...this.#waiters.keys()]) this.#settle(turnId);
  }

  #settle(turnId: string): void {
    for (const waiter of this.#waiters.get(turnId) ?? []) waiter.resolve();
    this.#waiters.delete(turnId);
    if (this.#waiters.size === 0) this.#quiet();
  }

  #remove(waiter: Waiter): void {
    const waiters = this.#waiters.get(waiter.turnId);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(waiter.turnId);
    if (this.#waiters.size === 0) this.#quiet();
  }

  #listen(): void {
    if (this.#unsubscribe !== null) return;
    this.#unsubscribe = this.#store.onChange((change) => {
      if (change === null) void this.#lookAtAll();
    });
    this.#poll();
  }

  #quiet(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    this.#cancelPoll?.();
  }

  #poll(): void {
    this.#cancelPoll = this.#clock.after(this.#pollMs, () => {
      void this.#lookAtAll();
      this.#poll();
    });
  }

  async #lookAtAll(): Promise<void> {
    this.#lookAgain = true;
    if (this.#looking) return;
    this.#looking = true;
    while (this.#lookAgain) {
      this.#lookAgain = false;
      await this.#look([...this.#waiters.values()].flatMap((waiters) => [...waiters]));
    }
    this.#looking = false;
  }

  async #look(waiters: readonly Waiter[]): Promise<void> {
    for (const waiter of waiters) {
      try {
        if (!isOpen(await this.#store.readSession(waiter.ref), waiter.turnId)) this.#settle(waiter.turnId);
      } catch (error) {
        waiter.reject(error instanceof Error ? error : new HoldfastError('store_unavailable', String(error)));
      }
    }
  }
}

/** Whether the turn runs or waits in the queue. */
function isOpen(session: Session | null, turnId: string): boolean {
  return session !== null && (session.turn?.id === turnId || session.queue.some((queued) => queued.turnId === turnId));
}
