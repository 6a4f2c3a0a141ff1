import type { HeldSession } from '../store/store.ts';

/**
 * Claims that the store says are this worker's and that nothing here has in hand: their commits came back as errors and have landed all the same, or their runs were dropped for what looked like a lost fence. One that is seen once may
 * still be on its way here; seen at two heartbeats, it is to be given back.
 */
export class UnheldClaims {
  #seen = new Set<string>();
  #begun = new Set<string>();

  /** A run of the claim has ended here, and may have had effects. */
  hasBegun(claim: HeldSession): void {
    this.#begun.add(keyOf(claim));
  }

  /** Of what the store says at this heartbeat, what nothing had in hand at the one before either, and whether a run of it had begun here. */
  seenAgain(held: readonly HeldSession[], inHand: Iterable<HeldSession>): readonly (HeldSession & { readonly begun: boolean })[] {
    const known = new Set([...inHand].map(keyOf));
    const unheld = held.filter((claim) => !known.has(keyOf(claim)));
    const again = unheld.filter((claim) => this.#seen.has(keyOf(claim))).map((claim) => ({ ...claim, begun: this.#begun.has(keyOf(claim)) }));
    this.#seen = new Set(unheld.map(keyOf));
    // Of what is not claimed any more nothing is asked again.
    this.#begun = new Set([...this.#seen].filter((key) => this.#begun.has(key)));
    return again;
  }
}

function keyOf({ tenant, id, fence }: HeldSession): string {
  return `${tenant}\n${id}\n${fence}`;
}
