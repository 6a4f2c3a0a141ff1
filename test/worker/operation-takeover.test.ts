import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, tool } from '../../src/index.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate, type Gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

const leaseMs = 9_000;

/** Two instances on one file: the first runs an operation, the second holds it for dead when told so, and looks for operations only when it is let. */
async function twoInstances() {
  const path = await temporaryDatabase();
  const runs: string[] = [];
  let isDead = false;
  let looks: Gate | null = null;
  let first: Holdfast | null = null;
  const instance = async (by: string, seed: number) => {
    const system = fakeSystem({ seed });
    const work = tool({ inputSchema: z.object({}), background: 'await', recovery: 'rerun', execute: () => { runs.push(by); return new Promise<never>(() => undefined); } });
    const store = wrappedStore(await sqliteStore({ path, system }), {
      findDeadWorkers: () => Promise.resolve(isDead && by === 'second' ? [first?.worker?.id ?? ''] : []),
      findClaimableOperations: async (inner, query) => { if (by === 'second') await looks?.pass(); return inner.findClaimableOperations(query); },
    });
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([[{ call: 'work' }]]), tools: { work } })], store, system, worker: { leaseMs, pollMs: 86_400_000, stopGraceMs: 10 } });
    return { system, holdfast };
  };
  const one = await instance('first', 1);
  first = one.holdfast;
  await first.sessions.create({ agent: 'one', message: { text: 'go' } });
  await one.system.settle();
  const two = await instance('second', 2);
  await two.system.advance(1_000);
  return { runs, system: two.system, second: two.holdfast, dies: () => { isDead = true; }, looksAt: (at: Gate) => { looks = at; } };
}

describe('a worker that hears of another\'s death', () => {
  it('takes its operations, also when it was just looking for some, and though no session names it', async () => {
    const { runs, system, second, dies, looksAt } = await twoInstances();
    expect(runs).toEqual(['first']);
    const look = gate();
    looksAt(look);
    second.worker?.wake();
    await look.reached;
    dies();
    await system.advance(250);
    look.open();
    await system.settle();
    expect(runs).toEqual(['first', 'second']);
  });
});
