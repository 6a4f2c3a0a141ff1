import type { Kill } from './evidence.ts';
import { cutExecutions, readWorkerJournal } from './execution-journal.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { WorkerPool } from './worker-pool.ts';

export interface KillCounts {
  readonly kills: number;
  /** Kills that found a generation under way, by the journal of the dead; one that found both counts in both. */
  readonly killsInModel: number;
  readonly killsInTool: number;
}

/** Kills a random process that is ready, again and again at a steady rate. Which one is drawn from the seed. */
export class KillRun {
  readonly kills: Kill[] = [];
  #killsInModel = 0;
  #killsInTool = 0;
  readonly #pool: WorkerPool;
  readonly #folder: string;
  readonly #random: SeededRandom;
  readonly #everyMs: number;
  readonly #under = new Set<Promise<void>>();
  #timer: ReturnType<typeof setInterval> | null = null;

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
    this.#timer = setInterval(() => {
      const killing = this.#killOne().finally(() => this.#under.delete(killing));
      this.#under.add(killing);
    }, this.#everyMs);
  }

  /** Kills no more; resolves when the last one killed is gone and looked into. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await Promise.all(this.#under);
  }

  /** At a moment when none is ready nobody is killed. */
  async #killOne(): Promise<void> {
    const { ready } = this.#pool;
    if (ready.length === 0) return;
    const victim = this.#random.pick(ready);
    const killedAtMs = Date.now();
    await this.#pool.kill(victim);
    this.kills.push({ worker: victim.worker, killedAtMs, goneAtMs: Date.now() });
    const cut = cutExecutions(readWorkerJournal(this.#folder, victim.worker));
    if (cut.some(({ kind }) => kind === 'model')) this.#killsInModel += 1;
    if (cut.some(({ kind }) => kind === 'tool')) this.#killsInTool += 1;
  }
}
