import type { Clock } from '../../core/system.ts';

/** How far two clocks may drift apart, as a share of the time that passes. */
const driftShare = 1 / 10_000;

interface Sample {
  /** What is added to the monotonic clock. */
  readonly offsetMs: number;
  /** By how much it may be wrong: half a round trip. */
  readonly errorMs: number;
  readonly takenAtMs: number;
}

/**
 * The database's time as well as this process knows it: by the machine's monotonic clock and what the database last said what time it is, whatever the machine's own clock says. Right to within half of the shortest round
 * trip of late: an answer that took longer tells less and moves nothing, unless it shows that the database's clock was set.
 */
export class StoreClock {
  readonly #clock: Clock;
  #sample: Sample | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Before the database was asked: the machine's time. */
  nowMs(): number {
    return this.#sample === null ? this.#clock.nowMs() : Math.floor(this.#clock.monotonicMs() + this.#sample.offsetMs);
  }

  /** Asks, by whatever statement, and takes note of what time its answer says it is. */
  async during<Answer>(ask: () => Promise<Answer>, nowMsOf: (answer: Answer) => number | null): Promise<Answer> {
    const askedAtMs = this.#clock.monotonicMs();
    const answer = await ask();
    const nowMs = nowMsOf(answer);
    if (nowMs !== null) this.#take(nowMs, askedAtMs, this.#clock.monotonicMs());
    return answer;
  }

  #take(nowMs: number, askedAtMs: number, answeredAtMs: number): void {
    const sample: Sample = { offsetMs: nowMs - (askedAtMs + answeredAtMs) / 2, errorMs: (answeredAtMs - askedAtMs) / 2, takenAtMs: answeredAtMs };
    if (this.#sample === null) {
      this.#sample = sample;
      return;
    }
    const { offsetMs, errorMs, takenAtMs } = this.#sample;
    const grownErrorMs = errorMs + (answeredAtMs - takenAtMs) * driftShare;
    // The database gives whole milliseconds.
    const wasSet = Math.abs(sample.offsetMs - offsetMs) > sample.errorMs + grownErrorMs + 1;
    if (wasSet || sample.errorMs <= grownErrorMs) this.#sample = sample;
  }
}
