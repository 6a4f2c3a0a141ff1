import type { Clock } from '../../core/system.ts';
import { StoreError } from '../store-error.ts';
import type { TransactionOptions } from '../store.ts';

interface Waiting {
  readonly enter: () => void;
  readonly leave: (error: StoreError) => void;
}

/** So many at once; the others wait for their turn, in the order they came. */
export class Places {
  readonly #max: number;
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiting>();
  #taken = 0;

  constructor(max: number, clock: Clock) {
    this.#max = max;
    this.#clock = clock;
  }

  /** Resolves with what gives the place back. Rejects with `StoreError` code `store_unavailable` when none was free in time, or the signal aborted first. */
  async take({ waitMs = 10_000, signal }: TransactionOptions): Promise<() => void> {
    if (signal?.aborted === true) throw noLongerWanted();
    if (this.#taken < this.#max) this.#taken += 1;
    else await this.#wait(waitMs, signal);
    let isOpen = true;
    return () => {
      if (isOpen) this.#giveBack();
      isOpen = false;
    };
  }

  async #wait(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { enter: resolve, leave: reject };
    this.#waiting.add(waiting);
    const cancel = this.#clock.after(waitMs, () => reject(new StoreError('store_unavailable',
      `${this.#max} transactions are open, which is as many as the pool's connections allow beside the store's own commits, and none ended within ${waitMs} ms; nothing was begun: make them shorter, or the pool larger`)));
    const abort = (): void => reject(noLongerWanted());
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiting.delete(waiting);
      cancel();
      signal?.removeEventListener('abort', abort);
    }
  }

  /** The place goes to the one that has waited longest. */
  #giveBack(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#taken -= 1;
      return;
    }
    this.#waiting.delete(next);
    next.enter();
  }
}

function noLongerWanted(): StoreError {
  return new StoreError('store_unavailable', 'the transaction is no longer wanted; nothing was begun');
}
