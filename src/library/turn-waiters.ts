import type { Entry, EntryKind } from '../core/entry.ts';
import { HoldfastError } from '../core/errors.ts';
import { statusOf, type Session } from '../core/session.ts';
import type { Clock } from '../core/system.ts';
import type { TurnView } from '../feed/turn-view.ts';
import type { SessionRef, Store } from '../store/store.ts';
import { SeenTurns } from './seen-turns.ts';

interface Waiter {
  readonly ref: SessionRef;
  readonly turnIds: readonly string[];
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** After entries of these kinds, and after a commit without entries (an outcome was kept, a claim given back), a turn may need an action, or wait no longer in the queue. */
const kindsToLookAfter: ReadonlySet<EntryKind> = new Set(['action-opened', 'action-resolved', 'operation-started', 'operation-ended', 'message-unqueued']);

/**
 * Waits for turns to end, or to need an action. Commits of this process say so themselves; those of others are looked for after the store's hints, and now and then
 * without one.
 */
export class TurnWaiters {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #pollMs: number;
  /** By session. */
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #seen = new SeenTurns();
  readonly #worksHere: boolean;
  readonly #stopHearing: () => void;
  #unsubscribe: (() => void) | null = null;
  #cancelPoll: (() => void) | null = null;
  #looking = false;
  #lookAgain = false;
  #closed = false;

  /** `worksHere`: this process works on turns itself, and may have seen all of one. Else others end them, before anybody waits perhaps. */
  constructor(store: Store, clock: Clock, pollMs: number, worksHere = false) {
    this.#store = store;
    this.#clock = clock;
    this.#pollMs = pollMs;
    this.#worksHere = worksHere;
    this.#stopHearing = worksHere ? store.onChange(({ ref, elsewhere }) => { if (elsewhere) this.#seen.changedElsewhere(ref); }) : () => undefined;
  }

  /** Whether it has been closed: then waiting ends though the turn may go on. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Resolves when the turn has ended, needs an action, or no longer waits in the queue, or all waiting is closed; rejects when the signal aborts or the store fails. Of several
   * turns the one that runs counts, and none has ended while one of them waits in the queue.
   */
  async wait(ref: SessionRef, turnIds: string | readonly string[], signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closed) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { ref, turnIds: typeof turnIds === 'string' ? [turnIds] : turnIds, resolve, reject };
    const waiters = this.#waiters.get(keyOf(ref)) ?? new Set();
    waiters.add(waiter);
    this.#waiters.set(keyOf(ref), waiters);
    const give = (): void => reject(signal?.reason as Error);
    signal?.addEventListener('abort', give);
    this.#listen();
    // It may have ended, or wait for somebody, before anybody waited for it.
    if (!this.#worksHere || !waiter.turnIds.every((turnId) => this.#seen.goesOn(ref, turnId))) void this.#look([waiter]);
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', give);
      this.#remove(waiter);
    }
  }

  /** The turn, if it has ended, and this process has seen all of it. */
  seenToEnd(ref: SessionRef, turnId: string): TurnView | null {
    return this.#seen.ended(ref, turnId);
  }

  /** Entries of a commit of this process. */
  committed(ref: SessionRef, entries: readonly Entry[]): void {
    this.#seen.committed(ref, entries);
    const waiters = this.#waiters.get(keyOf(ref));
    if (waiters === undefined) return;
    const ended = new Set(entries.flatMap((entry) => (entry.kind === 'turn-ended' ? [entry.turnId] : [])));
    const looks = entries.length === 0 || entries.some(({ kind }) => kindsToLookAfter.has(kind));
    const unsure: Waiter[] = [];
    for (const waiter of waiters) {
      if (waiter.turnIds.every((turnId) => ended.has(turnId))) waiter.resolve();
      else if (looks || waiter.turnIds.some((turnId) => ended.has(turnId))) unsure.push(waiter);
    }
    if (unsure.length > 0) void this.#look(unsure);
  }

  /** Ends all waiting. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#stopHearing();
    this.#quiet();
    for (const waiter of this.#all()) waiter.resolve();
    this.#waiters.clear();
  }

  #all(): readonly Waiter[] {
    return [...this.#waiters.values()].flatMap((waiters) => [...waiters]);
  }

  #remove(waiter: Waiter): void {
    const waiters = this.#waiters.get(keyOf(waiter.ref));
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(keyOf(waiter.ref));
    if (this.#waiters.size === 0) this.#quiet();
  }

  #listen(): void {
    if (this.#unsubscribe !== null) return;
    this.#unsubscribe = this.#store.onChange(({ ref, elsewhere }) => {
      if (!elsewhere) return;
      if (ref === null) void this.#lookAtAll();
      else void this.#look([...(this.#waiters.get(keyOf(ref)) ?? [])]);
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
      await this.#look(this.#all());
    }
    this.#looking = false;
  }

  async #look(waiters: readonly Waiter[]): Promise<void> {
    for (const waiter of waiters) {
      try {
        if (isSettled(await this.#store.readSession(waiter.ref), waiter.turnIds)) waiter.resolve();
      } catch (error) {
        waiter.reject(error instanceof Error ? error : new HoldfastError('store_unavailable', String(error)));
      }
    }
  }
}

/** Whether there is nothing to wait for: no such turn goes on by itself or waits in the queue. */
function isSettled(session: Session | null, turnIds: readonly string[]): boolean {
  if (session === null) return true;
  if (session.turn !== null && turnIds.includes(session.turn.id)) return statusOf(session) === 'requires_action';
  return !session.queue.some(({ turnId }) => turnIds.includes(turnId));
}

function keyOf({ tenant, id }: SessionRef): string {
  return `${tenant}\n${id}`;
}
