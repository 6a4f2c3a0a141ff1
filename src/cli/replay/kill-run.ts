import type { Kill } from './evidence.ts';
import { cutExecutions, readWorkerJournal } from './execution-journal.ts';
import { passTime } from './pace.ts';
import type { SeededRandom } from './seeded-random.ts';
import { atSteadyRate } from './steady-rate.ts';
import type { WorkerPool } from './worker-pool.ts';

export interface KillCounts {
  readonly kills: number;
  /** Kills that found a generation under way, by the journal of the dead; one that found both counts in both. */
  readonly killsInModel: number;
  readonly killsInTool: number;
}

const lookEveryMs = 10;

/**
 * Kills a random process that is ready, again and again at a steady rate. A kill waits until all processes have been ready for half the time between two kills: where
 * they start slower than they are killed, soon none would be left to do any work, and what a new one takes up would die with it at once. Which one is killed is drawn
 * from the seed.
 */
export class KillRun {
  readonly kills: Kill[] = [];
  #killsInModel = 0;
  #killsInTool = 0;
  readonly #pool: WorkerPool;
  readonly #folder: string;
  readonly #random: SeededRandom;
  readonly #everyMs: number;
  readonly #stopped = new AbortController();
  #killing: Promise<void> = Promise.resolve();

  constructor(pool: WorkerPool, { folder, random, everyMs }: { readonly folder: string; readonly random: SeededRandom; readonly everyMs: number }) {
    this.#pool = pool;
    this.#folder = folder;
    this.#random = random;
    this.#everyMs = everyMs;
  }

  get counts(): KillCounts {
    return { kills: this.kills.length, killsInModel: this.#killsInModel, killsInTool: this.#killsInTool };
  }

  start(): void {
    this.#killing = atSteadyRate(this.#everyMs, this.#stopped.signal, () => this.#kill());
  }

  /** Kills no more; resolves when the last one killed is gone and looked into. Rejects when that failed. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#killing;
  }

  /**
   * Resolves some time after so many have been killed, at once if that was before, and when the signal is aborted or nobody is killed any more. Those who wait
   * are let go at different times, so that not all of them rest when the next kill comes.
   */
  async reached(kills: number, signal: AbortSignal): Promise<void> {
    const either = AbortSignal.any([signal, this.#stopped.signal]);
    if (this.kills.length >= kills) return;
    while (this.kills.length < kills && !either.aborted) await passTime(lookEveryMs, either);
    await passTime(this.#random.next() * this.#everyMs, either);
  }

  async #kill(): Promise<void> {
    const { signal } = this.#stopped;
    await this.#pool.completeFor(this.#everyMs / 2, signal);
    if (signal.aborted || this.#pool.ready.length === 0) return;
    const victim = this.#random.pick(this.#pool.ready);
    const killedAtMs = Date.now();
    await this.#pool.kill(victim);
    this.kills.push({ worker: victim.worker, killedAtMs, goneAtMs: Date.now() });
    const cut = cutExecutions(readWorkerJournal(this.#folder, victim.worker));
    if (cut.some(({ kind }) => kind === 'model')) this.#killsInModel += 1;
    if (cut.some(({ kind }) => kind === 'tool')) this.#killsInTool += 1;
  }
}
