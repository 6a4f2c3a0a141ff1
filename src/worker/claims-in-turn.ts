import type { Clock } from '../core/system.ts';
import type { SessionRef } from '../store/store.ts';

/** A claim that takes longer waits for a row that somebody keeps locked: the others go on without it. */
const slowMs = 150;
/** So many may be waited for besides; each has a connection of the store. */
const slowMax = 2;

/**
 * Claims one after the other, in the order in which they are to have their places. One whose row somebody keeps locked, as a transaction of the user does until it ends, keeps the others waiting no longer
 * than a moment: it goes on beside them, and is not asked for a second time meanwhile.
 */
export class ClaimsInTurn {
  readonly #clock: Clock;
  readonly #onFault: (error: unknown) => void;
  readonly #underWay = new Map<string, Promise<void>>();

  /** `onFault` is told of what becomes of a claim that nobody waits for any more. */
  constructor(clock: Clock, onFault: (error: unknown) => void) {
    this.#clock = clock;
    this.#onFault = onFault;
  }

  /** How many are under way. */
  get size(): number {
    return this.#underWay.size;
  }

  /** Claims, unless it is being claimed. Resolves when that is done, or takes long; rejects with its fault if it has one by then. */
  async run(ref: SessionRef, claim: () => Promise<void>): Promise<void> {
    const key = `${ref.tenant}\n${ref.id}`;
    if (this.#underWay.has(key)) return;
    const claimed = claim().finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, claimed);
    if (this.#underWay.size > slowMax) {
      await claimed;
      return;
    }
    const { promise, resolve } = Promise.withResolvers<'slow'>();
    const cancel = this.#clock.after(slowMs, () => resolve('slow'));
    try {
      if (await Promise.race([claimed, promise]) === 'slow') claimed.catch(this.#onFault);
    } finally {
      cancel();
    }
  }

  /** Resolves when none is under way. Rejects with nothing. */
  async ended(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay.values());
  }
}
