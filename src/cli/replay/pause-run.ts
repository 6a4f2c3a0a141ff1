import type { Pause } from './evidence.ts';
import { passTime } from './pace.ts';
import type { SeededRandom } from './seeded-random.ts';
import { SteadyStrikes } from './steady-rate.ts';
import type { FaultyPool } from './worker-pool.ts';

/** Longer than the lease: others have taken over when the process goes on. */
const pauseLeases = 1.5;

export interface PauseRunOptions {
  readonly random: SeededRandom;
  readonly everyMs: number;
  readonly leaseMs: number;
  /** Pauses no more than so many times. Default: until it is stopped. */
  readonly atMost?: number;
}

/**
 * Stops a random process that is ready with SIGSTOP and lets it go on after one and a half leases, again and again, one at a time: it comes back with work in hand that is no longer its own. Which one it is, is
 * drawn from the seed.
 */
export class PauseRun {
  readonly pauses: Pause[] = [];
  readonly #pool: FaultyPool;
  readonly #options: PauseRunOptions;
  readonly #strikes: SteadyStrikes;

  constructor(pool: FaultyPool, options: PauseRunOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#strikes = new SteadyStrikes(options.everyMs, () => this.#pause());
  }

  start(): void {
    this.#strikes.start();
  }

  /** Pauses nobody any more; resolves when everybody goes on. */
  async stop(): Promise<void> {
    await this.#strikes.stop();
  }

  async #pause(): Promise<void> {
    const { random, leaseMs, atMost = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#pool.ready.length === 0 || this.pauses.length >= atMost) return;
    const victim = random.pick(this.#pool.ready);
    const pausedAtMs = Date.now();
    this.#pool.signal(victim, 'SIGSTOP');
    await passTime(leaseMs * pauseLeases, this.#strikes.signal);
    this.#pool.signal(victim, 'SIGCONT');
    this.pauses.push({ worker: victim.worker, pausedAtMs, resumedAtMs: Date.now() });
  }
}
