import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { ToolOptions } from '../../src/agent/tool.ts';
import { agent, tool } from '../../src/index.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { StoreError } from '../../src/store/store-error.ts';
import type { Store } from '../../src/store/store.ts';
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
      findDeadWorkers: () => Promise.resolve({ dead: isDead && by === 'second' ? [first?.worker?.id ?? ''] : [], nextEndMs: null }),
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

describe('a commit that landed although the store said it had failed', () => {
  it.each([['claim', 1], ['end', 2]])('of an operation\'s %s, costs nothing: it runs once, ends once, and nobody holds it for ever', async (_what, failing) => {
    const system = fakeSystem();
    const runs: string[] = [];
    let commits = 0;
    const store = wrappedStore(await sqliteStore({ path: await temporaryDatabase(), system }), {
      updateOperation: (async (inner: Store, request: Parameters<Store['updateOperation']>[0]) => {
        const result = await inner.updateOperation(request);
        commits += 1;
        if (commits === failing) throw new StoreError('store_unavailable', 'the connection broke');
        return result;
      }) as never,
    });
    const work = tool({ inputSchema: z.object({}), background: 'await', execute: (_input, { callKey }: ToolOptions) => { runs.push(callKey); return 'worked'; } });
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([[{ call: 'work' }], 'done']), tools: { work } })], store, system, worker: { leaseMs } });
    const session = await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
    await system.advance(leaseMs);
    expect(runs).toEqual([`${session.id}/3/0`]);
    expect((await session.operations()).items).toMatchObject([{ status: 'succeeded', attempts: 1 }]);
    expect(await session.get()).toMatchObject({ status: 'idle' });
    expect((await session.entries()).map(({ kind }) => kind)).toEqual(['session-created', 'user-message', 'assistant-step', 'operation-started', 'operation-ended', 'tool-results', 'assistant-step', 'turn-ended']);
  });
});
