import type { Agent } from '../../agent/agent.ts';
import { HoldfastError } from '../../core/errors.ts';
import { realSystem } from '../../system.ts';
import { allChecks } from './checks/all-checks.ts';
import type { Check, MakeCheck } from './check.ts';
import type { SimulatedCommand } from './command.ts';
import { allCommands } from './commands/all-commands.ts';
import { begins } from './commands/own-commands.ts';
import type { EngineVersion } from './engine-version.ts';
import { Met } from './met.ts';
import type { AgentsOf } from './observed-agents.ts';
import { drawPlan, partsOf, type Kept } from './plan.ts';
import { runSeed, type SeedRun } from './run-seed.ts';
import { shrink } from './shrink.ts';
import { simulatedAgents } from './simulated-agents.ts';
import { SimulatedDatabase } from './simulated-database.ts';
import type { Violation } from './happenings.ts';

export interface SimulateOptions {
  /**
   * Your agents: a function that makes them for one simulated process, with the time and chance that their tools and models go by; or a list, where they keep nothing in memory and wait for nothing. Default: agents that have everything an agent can
   * have.
   */
  readonly agents?: AgentsOf | readonly Agent[];
  /** What clients do; {@link begins} is added where nothing of its kind is given. Default: everything that clients can do. */
  readonly commands?: readonly SimulatedCommand[];
  /** What must hold besides the guarantees. What a check throws counts as violated, too. */
  readonly checks?: readonly MakeCheck[];
  /** What some of the processes run in place of this version, as in the middle of a deployment. Default: all run this one. */
  readonly previousVersion?: EngineVersion;
  /** How many runs, each of another seed. Default 100. */
  readonly seeds?: number;
  /** The first seed. Default 1. */
  readonly firstSeed?: number;
  /** From one seed to the next, for processes that share a range. Default 1. */
  readonly seedStep?: number;
  /** Of one seed, only these parts of its plan (`c3`, `f0`, `hintsLost`), as a failure names them. Default: all. */
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
  /** What of its plan it takes to fail; null: all. To be given as `only`. */
  readonly only: Kept;
  /** The same in words: `f0 crash-after at 812 ms`. */
  readonly parts: readonly string[];
  readonly violations: readonly Violation[];
  /** Everything that happened in the run of what it takes, a line each. */
  readonly story: readonly string[];
  /** Whether it failed the same way when it was run again. If not, something in the agents is not decided by the seed. */
  readonly repeats: boolean;
}

export interface SimulationReport {
  readonly seeds: number;
  readonly failed: number;
  /** Calls of the store. */
  readonly operations: number;
  /** Processes that died. */
  readonly crashes: number;
  /** Without what it took to make failing plans smaller. */
  readonly seedsPerMinute: number;
  /** What of faults, weather, commands and tools was really met. */
  readonly met: Met;
  readonly failures: readonly SimulationFailure[];
}

/** Runs a plan of which only some parts are kept. */
type RunPlan = (seed: number, only: Kept, onTrace?: (line: string) => void) => Promise<SeedRun>;

/**
 * Runs whole Holdfasts (library, HTTP API, workers, SQLite in memory) in simulated processes under a clock and a chance of the simulation's own, lets clients do what clients do and everything go wrong that can, and holds all that happens against the
 * guarantees, after each commit, each reply and each run of a tool; once faults stop, everything must come to rest. The same seed is always the same run. Resolves with what was found, which `describeReport` tells a person; rejects with `HoldfastError`
 * code `options_invalid`, and with what your `agents` and the making of your `checks` throw. See docs/guide/testing-your-agent.md.
 */
export async function simulate(options: SimulateOptions = {}): Promise<SimulationReport> {
  const { seeds = 100, firstSeed = 1, seedStep = 1, failuresMax = 1, shrinks = true, only = null, signal, onTrace, onSeed } = options;
  requireOptions(options);
  const { clock } = realSystem();
  const database = await SimulatedDatabase.open();
  const run = planRunner(options, database);
  const met = new Met();
  const failures: SimulationFailure[] = [];
  let done = 0;
  let spentMs = 0;
  try {
    for (let seed = firstSeed; done < seeds && failures.length < failuresMax && signal?.aborted !== true; seed += seedStep) {
      const startedAtMs = clock.monotonicMs();
      const ran = await run(seed, only, onTrace);
      spentMs += clock.monotonicMs() - startedAtMs;
      done += 1;
      met.add(ran.met);
      onSeed?.(ran);
      if (ran.violations.length > 0) failures.push(await failureOf(ran, only, shrinks, run));
    }
  } finally {
    database.close();
  }
  const { operations, crashes } = met;
  return { seeds: done, failed: failures.length, operations, crashes, seedsPerMinute: Math.round((done * 60_000) / spentMs), met, failures };
}

