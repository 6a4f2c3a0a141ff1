import type { MakeCheck } from '../../src/testing/simulation/check.ts';
import { allCommands } from '../../src/testing/simulation/commands/all-commands.ts';
import type { EngineVersion } from '../../src/testing/simulation/engine-version.ts';
import { Met } from '../../src/testing/simulation/met.ts';
import { drawPlan } from '../../src/testing/simulation/plan.ts';
import { runSeed } from '../../src/testing/simulation/run-seed.ts';
import { simulatedAgents } from '../../src/testing/simulation/simulated-agents.ts';
import { SimulatedDatabase } from '../../src/testing/simulation/simulated-database.ts';
import type { Store } from '../../src/store/store.ts';
import type { Violation } from '../../src/testing/simulation/happenings.ts';

export interface SeedsOptions {
  readonly checks: readonly MakeCheck[];
  /** At most; the first that violates anything ends the run. */
  readonly seeds: number;
  /** What is wrong with each process's store. */
  readonly plant?: Partial<{ [Name in keyof Store]: (store: Store) => Store[Name] }>;
  readonly previousVersion?: EngineVersion;
  readonly trace?: (line: string) => void;
}

/** Runs seeds from 1 until one violates something. */
export async function runSeeds({ checks, seeds, plant = {}, previousVersion, trace }: SeedsOptions): Promise<{ readonly met: Met; readonly seed: number; readonly violation: Violation | null }> {
  const database = await SimulatedDatabase.open();
  const open = database.store.bind(database);
  database.store = (options) => planted(open(options), plant);
  const met = new Met();
  try {
    for (let seed = 1; seed <= seeds; seed += 1) {
      const run = await runSeed({ plan: drawPlan(seed), database, agents: simulatedAgents, commands: allCommands, checks, previousVersion, trace });
      met.add(run.met);
      const [violation] = run.violations;
      if (violation !== undefined) return { met, seed, violation };
    }
    return { met, seed: seeds, violation: null };
  } finally {
    database.close();
  }
}

function planted(store: Store, plant: NonNullable<SeedsOptions['plant']>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const wrong = plant[name as keyof Store];
      const member: unknown = wrong === undefined ? Reflect.get(target, name, target) : wrong(target);
      return typeof member === 'function' && wrong === undefined ? (member as (...given: unknown[]) => unknown).bind(target) : member;
    },
  });
}
