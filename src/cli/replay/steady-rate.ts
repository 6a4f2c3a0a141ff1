import { passTime } from './pace.ts';

/** Strikes again and again at a steady rate from its start to its stop, or to a strike that fails. */
export class SteadyStrikes {
  readonly #everyMs: number;
  readonly #strike: () => Promise<void>;
  readonly #stopped = new AbortController();
  #striking: Promise<void> = Promise.resolve();

  constructor(everyMs: number, strike: () => Promise<void>) {
    this.#everyMs = everyMs;
    this.#strike = strike;
  }

  /** Aborted when it is stopped, and when a strike has failed. */
  get signal(): AbortSignal {
    return this.#stopped.signal;
  }

  start(): void {
    this.#striking = atSteadyRate(this.#everyMs, this.signal, this.#strike);
    // Whoever stops it is told why.
    this.#striking.catch(() => this.#stopped.abort());
  }

  /** Strikes no more; resolves when the last strike is over. Rejects when one failed. Idempotent. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#striking;
  }
}

/** Runs `strike` again and again at a steady rate until the signal is aborted; then resolves, after the one that runs. One that takes longer than the time between two delays the next. */
async function atSteadyRate(everyMs: number, signal: AbortSignal, strike: () => Promise<void>): Promise<void> {
  for (let dueMs = performance.now() + everyMs; ; dueMs = Math.max(dueMs + everyMs, performance.now())) {
    await passTime(dueMs - performance.now(), signal);
    if (signal.aborted) return;
    await strike();
  }
}
