import { expect, test } from 'vitest';
import { agent } from '../../src/index.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { UnheldClaims } from '../../src/worker/unheld-claims.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

const claim = (id: string, fence = 1, tenant = 'acme') => ({ tenant, id, fence });

test('a claim that nothing has in hand is to be given back when it is seen at two heartbeats in a row', () => {
  const claims = new UnheldClaims();
  const held = [claim('a'), claim('b'), claim('b', 1, 'other')];
  expect(claims.seenAgain(held, [claim('a')])).toEqual([]);
  expect(claims.seenAgain(held, [claim('a'), claim('b')])).toMatchObject([claim('b', 1, 'other')]);
  // Under another fence it is another claim.
  expect(claims.seenAgain([claim('a', 2)], [claim('a')])).toEqual([]);
  expect(claims.seenAgain([], [])).toEqual([]);
  expect(claims.seenAgain([claim('a', 2)], [])).toEqual([]);
  expect(claims.seenAgain([claim('a', 2)], [])).toEqual([{ ...claim('a', 2), begun: false }]);
});

test('a claim whose run was dropped here is given back as one that has begun, and another claim of the same is not', () => {
  const claims = new UnheldClaims();
  claims.hasBegun(claim('a'));
  expect(claims.seenAgain([claim('a')], [])).toEqual([]);
  expect(claims.seenAgain([claim('a')], [])).toEqual([{ ...claim('a'), begun: true }]);
  claims.seenAgain([claim('a', 2)], []);
  expect(claims.seenAgain([claim('a', 2)], [])).toEqual([{ ...claim('a', 2), begun: false }]);
});

test('a heartbeat asks the store once which operations are the worker\'s', async () => {
  const system = fakeSystem();
  const counts = { heartbeats: 0, asked: 0 };
  const store = wrappedStore(await sqliteStore({ path: await temporaryDatabase(), system }), {
    renewWorker: (inner, ...renewal) => (counts.heartbeats += 1, inner.renewWorker(...renewal)),
    findHeldOperations: (inner, worker) => (counts.asked += 1, inner.findHeldOperations(worker)),
  });
  await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([]) })], store, system, worker: { leaseMs: 900 } });
  await system.runUntil(() => counts.heartbeats === 4 && counts.asked >= 4);
  expect(counts).toEqual({ heartbeats: 4, asked: 4 });
});
