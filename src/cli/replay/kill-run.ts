import type { Kill } from './evidence.ts';
import { cutExecutions, readWorkerJournal, type ExecutionLine } from './execution-journal.ts';
import { passTime } from './pace.ts';
import type { SeededRandom } from './seeded-random.ts';
import { SteadyStrikes } from './steady-rate.ts';
import type { FaultyPool, WorkerProcess } from './worker-pool.ts';

export interface KillCounts {
  readonly kills: number;
  /** Kills that found a generation under way, by the journal of the dead; one that found both counts in both. */
  readonly killsInModel: number;
  readonly killsInTool: number;
}

export interface KillRunOptions {
  /** Of the journals. */
  readonly folder: string;
  readonly random: SeededRandom;
  readonly everyMs: number;
  /** What the run has to reach. */
  readonly needed: KillCounts;
  /** Kills no more than so many. Default: until it is stopped. */
  readonly atMost?: number;
  /** Looks into what each kill left behind, before the next. */
  readonly onKilled?: () => Promise<void>;
}

const lookEveryMs = 10;
/** How long a kill waits at most for a process that does what too few kills have found, as a share of the time between two. */
const seekShare = 0.5;

/**
 * Kills a random process that is ready, again and again at a steady rate. A kill waits until all processes have been ready for half the time between two kills: where
 * they start slower than they are killed, soon none would be left to do any work, and what a new one takes up would die with it at once. Which one is killed is drawn
 * from the seed; while too few kills have found a tool running, or a generation, one of those that run such, if there is one in time: on a slow machine, where processes mostly start and wait, chance finds few.
 */
export class KillRun {
  readonly kills: Kill[] = [];
  #killsInModel = 0;
  #killsInTool = 0;
  readonly #pool: FaultyPool;
  readonly #options: KillRunOptions;
  readonly #strikes: SteadyStrikes;

  constructor(pool: FaultyPool, options: KillRunOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#strikes = new SteadyStrikes(options.everyMs, () => this.#kill());
  }

  get counts(): KillCounts {
    return { kills: this.kills.length, killsInModel: this.#killsInModel, killsInTool: this.#killsInTool };
  }

  /** Whether nobody is killed any more. */
  get isOver(): boolean {
    return this.#strikes.signal.aborted;
  }

  start(): void {
    this.#strikes.start();
  }

  /** Kills no more; resolves when the last one killed is gone and looked into. Rejects when that failed. */
  async stop(): Promise<void> {
    await this.#strikes.stop();
  }

  /**
   * Resolves some time after so many have been killed, at once if that was before, and when the signal is aborted or nobody is killed any more. Those who wait
   * are let go at different times, so that not all of them rest when the next kill comes.
   */
  async reached(kills: number, signal: AbortSignal): Promise<void> {
    const either = AbortSignal.any([signal, this.#strikes.signal]);
    if (this.kills.length >= kills) return;
    while (this.kills.length < kills && !either.aborted) await passTime(lookEveryMs, either);
    await passTime(this.#options.random.next() * this.#options.everyMs, either);
  }

  async #kill(): Promise<void> {
    const { signal } = this.#strikes;
    const { atMost = Number.POSITIVE_INFINITY, onKilled } = this.#options;
    if (this.kills.length >= atMost) return;
    await this.#pool.completeFor(this.#options.everyMs / 2, signal);
    const victim = await this.#victim();
    if (victim === null || signal.aborted) return;
    const killedAtMs = Date.now();
    await this.#pool.kill(victim);
    this.kills.push({ worker: victim.worker, killedAtMs, goneAtMs: Date.now() });
    if (this.#does(victim, 'model')) this.#killsInModel += 1;
    if (this.#does(victim, 'tool')) this.#killsInTool += 1;
    await onKilled?.();
  }

  async #victim(): Promise<WorkerProcess | null> {
    const { random, everyMs } = this.#options;
    const sought = this.#sought();
    for (const untilMs = performance.now() + everyMs * seekShare; sought !== null && performance.now() < untilMs && !this.#strikes.signal.aborted; ) {
      const fitting = this.#pool.ready.filter((worker) => this.#does(worker, sought));
      if (fitting.length > 0) return random.pick(fitting);
      await passTime(lookEveryMs, this.#strikes.signal);
    }
    return this.#pool.ready.length === 0 ? null : random.pick(this.#pool.ready);
  }

  /** What fewer kills have found than there should be by the next. */
  #sought(): ExecutionLine['kind'] | null {
    const { needed } = this.#options;
    const share = Math.min(1, (this.kills.length + 1) / Math.max(1, needed.kills));
    if (this.#killsInTool < needed.killsInTool * share) return 'tool';
    return this.#killsInModel < needed.killsInModel * share ? 'model' : null;
  }

  /** Whether a process has such an execution under way, by its journal; of a dead one, whether it had. */
  #does({ worker }: WorkerProcess, kind: ExecutionLine['kind']): boolean {
    return cutExecutions(readWorkerJournal(this.#options.folder, worker)).some((line) => line.kind === kind);
  }
}
