import { expect, it } from 'vitest';
import { allScenarios } from '../../src/testing/failpoints/all-scenarios.ts';
import { describeFailure, runFailpoints, type FailpointsOptions, type ScenarioReport } from '../../src/testing/failpoints/run-failpoints.ts';
import type { SharedDatabase } from '../../src/testing/simulation/shared-database.ts';

const timeout = 120_000;

/** A test for each scenario. */
export function failpointSuite(database: () => SharedDatabase, share?: FailpointsOptions['share']): void {
  it.each(allScenarios.map((scenario) => [scenario.name, scenario.fact, scenario] as const))('%s: %s', { timeout }, async (_name, _fact, scenario) => {
    const [report] = await runFailpoints({ store: database(), scenarios: [scenario], share });
    expect(describe(report)).toEqual([]);
    expect(report?.calls).toBeGreaterThan(0);
  });
}

function describe(report: ScenarioReport | undefined): readonly string[] {
  return report === undefined ? ['nothing was run'] : report.failures.map((failure) => describeFailure(report, failure));
}
