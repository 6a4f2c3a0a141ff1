import process from 'node:process';
import { Command, InvalidArgumentError } from 'commander';
import { HoldfastError } from '../../core/errors.ts';
import { allScenarios } from '../../testing/failpoints/all-scenarios.ts';
import { failpointOf } from '../../testing/failpoints/failpoint.ts';
import { openSharedDatabase } from '../../testing/failpoints/open-shared-database.ts';
import { runFailpoint } from '../../testing/failpoints/run-failpoint.ts';
import { describeFailure, runFailpoints, type FailpointsOptions, type ScenarioReport } from '../../testing/failpoints/run-failpoints.ts';
import type { FailpointScenario } from '../../testing/failpoints/scenario.ts';
import { progressBar } from '../progress-bar.ts';
import { note, print, printable, printJson } from '../terminal.ts';

interface FailpointArguments {
  readonly store: string;
  readonly scenario?: readonly FailpointScenario[];
  readonly point?: string;
  readonly share?: NonNullable<FailpointsOptions['share']>;
  readonly json?: true;
}

/**
 * `holdfast simulate failpoints`: scenarios whose every call of the store fails once in each of four ways. Exit code 0: all held; 1: one did not, or it could not be run; 2: wrong usage.
 */
export function simulateFailpointsCommand(): Command {
  return new Command('failpoints')
    .description('fail each call of the store in each of many scenarios: before it, after it, by an error, by the death of the process')
    .option('--store <url>', 'sqlite::memory:, or postgres://…, in a schema of its own that is gone afterwards', 'sqlite::memory:')
    .option('--scenario <name>', 'only this one; can be said more than once', namedScenario)
    .option('--point <name>', 'only this point (SCENARIO:CALL:WAY), with all that happens in it')
    .option('--share <part>', 'only every so manieth point, as 2/6: the second sixth', shareOf)
    .option('--json', 'print a JSON summary as the last line; all else goes to stderr')
    .action(async (given: FailpointArguments) => {
      if (given.point === undefined) await failEverywhere(given);
      else await failOnce(given.point, given);
    });
}

function namedScenario(name: string, before: readonly FailpointScenario[] = []): readonly FailpointScenario[] {
  const found = allScenarios.find((scenario) => scenario.name === name);
  if (found === undefined) throw new InvalidArgumentError(`There are ${allScenarios.map((scenario) => scenario.name).join(', ')}.`);
  return [...before, found];
}

function shareOf(text: string): NonNullable<FailpointsOptions['share']> {
  const [, part = 0, of = 0] = (/^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? []).map(Number);
  if (part < 1 || part > of) throw new InvalidArgumentError('It must be a part of so many, as 2/6.');
  return { of, part: part - 1 };
}

async function failEverywhere({ store, scenario = allScenarios, share, ...given }: FailpointArguments): Promise<void> {
  const json = given.json === true;
  const say = async (text: string): Promise<void> => (json ? note(text) : print(`${text}\n`));
  const bar = progressBar('scenarios', scenario.length, { shown: !json });
  const startedAtMs = performance.now();
  const reports: ScenarioReport[] = [];
  await runFailpoints({ store, scenarios: scenario, share, onScenario: (report) => { reports.push(report); bar.advance(); } }).finally(() => bar.stop());
  for (const { scenario: name, calls, runs, ms, failures } of reports) await say(`${name}: ${calls} calls, ${runs} runs in ${ms} ms${failures.length === 0 ? '' : `, ${failures.length} failed`}`);
  for (const report of reports) for (const failure of report.failures) await say(printable(`${describeFailure(report, failure)}\n`));
  const sum = (of: (report: ScenarioReport) => number): number => reports.reduce((total, report) => total + of(report), 0);
  const summary = { store: reports[0]?.store ?? '', scenarios: reports.length, calls: sum(({ calls }) => calls), runs: sum(({ runs }) => runs), failed: sum(({ failures }) => failures.length), seconds: Number(((performance.now() - startedAtMs) / 1_000).toFixed(1)) };
  await say(`${summary.scenarios} scenarios on ${summary.store}: ${summary.calls} calls of the store, ${summary.runs} runs, ${summary.failed} failed, ${summary.seconds} s`);
  if (json) await printJson(summary);
  if (summary.failed > 0) process.exitCode = 1;
}

async function failOnce(name: string, { store }: FailpointArguments): Promise<void> {
  const failpoint = failpointOf(name);
  const scenario = allScenarios.find((each) => each.name === failpoint.scenario);
  if (scenario === undefined) throw new HoldfastError('options_invalid', `there is no scenario ${failpoint.scenario}; there are ${allScenarios.map((each) => each.name).join(', ')}`);
  const database = await openSharedDatabase(store);
  try {
    const { violations, failedAt } = await runFailpoint({ scenario, failpoint, database, trace: (line) => void print(`${printable(line)}\n`) });
    await print(failedAt === null ? `there is no call ${failpoint.call}: nothing failed\n` : `failed at ${failedAt}\n`);
    for (const { guarantee, what, atMs } of violations) await print(printable(`${guarantee}: ${what} (after ${atMs} ms)\n`));
    if (violations.length > 0) process.exitCode = 1;
  } finally {
    await database.close();
  }
}
