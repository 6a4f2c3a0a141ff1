import type { Kill, Pause } from './evidence.ts';
import { KillRun, type KillCounts } from './kill-run.ts';
import { PauseRun } from './pause-run.ts';
import { SeededRandom } from './seeded-random.ts';
import { TerminationRun } from './termination-run.ts';
import type { FaultyPool } from './worker-pool.ts';

/** What is done to a run's processes and connections, and how often, in milliseconds; null: never. */
export interface FaultRates {
  /** A process is killed with SIGKILL. */
  readonly killEveryMs: number | null;
  /** A process is stopped for longer than its lease, and goes on. */
  readonly pauseEveryMs?: number | null;
  /** A connection to the database is ended; Postgres only. */
  readonly terminateEveryMs?: number | null;
}

export interface FaultCounts extends KillCounts {
  readonly pauses: number;
  readonly terminations: number;
}

export const noFaults: FaultCounts = { kills: 0, killsInModel: 0, killsInTool: 0, pauses: 0, terminations: 0 };

export interface FaultOptions extends FaultRates {
  readonly store: string;
  /** Of the journals. */
  readonly folder: string;
  readonly seed: number;
  readonly leaseMs: number;
  /** What the kills have to reach. */
  readonly needed: KillCounts;
  /** How often each goes wrong at most. Default: until it is stopped. */
  readonly atMost?: { readonly kills: number; readonly pauses: number; readonly terminations: number };
  /** As that of {@link KillRun}. */
  readonly onKilled?: () => Promise<void>;
}

/** Everything that goes wrong in a run on purpose. What each does is drawn from the seed, each for itself. */
export class Faults {
  readonly #kills: KillRun | null;
  readonly #pauses: PauseRun | null;
  readonly #terminations: TerminationRun | null;

  constructor(pool: FaultyPool, { killEveryMs, pauseEveryMs = null, terminateEveryMs = null, store, folder, seed, leaseMs, needed, atMost, onKilled }: FaultOptions) {
    const most = <Name extends keyof NonNullable<typeof atMost>>(name: Name): { readonly atMost?: number } => (atMost === undefined ? {} : { atMost: atMost[name] });
    this.#kills = killEveryMs === null ? null : new KillRun(pool, { folder, random: new SeededRandom(seed), everyMs: killEveryMs, needed, ...most('kills'), ...(onKilled === undefined ? {} : { onKilled }) });
    this.#pauses = pauseEveryMs === null ? null : new PauseRun(pool, { random: new SeededRandom(seed + 1), everyMs: pauseEveryMs, leaseMs, ...most('pauses') });
    this.#terminations = terminateEveryMs === null ? null : new TerminationRun({ store, random: new SeededRandom(seed + 2), everyMs: terminateEveryMs, ...most('terminations') });
  }

  get kills(): readonly Kill[] {
    return this.#kills?.kills ?? [];
  }

  get pauses(): readonly Pause[] {
    return this.#pauses?.pauses ?? [];
  }

  get counts(): FaultCounts {
    return { ...noFaults, ...this.#kills?.counts, pauses: this.pauses.length, terminations: this.#terminations?.terminations ?? 0 };
  }

  /** Whether kills have ended: by a stop, or because one failed, which {@link stop} says. */
  get isOver(): boolean {
    return this.#kills?.isOver ?? false;
  }

  start(): void {
    for (const each of [this.#kills, this.#pauses, this.#terminations]) each?.start();
  }

  /** Nothing goes wrong on purpose any more; resolves when all that was done is over and looked into. Rejects when one of them failed. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all([this.#kills, this.#pauses, this.#terminations].map(async (each) => each?.stop()));
  }

  /** As that of {@link KillRun}; at once where nobody is killed. */
  async reached(kills: number, signal: AbortSignal): Promise<void> {
    await this.#kills?.reached(kills, signal);
  }
}
