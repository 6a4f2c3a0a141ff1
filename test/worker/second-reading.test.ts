import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { InvariantError } from '../../src/core/errors.ts';
import type { Clock } from '../../src/core/system.ts';
import { agent, tool } from '../../src/index.ts';
import type { OperationUpdateRequest, OperationUpdateResult, Store, UpdateRequest } from '../../src/store/store.ts';
import { StoreError } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { calling, ofKind, runTurn, startTurn } from '../support/run-turn.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';
import { openStore, stores, type TestStore } from '../support/stores.ts';

const nothing = z.object({});

async function storeWith(kind: TestStore, overrides: StoreOverrides): Promise<Store> {
  return wrappedStore(await openStore(await kind.newUrl()), overrides);
}

const graceMs = 12_345;

/** The grace time of a stop is over at once, and is told of. */
function graceClock(clock: Clock, over: () => void): Clock {
  return { ...clock, after: (delayMs, callback) => (delayMs === graceMs ? clock.after(0, () => { callback(); over(); }) : clock.after(delayMs, callback)) };
}

describe.each(stores)('a call ($name)', (kind) => {
  it('that was approved with the input null runs with null, not with what the model wrote', async () => {
    const runs: unknown[] = [];
    const wipe = tool({ inputSchema: z.object({ folder: z.string() }).nullable(), needsApproval: true, execute: (input) => { runs.push(input); return 'ok'; } });
    const { session, turn, result } = await runTurn({ store: await kind.newUrl(), tools: { wipe }, script: [calling(['wipe', { folder: '/' }]), 'done'] });
    await session.approve(result.actions[0]?.id ?? '', { input: null });
    await turn.result;
    expect(runs).toEqual([null]);
  });

  it('that ran has its outcome although the whole of its result could not be kept', async () => {
    const store = await storeWith(kind, { storeWholeResult: () => Promise.reject(new StoreError('store_unavailable', 'disk full')) });
    const read = tool({ inputSchema: nothing, maxResultBytes: 1_000, execute: () => 'x'.repeat(5_000) });
    const { entries } = await runTurn({ store, tools: { read }, script: [calling(['read']), 'done'] });
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'done', wholeBytes: 5_000 }]);
  });

  it('ends as failed where the agent\'s context is never made', async () => {
    const look = tool({ inputSchema: nothing, execute: () => 'seen' });
    const { entries, result } = await runTurn({ store: await kind.newUrl(), tools: { look }, agent: { context: () => new Promise<never>(() => undefined), limits: { toolTimeoutMs: 50 } }, script: [calling(['look']), 'done'] });
    expect(result.reason).toBe('complete');
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'failed', code: 'context_failed' }]);
  });

  it('tells no secret of a context that could not be made', async () => {
    const look = tool({ inputSchema: nothing, execute: () => 'seen' });
    const { entries } = await runTurn({ store: await kind.newUrl(), tools: { look }, agent: { context: () => { throw new Error('refused: Bearer abcdefgh12345678'); } }, script: [calling(['look']), 'done'] });
    expect(ofKind(entries, 'tool-results')[0]?.results[0]?.errorText).toContain('[redacted]');
  });
});

describe.each(stores)('an operation ($name)', (kind) => {
  it('ends where the agent\'s context is never made', async () => {
    let made = 0;
    const index = tool({ inputSchema: nothing, background: 'await', timeoutMs: 500, execute: () => 'indexed' });
    const context = () => { made += 1; return made === 1 ? {} : new Promise<never>(() => undefined); };
    const { result, session } = await runTurn({ store: await kind.newUrl(), tools: { index }, agent: { context }, script: [calling(['index']), 'done'] });
    expect(result.reason).toBe('complete');
    expect((await session.operations()).items).toMatchObject([{ status: 'failed', result: { code: 'context_failed' } }]);
  });

  it('is given one token, however often its tool asks for one', async () => {
    const tokens = new Set<string>();
    const index = tool({
      inputSchema: nothing, background: 'await',
      execute: async (_input, { externalCompletion }) => { for (let asked = 0; asked < 3; asked += 1) tokens.add((await externalCompletion()).token); throw new Error('done with them'); },
    });
    const { session, holdfast } = await runTurn({ store: await kind.newUrl(), tools: { index }, script: [calling(['index']), 'done'] });
    const [{ id } = { id: '' }] = (await session.operations()).items;
    expect(tokens.size).toBe(1);
    expect((await holdfast.store.readOperation({ tenant: 'default', id }))?.tokenHashes).toHaveLength(1);
  });

  it('whose claim was committed and came back as an error runs, once', async () => {
    let runs = 0;
    let failed = false;
    const store = await storeWith(kind, {
      updateOperation: (async (inner: Store, request: OperationUpdateRequest<unknown>) => {
        const result: OperationUpdateResult<unknown> = await inner.updateOperation(request);
        if (failed || result.kind !== 'committed' || result.operation.worker === null) return result;
        failed = true;
        throw new StoreError('store_unavailable', 'the answer was lost');
      }) as never,
    });
    const index = tool({ inputSchema: nothing, background: 'await', execute: () => { runs += 1; return 'indexed'; } });
    const { result, session } = await runTurn({ store, tools: { index }, script: [calling(['index']), 'done'], worker: { pollMs: 50, leaseMs: 600 } });
    expect(result.reason).toBe('complete');
    expect((await session.operations()).items).toMatchObject([{ status: 'succeeded' }]);
    expect(runs).toBe(1);
  });
});

