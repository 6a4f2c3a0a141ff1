import type { Agent } from '../../agent/agent.ts';
import { HoldfastError } from '../../core/errors.ts';
import { realSystem } from '../../system.ts';
import { allChecks } from './checks/all-checks.ts';
import type { MakeCheck } from './check.ts';
import type { SimulatedCommand } from './command.ts';
import { allCommands } from './commands/all-commands.ts';
import type { EngineVersion } from './engine-version.ts';
import { Met } from './met.ts';
import type { AgentsOf } from './observed-agents.ts';
import { drawPlan, partsOf, type Kept } from './plan.ts';
import { runSeed, type SeedRun } from './run-seed.ts';
import { shrink } from './shrink.ts';
import { simulatedAgents } from './simulated-agents.ts';
import { SimulatedDatabase } from './simulated-database.ts';
import type { Violation } from './world.ts';

export interface SimulateOptions {
  /**
   * Your agents: a function that makes them for one simulated process, with the time and chance that their tools and models go by; or a list, where they keep nothing in memory that outlives a process. Default: agents that have everything an agent can
   * have.
   */
  readonly agents?: AgentsOf | readonly Agent[];
  /** What clients do. Default: everything that clients can do. */
  readonly commands?: readonly SimulatedCommand[];
  /** What must hold besides the guarantees. */
  readonly checks?: readonly MakeCheck[];
  /** What some of the processes run in place of this version, as in the middle of a deployment. Default: all run this one. */
  readonly previousVersion?: EngineVersion;
  /** How many runs, each of another seed. Default 100. */
  readonly seeds?: number;
  /** The first seed. Default 1. */
  readonly firstSeed?: number;
  /** From one seed to the next, for processes that share a range. Default 1. */
  readonly seedStep?: number;
  /** Only these parts of each plan (`c3`, `f0`, `hintsLost`), as a failure names them. Default: all. */
  readonly only?: Kept;
  /** Whether a failing plan is made as small as it still fails. Default true. */
  readonly shrinks?: boolean;
  /** After so many failures the rest is left. Default 1. */
  readonly failuresMax?: number;
  readonly signal?: AbortSignal;
  /** Told of each seed. */
  readonly onSeed?: (run: SeedRun) => void;
  /** Told of everything that happens in each run, a line each. */
  readonly onTrace?: (line: string) => void;
}

export interface SimulationFailure {
  readonly seed: number;
  /** What of its plan it takes to fail; null: all, or what `only` said. */
  readonly only: Kept;
  readonly violations: readonly Violation[];
}

export interface SimulationReport {
  readonly seeds: number;
  readonly failed: number;
  /** Calls of the store. */
  readonly operations: number;
  /** Processes that died. */
  readonly crashes: number;
  readonly seedsPerMinute: number;
  /** What of faults, weather and commands was really met. */
  readonly met: Met;
  readonly failures: readonly SimulationFailure[];
}

/**
 * Runs whole Holdfasts (library, HTTP API, workers, SQLite in memory) in simulated processes under a clock and a chance of the simulation's own, lets clients do what clients do and everything go wrong that can, and holds all that happens against the
 * guarantees, after each commit, each reply and each run of a tool; once faults stop, everything must come to rest. The same seed is always the same run. Resolves with what was found; rejects with `HoldfastError` code `options_invalid`, and with what your functions
 * throw before a run begins. See docs/guide/proof.md.
 */
export async function simulate(options: SimulateOptions = {}): Promise<SimulationReport> {
  const { seeds = 100, firstSeed = 1, seedStep = 1, failuresMax = 1, shrinks = true, only = null, signal } = options;
  for (const [name, value] of Object.entries({ seeds, firstSeed, seedStep, failuresMax })) {
    if (!(Number.isSafeInteger(value) && value >= 0)) throw new HoldfastError('options_invalid', `${name} is ${String(value)}; it must be a whole number, not negative`);
  }
  const { clock } = realSystem();
  const startedAtMs = clock.monotonicMs();
  const database = await SimulatedDatabase.open();
  const met = new Met();
  const failures: SimulationFailure[] = [];
  let done = 0;
  try {
    for (let seed = firstSeed; done < seeds && failures.length < failuresMax && signal?.aborted !== true; seed += seedStep) {
      const run = await runOne(seed, only, options, database);
      done += 1;
      met.add(run.met);
      options.onSeed?.(run);
      if (run.violations.length > 0) failures.push(await failureOf(run, only, shrinks, options, database));
    }
  } finally {
    database.close();
  }
  const { operations, crashes } = met;
  return { seeds: done, failed: failures.length, operations, crashes, seedsPerMinute: Math.round((done * 60_000) / (clock.monotonicMs() - startedAtMs)), met, failures };
}

function runOne(seed: number, only: Kept, { agents = simulatedAgents, commands = allCommands, checks = [], previousVersion, onTrace }: SimulateOptions, database: SimulatedDatabase): Promise<SeedRun> {
  const agentsOf: AgentsOf = typeof agents === 'function' ? agents : () => agents;
  return runSeed({ plan: drawPlan(seed, only), database, agents: agentsOf, commands, checks: [...allChecks, ...checks], previousVersion, trace: onTrace });
}

async function failureOf(failed: SeedRun, only: Kept, shrinks: boolean, options: SimulateOptions, database: SimulatedDatabase): Promise<SimulationFailure> {
  const { seed, violations } = failed;
  if (!shrinks) return { seed, only, violations };
  const silent = { ...options, onTrace: undefined } as unknown as SimulateOptions;
  const smaller = await shrink(only ?? partsOf(drawPlan(seed)), failed, (kept) => runOne(seed, kept, silent, database));
  return { seed, only: smaller.kept, violations: smaller.run.violations };
}

/** What of it is told to a person: what was violated, and how to see it again. */
export function describeFailure({ seed, only, violations }: SimulationFailure): string {
  return [
    `seed ${seed}:`,
    ...violations.slice(0, 5).map(({ guarantee, what, atMs }) => `  ${guarantee} at ${atMs} ms: ${what}`),
    `  again: npm run -s simulate -- --seed ${seed}${only === null ? '' : ` --only ${only.join(',')}`} --trace`,
  ].join('\n');
}
