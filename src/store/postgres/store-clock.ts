import type { Clock } from '../../core/system.ts';

/**
 * The database's time as well as this process knows it: by the machine's monotonic clock since the database last said what time it is. Right to within half a round trip, whatever the machine's own clock says.
 */
export class StoreClock {
  readonly #clock: Clock;
  #offsetMs: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Before the database was asked: the machine's time. */
  nowMs(): number {
    return this.#offsetMs === null ? this.#clock.nowMs() : Math.floor(this.#clock.monotonicMs() + this.#offsetMs);
  }

  /** Asks, by whatever statement, and takes note of what time its answer says it is. */
  async during<Answer>(ask: () => Promise<Answer>, nowMsOf: (answer: Answer) => number | null): Promise<Answer> {
    const askedAtMs = this.#clock.monotonicMs();
    const answer = await ask();
    const nowMs = nowMsOf(answer);
    if (nowMs !== null) this.#offsetMs = nowMs - (askedAtMs + this.#clock.monotonicMs()) / 2;
    return answer;
  }
}
