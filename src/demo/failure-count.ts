/** Places of a conversation whose failures are counted at a time; beyond, the oldest is forgotten. */
const placesMax = 1_000;

/**
 * How often a place of a conversation has failed. It is the one piece of state of the demo model, and lives in its process
 * alone: after a restart the count begins anew. A place is a hash of the prompt, so two conversations that say the same at
 * the same time share a count.
 */
export class FailureCount {
  readonly #failures = new Map<string, number>();

  /** Counts one more failure and returns true; once there were `times`, forgets the place and returns false. */
  failsAgain(place: string, times: number): boolean {
    const failures = this.#failures.get(place) ?? 0;
    this.#failures.delete(place);
    if (failures >= times) return false;
    this.#failures.set(place, failures + 1);
    if (this.#failures.size > placesMax) this.#forgetOldest();
    return true;
  }

  /** A place that fails is put in anew, so the first is the one that failed longest ago. */
  #forgetOldest(): void {
    for (const place of this.#failures.keys()) {
      this.#failures.delete(place);
      return;
    }
  }
}
