import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allScenarios } from '../../src/testing/failpoints/all-scenarios.ts';
import { failpointName, failpointOf } from '../../src/testing/failpoints/failpoint.ts';
import { runFailpoint } from '../../src/testing/failpoints/run-failpoint.ts';
import { describeFailure, runFailpoints } from '../../src/testing/failpoints/run-failpoints.ts';
import type { SharedDatabase } from '../../src/testing/simulation/shared-database.ts';
import { SimulatedDatabase } from '../../src/testing/simulation/simulated-database.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';

const timeout = 60_000;

describe('failpoints', { timeout }, () => {
  let database: SimulatedDatabase;
  beforeAll(async () => { database = await SimulatedDatabase.open(); });
  afterAll(() => database.close());

  const scenario = (name: string) => {
    const found = allScenarios.find((each) => each.name === name);
    if (found === undefined) throw new RangeError(`there is no scenario ${name}`);
    return found;
  };

  it('are in at least 25 scenarios, each with a name of its own', () => {
    expect(new Set(allScenarios.map(({ name }) => name)).size).toBe(allScenarios.length);
    expect(allScenarios.length).toBeGreaterThanOrEqual(25);
  });

  it('are named so that each can be run again', () => {
    const failpoint = { scenario: 'tool-report', call: 11, way: 'error-after' } as const;
    expect(failpointOf(failpointName(failpoint))).toEqual(failpoint);
    expect(() => failpointOf('tool-report:0:error-after')).toThrow('is no failpoint');
    expect(() => failpointOf('tool-report:1:sometimes')).toThrow('is no failpoint');
  });

  it.each(['approval-approved:7:crash-after', 'operation-detached:5:crash-before', 'parallel-tools:9:error-after'])('are the same run each time: %s', async (name) => {
    const failpoint = failpointOf(name);
    const traced = async (): Promise<readonly string[]> => {
      const lines: string[] = [];
      const { failed } = await runFailpoint({ scenario: scenario(failpoint.scenario), failpoint, database, trace: (line) => lines.push(line) });
      return [...lines, `failed: ${failed}`];
    };
    const first = await traced();
    expect(first.at(-1)).toBe('failed: true');
    expect(await traced()).toEqual(first);
  });

  it('in shares are each of them once', async () => {
    const run = async (share?: { readonly of: number; readonly part: number }) => (await runFailpoints({ store: database, scenarios: [scenario('plain-turn')], share }))[0];
    const failing = 4 * ((await run())?.calls ?? 0);
    let parts = 0;
    for (const part of [0, 1, 2]) parts += ((await run({ of: 3, part }))?.runs ?? 0) - 1;
    // Each way ends with at most one run in which no call was left to fail.
    expect(parts).toBeGreaterThanOrEqual(failing);
    expect(parts).toBeLessThanOrEqual(failing + 4 * 3);
  });

  it('catch a store that forgets which requests it has answered, and say how to see it again', async () => {
    const forgetful = withStores(database, { update: (inner, request) => inner.update({ ...request, idempotency: [] }) });
    const [report] = await runFailpoints({ store: forgetful, scenarios: [scenario('queue-of-three')], failuresMax: 1 });
    expect(report?.failures.length).toBeGreaterThan(0);
    const said = report?.failures.map((failure) => describeFailure(report, failure)).join('\n');
    expect(said).toMatch(/npm run -s simulate -- failpoints --point queue-of-three:\d+:error-after$/m);
  });

  it('catch a store that does not see who is dead', async () => {
    const blind = withStores(database, { findDeadWorkers: () => Promise.resolve({ dead: [], nextEndMs: null }) });
    const [report] = await runFailpoints({ store: blind, scenarios: [scenario('tool-rerun')], failuresMax: 1 });
    expect(report?.failures.map(({ failpoint }) => failpoint)).toEqual([expect.stringMatching(/^tool-rerun:\d+:crash-/)]);
    expect(report?.failures[0]?.violations[0]?.what).toContain('not within 30000 ms');
  });
});

/** The database, with stores some of whose verbs are others. */
function withStores(database: SharedDatabase, overrides: StoreOverrides): SharedDatabase {
  return new Proxy(database, {
    get: (target, name) => {
      if (name === 'store') return async (options: Parameters<SharedDatabase['store']>[0]) => wrappedStore(await target.store(options), overrides);
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? (member as (...given: unknown[]) => unknown).bind(target) : member;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}
