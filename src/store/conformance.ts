import { branchCases } from './conformance/branch-cases.ts';
import { createCases } from './conformance/create-cases.ts';
import { deleteCases } from './conformance/delete-cases.ts';
import { idempotencyCases } from './conformance/idempotency-cases.ts';
import { CaseClock, Kit, type ConformanceCase, type OpenConformanceStore, type TestApi, type Traits } from './conformance/kit.ts';
import { listCases } from './conformance/list-cases.ts';
import { liveCases } from './conformance/live-cases.ts';
import { operationCases } from './conformance/operation-cases.ts';
import { operationKeyCases } from './conformance/operation-key-cases.ts';
import { operationListCases } from './conformance/operation-list-cases.ts';
import { outboxCases } from './conformance/outbox-cases.ts';
import { ownershipCases } from './conformance/ownership-cases.ts';
import { pauseCases } from './conformance/pause-cases.ts';
import { readCases } from './conformance/read-cases.ts';
import { stateCases } from './conformance/state-cases.ts';
import { transactionCases } from './conformance/transaction-cases.ts';
import { updateCases } from './conformance/update-cases.ts';
import { usageCases } from './conformance/usage-cases.ts';
import { workerCases } from './conformance/worker-cases.ts';

export type { ConformanceCase, Expectation, OpenConformanceStore, OpenedStore, TestApi, Traits } from './conformance/kit.ts';

export interface ConformanceOptions {
  /** Names the store in the tests' titles. */
  readonly name: string;
  /** Opens an empty store for one case. */
  readonly open: OpenConformanceStore;
  /** The test runner's own functions: Vitest's, or any with the same meaning. */
  readonly api: TestApi;
}

const groups: readonly (readonly [name: string, cases: readonly ConformanceCase[]])[] = [
  ['creating', createCases],
  ['updating', updateCases],
  ['idempotency keys', idempotencyCases],
  ['live output and early outcomes', liveCases],
  ['turns that wait', pauseCases],
  ['operations', operationCases],
  ['keys of operations', operationKeyCases],
  ['lists and scans of operations', operationListCases],
  ['marks and branches', branchCases],
  ['state', stateCases],
  ['reading', readCases],
  ['owners and tenants', ownershipCases],
  ['lists', listCases],
  ['deleting, closing, reopening', deleteCases],
  ['usage', usageCases],
  ['workers', workerCases],
  ['outbox and hints', outboxCases],
  ['transactions of callers', transactionCases],
];

/**
 * The one suite that every store is held to (G12). Registers a test for each guarantee of the port, each on an empty store of its own; which ones depends on what
 * the store can do (`capabilities`, and whether `open` offers `reopen` and `peer`), never on its name. Returns how many tests it registered.
 */
export async function storeConformance({ name, open, api }: ConformanceOptions): Promise<number> {
  const traits = await traitsOf(open);
  const holding = groups.map(([group, cases]) => [group, cases.filter((each) => each.when?.(traits) ?? true)] as const);
  api.describe(`${name} as a store`, () => {
    for (const [group, cases] of holding) {
      api.describe(group, () => {
        for (const each of cases) api.it(each.name, () => runCase(open, api, each));
      });
    }
  });
  return holding.reduce((count, [, cases]) => count + cases.length, 0);
}

async function traitsOf(open: OpenConformanceStore): Promise<Traits> {
  const opened = await open({ outboxKinds: [], nowMs: () => 0 });
  const { capabilities } = opened.store;
  await opened.close();
  return { ...capabilities, reopens: opened.reopen !== undefined, hasPeers: opened.peer !== undefined };
}

async function runCase(open: OpenConformanceStore, api: TestApi, each: ConformanceCase): Promise<void> {
  const clock = new CaseClock();
  const opened = await open({ outboxKinds: each.outboxKinds ?? [], nowMs: () => clock.nowMs });
  const kit = new Kit(opened, api.expect, clock);
  try {
    await kit.store.migrate();
    await each.run(kit);
  } finally {
    await kit.end();
  }
}