function requireOptions({ seeds = 100, firstSeed = 1, seedStep = 1, failuresMax = 1, only = null, commands, agents }: SimulateOptions): void {
  for (const [name, value, least] of [['seeds', seeds, 1], ['firstSeed', firstSeed, 0], ['seedStep', seedStep, 1], ['failuresMax', failuresMax, 1]] as const) {
    if (!(Number.isSafeInteger(value) && value >= least)) throw new HoldfastError('options_invalid', `${name} is ${String(value)}; it must be a whole number, at least ${least}`);
  }
  if (commands?.length === 0) throw new HoldfastError('options_invalid', 'commands are none; leave them out for everything that clients can do');
  if (Array.isArray(agents) && agents.length === 0) throw new HoldfastError('options_invalid', 'agents are none; leave them out for agents that have everything');
  if (only === null) return;
  if (seeds !== 1) throw new HoldfastError('options_invalid', `only names parts of one seed, and seeds is ${seeds}: say which with firstSeed, and seeds: 1`);
  const parts = partsOf(drawPlan(firstSeed));
  const unknown = only.filter((part) => !parts.includes(part));
  if (unknown.length > 0) throw new HoldfastError('options_invalid', `only names ${unknown.join(', ')}, which the plan of seed ${firstSeed} has not`);
}

function planRunner({ agents = simulatedAgents, commands = allCommands, checks = [], previousVersion }: SimulateOptions, database: SimulatedDatabase): RunPlan {
  const all = commands.some(({ kind }) => kind === 'create') ? commands : [begins(), ...commands];
  const held = [...allChecks, ...checks.map(throwing)];
  let broken: { readonly error: unknown } | null = null;
  const agentsOf: AgentsOf = (surroundings) => {
    try {
      return typeof agents === 'function' ? agents(surroundings) : agents;
    } catch (error) {
      broken ??= { error };
      throw error;
    }
  };
  return async (seed, only, trace) => {
    const ran = await runSeed({ plan: drawPlan(seed, only), database, agents: agentsOf, commands: all, checks: held, previousVersion, trace });
    if (broken !== null) throw broken.error;
    return ran;
  };
}

/** A check of which what it throws counts as violated: it may use assertions. */
function throwing(make: MakeCheck): MakeCheck {
  return (violated, world) => {
    const check = make(violated, world);
    const told = (name: keyof Check) => (...given: never[]): unknown => {
      const failed = (error: unknown): void => violated('check', error instanceof Error ? error.message : String(error));
      try {
        const result = (check[name] as (...given: never[]) => unknown).apply(check, given);
        return result instanceof Promise ? result.catch(failed) : result;
      } catch (error) {
        failed(error);
      }
      return undefined;
    };
    return Object.fromEntries((Object.keys(check) as (keyof Check)[]).map((name) => [name, told(name)])) as Check;
  };
}

async function failureOf(failed: SeedRun, only: Kept, shrinks: boolean, run: RunPlan): Promise<SimulationFailure> {
  const { seed } = failed;
  const smaller = shrinks ? await shrink(only ?? partsOf(drawPlan(seed)), failed, (kept) => run(seed, kept)) : { kept: only, run: failed };
  const story: string[] = [];
  const again = await run(seed, smaller.kept, (line) => story.push(line));
  const { violations } = smaller.run;
  const repeats = JSON.stringify(again.violations) === JSON.stringify(violations);
  return { seed, only: smaller.kept, parts: describeParts(seed, smaller.kept), violations, story, repeats };
}

function describeParts(seed: number, kept: Kept): readonly string[] {
  const { faults, commands, weather, followers } = drawPlan(seed, kept);
  return [
    ...faults.map(({ id, kind, atMs }) => `${id} ${kind} at ${atMs} ms`),
    ...Object.entries(weather).flatMap(([name, share]) => (share > 0 ? [name] : [])),
    ...[...followers, ...commands].map(({ id, atMs }) => `${id} at ${atMs} ms`),
  ];
}
