import type { HeldSession } from '../store/store.ts';

/**
 * Claims that the store says are this worker's and that nothing here has in hand: their commits came back as errors and have landed all the same. One that is seen once may still be on its way here; seen at two heartbeats, it is to
 * be given back.
 */
export class UnheldClaims {
  #seen = new Set<string>();

  /** Of what the store says at this heartbeat, what nothing had in hand at the one before either. */
  seenAgain(held: readonly HeldSession[], inHand: Iterable<HeldSession>): readonly HeldSession[] {
    const known = new Set([...inHand].map(keyOf));
    const unheld = held.filter((claim) => !known.has(keyOf(claim)));
    const again = unheld.filter((claim) => this.#seen.has(keyOf(claim)));
    this.#seen = new Set(unheld.map(keyOf));
    return again;
  }
}

function keyOf({ tenant, id, fence }: HeldSession): string {
  return `${tenant}\n${id}\n${fence}`;
}
