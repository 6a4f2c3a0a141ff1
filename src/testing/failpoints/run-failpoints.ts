import { HoldfastError } from '../../core/errors.ts';
import { realSystem } from '../../system.ts';
import type { MakeCheck } from '../simulation/check.ts';
import type { SharedDatabase } from '../simulation/shared-database.ts';
import { allScenarios } from './all-scenarios.ts';
import { failpointName, failWays, type Failpoint, type FailWay } from './failpoint.ts';
import { openSharedDatabase } from './open-shared-database.ts';
import { runFailpoint } from './run-failpoint.ts';
import type { FailpointScenario } from './scenario.ts';
import type { Violation } from '../simulation/happenings.ts';

/** What became of a scenario that failed at each of its calls. */
export interface ScenarioReport {
  /** On which it was run: `sqlite`, `postgres`. */
  readonly store: string;
  readonly scenario: string;
  readonly fact: string;
  /** Calls of the store, where nothing fails. */
  readonly calls: number;
  readonly runs: number;
  readonly ms: number;
  /** The virtual time of the longest run, from its start to rest. */
  readonly virtualMsMax: number;
  readonly failures: readonly FailpointFailure[];
}

export interface FailpointFailure {
  /** Runs it again, see {@link failpointName}; null: nothing failed in it. */
  readonly failpoint: string | null;
  /** The verb of the port that failed. */
  readonly failedAt: string | null;
  readonly violations: readonly Violation[];
}

export interface FailpointsOptions {
  /** The kind of store, by its URL: SQLite is failed in memory, Postgres in a schema of its own in that database. Or one that is open, is emptied before each run, and stays the caller's to close. Default `sqlite::memory:`. */
  readonly store?: string | SharedDatabase;
  /** Default: all. */
  readonly scenarios?: readonly FailpointScenario[];
  /** Default: all four. */
  readonly ways?: readonly FailWay[];
  /** Only every so manieth point, and which of them: `{ of: 4, part: 1 }`. Parts 0 to `of - 1` are all of them. Default: all. */
  readonly share?: { readonly of: number; readonly part: number } | undefined;
  /** Besides what the scenarios themselves say. Default: every guarantee. */
  readonly checks?: readonly MakeCheck[];
  /** After a scenario stops looking for further failures of it. Default 5. */
  readonly failuresMax?: number;
  readonly onScenario?: (report: ScenarioReport) => void;
}

/** Far more calls than any scenario makes; one that makes as many never ends. */
const callsMax = 5_000;

/** Fails each scenario at its first call of the store, at its second, and so on, in each way, until a run in which no call is left to fail. */
export async function runFailpoints(options: FailpointsOptions): Promise<readonly ScenarioReport[]> {
  const { store = 'sqlite::memory:', scenarios = allScenarios, onScenario } = options;
  const database = typeof store === 'string' ? await openSharedDatabase(store) : store;
  const reports: ScenarioReport[] = [];
  try {
    for (const scenario of scenarios) {
      const report = await failEverywhere(scenario, database, options);
      reports.push(report);
      onScenario?.(report);
    }
  } finally {
    if (database !== store) await database.close();
  }
  return reports;
}

async function failEverywhere(scenario: FailpointScenario, database: SharedDatabase, { ways = failWays, share = { of: 1, part: 0 }, checks, failuresMax = 5 }: FailpointsOptions): Promise<ScenarioReport> {
  const { clock } = realSystem();
  const beganAtMs = clock.monotonicMs();
  const failures: FailpointFailure[] = [];
  let runs = 0;
  let virtualMsMax = 0;
  const run = async (failpoint: Failpoint | null): Promise<{ readonly failed: boolean; readonly calls: number }> => {
    const { violations, failedAt, virtualMs, ...ran } = await runFailpoint({ scenario, failpoint, database, ...(checks === undefined ? {} : { checks }) });
    runs += 1;
    virtualMsMax = Math.max(virtualMsMax, virtualMs);
    if (violations.length > 0) failures.push({ failpoint: failpoint === null ? null : failpointName(failpoint), failedAt, violations });
    return ran;
  };
  const { calls } = await run(null);
  for (const [place, way] of ways.entries()) {
    for (let call = 1; failures.length < failuresMax; call += 1) {
      if (call > callsMax) throw new HoldfastError('not_idle', `${scenario.name} makes ${callsMax} calls and does not end`);
      const isTurn = (call + place) % share.of === share.part;
      if (isTurn ? !(await run({ scenario: scenario.name, call, way })).failed : call > calls) break;
    }
  }
  return { store: database.name, scenario: scenario.name, fact: scenario.fact, calls, runs, ms: Math.round(clock.monotonicMs() - beganAtMs), virtualMsMax, failures };
}

/** A failure in words, with the line that runs it again. */
export function describeFailure({ scenario, store }: Pick<ScenarioReport, 'scenario' | 'store'>, { failpoint, failedAt, violations }: FailpointFailure): string {
  const where = failpoint === null ? `${scenario}, with nothing failing` : `${failpoint} (at ${failedAt})`;
  return [`${where}:`, ...violations.map(({ guarantee, what, atMs }) => `  ${guarantee}: ${what} (after ${atMs} ms)`), `  again: npm run -s simulate -- failpoints ${failpoint === null ? `--scenario ${scenario}` : `--point ${failpoint}`}${store === 'postgres' ? ' --store postgres://…' : ''}`].join('\n');
}
