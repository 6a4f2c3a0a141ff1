import { expect, it } from 'vitest';
import { allScenarios } from '../../src/testing/failpoints/all-scenarios.ts';
import { failpointOf } from '../../src/testing/failpoints/failpoint.ts';
import { runFailpoint } from '../../src/testing/failpoints/run-failpoint.ts';
import { describeFailure, runFailpoints, type FailpointsOptions, type ScenarioReport } from '../../src/testing/failpoints/run-failpoints.ts';
import type { SharedDatabase } from '../../src/testing/simulation/shared-database.ts';

const timeout = 120_000;

/** A test for each scenario; with `FAILPOINT=scenario:call:way` in the environment that point alone, with all that happens in it. */
export function failpointSuite(database: () => SharedDatabase, share?: FailpointsOptions['share']): void {
  const only = process.env['FAILPOINT'];
  if (only !== undefined && only !== '') {
    it(only, { timeout }, () => replay(only, database()));
    return;
  }
  it.each(allScenarios.map((scenario) => [scenario.name, scenario.fact, scenario] as const))('%s: %s', { timeout }, async (_name, _fact, scenario) => {
    const [report] = await runFailpoints({ store: database(), scenarios: [scenario], share });
    expect(describe(report)).toEqual([]);
    expect(report?.calls).toBeGreaterThan(0);
  });
}

async function replay(name: string, database: SharedDatabase): Promise<void> {
  const failpoint = name.includes(':') ? failpointOf(name) : null;
  const scenario = allScenarios.find((each) => each.name === (failpoint?.scenario ?? name));
  if (scenario === undefined) throw new RangeError(`there is no scenario of ${name}; there are ${allScenarios.map((each) => each.name).join(', ')}`);
  const { violations } = await runFailpoint({ scenario, failpoint, database, trace: (line) => console.log(line) });
  expect(violations).toEqual([]);
}

function describe(report: ScenarioReport | undefined): readonly string[] {
  return report === undefined ? ['nothing was run'] : report.failures.map((failure) => describeFailure(report, failure));
}
