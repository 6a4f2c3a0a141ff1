import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { limits } from '../../src/core/limits.ts';
import { question, tool } from '../../src/index.ts';
import type { Hooks } from '../../src/worker/hooks.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { startChild } from '../support/child-process.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { calling } from '../support/run-turn.ts';

const overloaded = { error: Object.assign(new Error('overloaded'), { code: 'overloaded_error' }) };

async function bench(hooks: Hooks, options: { readonly system?: ReturnType<typeof fakeSystem>; readonly store?: string } = {}) {
  const { system = fakeSystem(), store = `sqlite:${await temporaryDatabase()}` } = options;
  const logged: string[] = [];
  const model = scriptedModel([], { otherwise: 'hello' });
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model })], store, system, hooks, log: (_level, event) => logged.push(event) });
  return { system, store, holdfast, logged, create: () => holdfast.sessions.create({ agent: 'one' }) };
}

describe('hooks', () => {
  it('hear of each action that a turn needs, and of each operation that ends, once each', async () => {
    const heard: unknown[] = [];
    const system = fakeSystem();
    const model = scriptedModel([calling(['refund'], ['index'], ['ask', { question: 'Which?' }]), 'done', 'that too']);
    const run = { inputSchema: z.object({}), execute: () => 'ok' };
    const tools = { refund: tool({ ...run, needsApproval: true }), index: tool({ ...run, background: 'detach' }), ask: question() };
    const holdfast = await openHoldfast({
      agents: [agent({ name: 'one', model, tools })], system,
      hooks: {
        onActionRequired: async ({ tenant, sessionId, entry }) => {
          const session = await holdfast.store.readSession({ tenant, id: sessionId });
          heard.push([entry.kind, entry.type, entry.toolName, session?.turn?.actions.some(({ id }) => id === entry.actionId)]);
        },
        onOperationEnd: async ({ tenant, entry }) => {
          const operation = await holdfast.store.readOperation({ tenant, id: entry.operationId });
          heard.push([entry.kind, entry.status, operation?.status, entry.result?.output]);
        },
      },
    });
    const session = await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
    await system.runUntil(() => heard.length === 3);
    await session.respondAll([{ actionId: 'act_3_0', type: 'deny' }, { actionId: 'act_3_2', type: 'answer', value: 'left' }]);
    await system.advance(60_000);
    expect(heard).toHaveLength(3);
    expect(heard).toEqual(expect.arrayContaining([['action-opened', 'approval', 'refund', true], ['action-opened', 'question', 'ask', true], ['operation-ended', 'succeeded', 'succeeded', 'ok']]));
  });

  it('get to the others however many there are that never get through', async () => {
    const system = fakeSystem();
    const delivered: string[] = [];
    const called = new Map<string, number>();
    let last = '';
    const { create } = await bench({
      onTurnEnd: ({ sessionId }) => {
        called.set(sessionId, (called.get(sessionId) ?? 0) + 1);
        if (sessionId !== last || called.get(sessionId) === 1) throw new Error('no');
        delivered.push(sessionId);
      },
    }, { system });
    for (let count = 0; count < 130; count += 1) {
      const session = await create();
      last = session.id;
      await (await session.send('go')).result;
      await system.advance(1);
    }
    await system.advance(55_000);
    expect(delivered).toEqual([last]);
    // And those are called again and again, each of them.
    await system.advance(60_000);
    expect(Math.min(...[...called].flatMap(([id, times]) => (id === last ? [] : [times])))).toBeGreaterThan(2);
  });

  it('are called after the commit they tell of, once each', async () => {
    const heard: unknown[] = [];
    const { system, holdfast, create } = await bench({
      onStepEnd: async ({ sessionId, entry }) => {
        const [stored] = await holdfast.store.readEntries({ tenant: 'default', id: sessionId }, { afterSeq: entry.seq - 1, limit: 1 });
        heard.push([entry.kind, entry.attempt.usage?.inputTokens, stored?.seq === entry.seq]);
      },
      onTurnEnd: async ({ tenant, sessionId, entry }) => {
        const row = await holdfast.store.readSession({ tenant, id: sessionId });
        heard.push([entry.kind, entry.reason, row?.lastTurn?.id === entry.turnId]);
      },
    });
    const session = await create();
    await (await session.send('go')).result;
    await system.settle();
    expect(heard).toEqual([['assistant-step', 10, true], ['turn-ended', 'complete', true]]);
    await system.advance(45_000);
    expect(heard).toHaveLength(2);
  });

  it('hear of turns that a command ended, and of failed ones', async () => {
    const heard: unknown[] = [];
    const system = fakeSystem();
    const model = scriptedModel([[{ silent: true }], [{ error: Object.assign(new Error('bad key'), { code: 'authentication_error' }) }]]);
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model })], system, hooks: { onTurnEnd: ({ entry }) => { heard.push([entry.reason, entry.error?.code]); } } });
    const session = await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
    await system.settle();
    await session.stop();
    await (await session.send('again')).result;
    await system.settle();
    expect(heard).toEqual([['stopped', undefined], ['failed', 'authentication']]);
  });

  it('that throw are called again until they get through, and hold up nothing meanwhile', async () => {
    const calls: [number, string][] = [];
    const { system, logged, create } = await bench({
      onTurnEnd: ({ sessionId, entry }) => {
        calls.push([system.clock.nowMs(), sessionId]);
        if (calls.filter(([, id]) => id === sessionId).length < 3) throw new Error(`not now ${entry.seq}`);
      },
    });
    const session = await create();
    expect((await (await session.send('go')).result).reason).toBe('complete');
    await system.settle();
    expect(calls).toHaveLength(1);
    const [firstMs = 0] = calls[0] ?? [];
    await system.runUntil(() => calls.length === 3, 120_000);
    expect((calls[1]?.[0] ?? 0) - firstMs).toBeGreaterThanOrEqual(30_000);
    expect(logged).toEqual(['hook-failed', 'hook-failed']);
    await system.advance(45_000);
    expect(calls).toHaveLength(3);
  });

  it('that throw or hang for one event for ever do not keep the others waiting', async () => {
    const delivered = new Set<string>();
    let broken = true;
    let poisoned = '';
    let hanging = '';
    let letGo = (): void => undefined;
    let callsThatHang = 0;
    const { system, create } = await bench({
      onTurnEnd: ({ sessionId }) => {
        if (broken || sessionId === poisoned) throw new Error('no');
        if (sessionId === hanging) {
          callsThatHang += 1;
          return new Promise<void>((resolve) => { letGo = resolve; });
        }
        delivered.add(sessionId);
        return undefined;
      },
    });
    const sessions = [await create(), await create(), await create()];
    poisoned = sessions[0]?.id ?? '';
    hanging = sessions[1]?.id ?? '';
    for (const session of sessions) await (await session.send('go')).result;
    await system.settle();
    broken = false;
    await system.advance(45_000);
    expect([...delivered]).toEqual([sessions[2]?.id]);
    // It is not called a second time while the first call is under way.
    await system.advance(25_000);
    expect(callsThatHang).toBe(1);
    letGo();
  });

  it('leave to other processes what only those listen to', async () => {
    const system = fakeSystem();
    const heard: string[] = [];
    let broken = true;
    const first = await bench({ onTurnEnd: () => { if (broken) throw new Error('not now'); heard.push('turn'); } }, { system });
    await bench({ onStepEnd: () => { heard.push('step'); } }, { system, store: first.store });
    const session = await first.create();
    await (await session.send('go')).result;
    await system.advance(45_000);
    expect(heard).toEqual([]);
    broken = false;
    await system.advance(45_000);
    expect(heard).toEqual(['turn']);
  });

  it('are called by another process when theirs died between the commit and the call', async () => {
    const path = await temporaryDatabase();
    const child = startChild('test/worker/children/hook-process.ts', { path });
    const told = await child.hears('hook');
    await child.signal('SIGKILL');
    // A clock that is some time later, and that the test moves.
    const system = fakeSystem({ startMs: Date.now() + 60_000 });
    const heard: unknown[] = [];
    await bench({ onTurnEnd: ({ sessionId, entry }) => { heard.push({ event: 'hook', sessionId, seq: entry.seq }); } }, { system, store: `sqlite:${path}` });
    await system.advance(20_000);
    expect(heard).toEqual([told]);
    await system.advance(45_000);
    expect(heard).toHaveLength(1);
  });

  it('that are under way when the process closes are waited for', async () => {
    const system = fakeSystem();
    const { promise, resolve } = Promise.withResolvers<void>();
    let done = false;
    const { holdfast, create } = await bench({ onTurnEnd: async () => { await promise; done = true; } }, { system });
    await (await (await create()).send('go')).result;
    const closing = holdfast.close();
    await system.settle();
    expect(done).toBe(false);
    resolve();
    await closing;
    expect(done).toBe(true);
  });

  it('that hang do not keep the process from closing longer than a step might', async () => {
    const { system, holdfast, create } = await bench({ onTurnEnd: () => new Promise(() => undefined) });
    await (await (await create()).send('go')).result;
    let closed = false;
    void holdfast.close().then(() => { closed = true; });
    await system.advance(limits.stopGraceMs - 1);
    expect(closed).toBe(false);
    await system.advance(1);
    expect(closed).toBe(true);
  });

  it('are not told of an attempt that is retried', async () => {
    const system = fakeSystem();
    const heard: string[] = [];
    const model = scriptedModel([[overloaded], 'here']);
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model })], system, hooks: { onTurnEnd: ({ entry }) => { heard.push(entry.reason); }, onStepEnd: ({ entry }) => { heard.push(entry.kind); } } });
    await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
    await system.settle();
    expect(heard).toEqual([]);
    await system.advance(60_000);
    expect(heard).toEqual(['assistant-step', 'complete']);
  });
});