describe.each(stores)('a worker that stops ($name)', (kind) => {
  it('takes back the dispatch of an approved call that had joined its siblings and did not begin', async () => {
    const system = realSystem();
    const inner = await openStore(await kind.newUrl());
    const [held, grace] = [gate(), gate()];
    const store = wrappedStore(inner, {
      update: (async (_inner: Store, request: UpdateRequest<unknown>) => {
        const result = await inner.update(request);
        if (result.kind === 'committed' && Array.isArray(result.reply) && result.reply.length > 0) await held.pass();
        return result;
      }) as never,
    });
    const slow = tool({ inputSchema: z.object({}), recovery: 'rerun', execute: () => new Promise<never>(() => undefined) });
    let paid = 0;
    const pay = tool({ inputSchema: z.object({}), needsApproval: true, execute: () => { paid += 1; return 'paid'; } });
    const { session, holdfast } = await startTurn({ store, tools: { slow, pay }, script: [calling(['slow'], ['pay'])], system: { ...system, clock: graceClock(system.clock, () => grace.open()) }, worker: { stopGraceMs: graceMs, pollMs: 20 } });
    await eventually('the action', async () => (await session.actions()).length === 1);
    await session.approve((await session.actions())[0]?.id ?? '');
    await held.reached;
    const stopped = holdfast.worker?.stop();
    await grace.pass();
    held.open();
    await stopped;
    const row = await inner.readSession({ tenant: 'default', id: session.id });
    expect(paid).toBe(0);
    expect(row?.turn?.lastStep?.openCalls.find(({ toolName }) => toolName === 'pay')?.dispatchedFence).toBeUndefined();
  });

  it('does not begin an operation whose claim comes back after the grace time', async () => {
    const [claim, grace] = [gate(), gate()];
    let begun = 0;
    const store = await storeWith(kind, {
      updateOperation: (async (inner: Store, request: OperationUpdateRequest<unknown>) => {
        const result: OperationUpdateResult<unknown> = await inner.updateOperation(request);
        if (result.kind === 'committed' && result.operation.worker !== null) await claim.pass();
        return result;
      }) as never,
    });
    const index = tool({ inputSchema: nothing, background: 'await', execute: () => { begun += 1; return new Promise<never>(() => undefined); } });
    const system = realSystem();
    const { holdfast, session } = await startTurn({ store, system: { ...system, clock: graceClock(system.clock, () => grace.open()) }, tools: { index }, script: [calling(['index'])], worker: { stopGraceMs: graceMs } });
    await claim.reached;
    const closing = holdfast.worker?.stop();
    await grace.pass();
    claim.open();
    await closing;
    expect(begun).toBe(0);
    expect((await session.operations()).items).toMatchObject([{ status: 'queued', attempts: 0 }]);
  });
});

describe.each(stores)('a large answer ($name)', (kind) => {
  it('that are refused leave nothing behind', async () => {
    let kept = 0;
    const store = wrappedStore(await openStore(await kind.newUrl()), { storeWholeResult: (inner, whole) => { kept += 1; return inner.storeWholeResult(whole); } });
    const locate = tool({ inputSchema: z.object({}), maxResultBytes: 100 });
    const { session, result } = await runTurn({ store, tools: { locate }, script: [calling(['locate']), 'done'] });
    const id = result.actions[0]?.id ?? '';
    for (let time = 0; time < 3; time += 1) await expect(session.respond(id, { type: 'result', output: 'x'.repeat(1_000), inputHash: 'wrong' })).rejects.toMatchObject({ code: 'action_mismatch' });
    expect(kept).toBe(0);
  });
});

describe('an agent with nobody to ask', () => {
  it('asks nobody what to do with a call that may have run either', () => {
    const wire = tool({ inputSchema: nothing, recovery: 'ask', execute: () => 'sent' });
    expect(agent({ name: 'alone', model: { specificationVersion: 'v4', doStream: () => undefined } as never, tools: { wire }, headless: { allow: [] } }).rules.tools.get('wire')?.recovery).toBe('report');
  });
});

describe.each(stores)('what cannot be claimed ($name)', (kind) => {
  it('keeps no other session waiting', async () => {
    const inner = await openStore(await kind.newUrl());
    const tester = agent({ name: 'tester', model: scriptedModel(['done', 'done']) });
    const sender = await openHoldfast({ agents: [tester], store: inner, worker: false });
    const broken = await sender.sessions.create({ agent: 'tester', message: { text: 'first' } });
    const sound = await sender.sessions.create({ agent: 'tester', message: { text: 'second' } });
    const store = wrappedStore(inner, {
      update: ((_inner: Store, request: UpdateRequest<unknown>) => (request.key.id === broken.id ? Promise.reject(new InvariantError('a fault of ours')) : inner.update(request))) as never,
    });
    await openHoldfast({ agents: [tester], store, worker: { pollMs: 20 } });
    await eventually('the other one', async () => (await sound.get()).status === 'idle');
    expect((await broken.get()).status).toBe('ready');
  });

  it('keeps no other operation waiting', async () => {
    let broken: string | null = null;
    const store = await storeWith(kind, {
      updateOperation: ((inner: Store, request: OperationUpdateRequest<unknown>) => {
        broken ??= request.key.id;
        return request.key.id === broken ? Promise.reject(new InvariantError('a fault of ours')) : inner.updateOperation(request);
      }) as never,
    });
    const index = tool({ inputSchema: nothing, background: 'detach', execute: () => 'indexed' });
    const { session } = await runTurn({ store, tools: { index }, script: [calling(['index'], ['index']), 'started', 'done'], worker: { pollMs: 20 } });
    await eventually('the other one', async () => (await session.operations()).items.some(({ status }) => status === 'succeeded'));
    expect((await session.operations()).items.filter(({ status }) => status === 'queued').map(({ id }) => id)).toEqual([broken]);
  });
});
