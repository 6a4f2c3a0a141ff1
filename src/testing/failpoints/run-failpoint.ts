import { StoreError } from '../../store/store-error.ts';
import { hashOf } from '../simulation/chance.ts';
import type { MakeCheck } from '../simulation/check.ts';
import { allChecks } from '../simulation/checks/all-checks.ts';
import { calm } from '../simulation/plan.ts';
import type { SharedDatabase } from '../simulation/shared-database.ts';
import { World, type AroundProcess } from '../simulation/world.ts';
import type { Failpoint } from './failpoint.ts';
import type { FailpointScenario } from './scenario.ts';
import { Stage } from './stage.ts';
import type { Violation } from '../simulation/happenings.ts';

export interface FailpointRun {
  /** Calls of the store from where failing begins until everything was at rest. */
  readonly calls: number;
  /** The failing call was made; false: the scenario was over before it. */
  readonly failed: boolean;
  /** The verb of the port that failed. */
  readonly failedAt: string | null;
  readonly violations: readonly Violation[];
  /** How much virtual time it took. */
  readonly virtualMs: number;
}

export interface FailpointOptions {
  readonly scenario: FailpointScenario;
  /** null: nothing fails. */
  readonly failpoint: Failpoint | null;
  readonly database: SharedDatabase;
  /** Besides what the scenario itself says. Default: every guarantee. */
  readonly checks?: readonly MakeCheck[];
  readonly trace?: ((line: string) => void) | undefined;
}

const leaseMs = 3_000;
const pollMs = 1_000;
/** Within so much virtual time everything is at rest, and hooks have been told: what a process leaves behind of these is taken over after 30 s. */
const withinMs = 120_000;
/** Things that may happen in a run; more is something that never ends. */
const stepsMax = 100_000;

/** Plays a scenario once, with the failure at its point, until everything is at rest; then looks whether all is as it must be. */
export async function runFailpoint(options: FailpointOptions): Promise<FailpointRun> {
  const { scenario, failpoint, database } = options;
  await database.empty();
  const failing = new Failing(failpoint);
  const outside: string[] = [];
  const world: World = new World({
    plan: {
      seed: hashOf(scenario.name), processes: scenario.processes ?? 1, sessions: 1, leaseMs, pollMs, hasLocks: (failpoint?.call ?? 0) % 2 === 0, weather: calm, commands: [], faults: [], followers: [],
    },
    database, agents: scenario.agents(outside), commands: [], trace: options.trace,
    around: (process, call, perform) => failing.around(world, process, call, perform),
    checks: [() => ({ committed: () => stage.happened(), toolBegan: (run) => { stage.runs.push(run); stage.happened(); } }), ...(options.checks ?? allChecks)],
  });
  const stage = new Stage(world, failpoint, outside);
  const { time, violations } = world;
  const startMs = time.nowMs;
  const play = async (): Promise<void> => {
    failing.isArmed = scenario.fromStart === true;
    for (let place = 0; place < world.plan.processes; place += 1) world.startProcess(place);
    while (!failing.isArmed && world.processes.some(({ holdfast }) => holdfast === null)) await time.sleep(10);
    failing.isArmed = true;
    await scenario.play(stage);
  };
  let isPlayed = false;
  play().catch((error: unknown) => world.violated('scenario', error instanceof Error ? error.message : String(error))).finally(() => { isPlayed = true; });
  const isOver = (): boolean => isPlayed && world.isAtRest() && database.eventsLeft() === 0;
  for (let steps = 0; violations.length === 0 && !isOver(); steps += 1) {
    if (steps === stepsMax) world.violated('G15', `${stepsMax} things happened, and there is no end`);
    else if (!(await time.step(startMs + withinMs))) world.violated('G7', `not at rest, with every hook told, after ${withinMs} ms`);
  }
  const { calls, failedAt } = failing;
  failing.isArmed = false;
  if (violations.length === 0) await world.end();
  for (const process of world.processes) process.kill();
  return { calls, failed: failedAt !== null, failedAt, violations, virtualMs: time.nowMs - startMs };
}

/** Counts calls, and lets one fail. */
class Failing {
  readonly #failpoint: Failpoint | null;
  isArmed = false;
  calls = 0;
  failedAt: string | null = null;

  constructor(failpoint: Failpoint | null) {
    this.#failpoint = failpoint;
  }

  async around<Result>(world: World, process: Parameters<AroundProcess>[0], { name }: Parameters<AroundProcess>[1], perform: () => Promise<Result>): Promise<Result> {
    if (!this.isArmed) return perform();
    this.calls += 1;
    world.trace(() => `${process.name} call ${this.calls} ${name}`);
    if (this.calls !== this.#failpoint?.call) return perform();
    this.failedAt = name;
    const { way } = this.#failpoint;
    const result = way === 'error-after' || way === 'crash-after' ? await perform() : null;
    world.trace(() => `${process.name} meets ${way} at ${name}: ${JSON.stringify(result)?.slice(0, 100)}`);
    if (way === 'error-before' || way === 'error-after') throw new StoreError('store_unavailable', `the scenario lets ${name} fail: ${way}`);
    world.kill(process);
    return new Promise<never>(() => undefined);
  }
}
