import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { ToolOptions } from '../../src/agent/tool.ts';
import type { OperationView } from '../../src/core/operation.ts';
import { agent, tool } from '../../src/index.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { calling, ofKind, runTurn, startTurn, toolOutputs } from '../support/run-turn.ts';
import { sqliteFiles, stores } from '../support/stores.ts';

const count = z.object({ count: z.number() });

describe.each(stores)('an awaited operation ($name)', (kind) => {
  it('parks the turn without a claim or a run, and its result is the call\'s', async () => {
    const work = gate();
    const index = tool({ inputSchema: count, background: 'await', execute: async (input, { progress }) => { progress(0.5, 'half'); await work.pass(); return { indexed: input.count }; } });
    const { session, turn, model, holdfast } = await startTurn({ store: await kind.newUrl(), tools: { index }, script: [calling(['index', { count: 3 }]), 'done'] });
    await work.reached;
    await eventually('the progress', async () => (await session.operations()).items[0]?.progress?.fraction === 0.5);
    expect(await holdfast.store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ claim: null });
    expect((await session.get()).status).toBe('waiting');
    await eventually('the run to end', () => holdfast.worker?.runs === 0);
    work.open();
    expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete', text: 'done' });
    expect(toolOutputs(model, 1)).toEqual([{ type: 'json', value: { indexed: 3 } }]);
    expect((await session.operations()).items).toMatchObject([{ status: 'succeeded', attempts: 1 }]);
  });

  it('goes on when its session is given to another owner: its progress is kept, and its tool runs once', async () => {
    const work = gate();
    let runs = 0;
    const index = tool({
      inputSchema: count, background: 'await',
      execute: async (input, { progress }) => {
        runs += 1;
        await work.pass();
        progress(0.5, 'half');
        return { indexed: input.count };
      },
    });
    const { session, turn } = await startTurn({ store: await kind.newUrl(), tools: { index }, script: [calling(['index', { count: 3 }]), 'done'] });
    await work.reached;
    await session.transfer('bob');
    work.open();
    expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete', text: 'done' });
    expect((await session.operations()).items).toMatchObject([{ status: 'succeeded', attempts: 1, progress: { fraction: 0.5 } }]);
    expect(runs).toBe(1);
  });

  it('that throws is a failed call, which the model is told', async () => {
    const index = tool({ inputSchema: count, background: 'await', execute: () => { throw new Error('disk full'); } });
    const { result, entries, model } = await runTurn({ store: await kind.newUrl(), tools: { index }, script: [calling(['index', { count: 3 }]), 'sorry'] });
    expect(result.reason).toBe('complete');
    expect(ofKind(entries, 'tool-results')[0]?.results[0]).toMatchObject({ outcome: 'failed', code: 'tool_error', errorText: 'disk full' });
    expect(toolOutputs(model, 1)).toEqual([{ type: 'error-text', value: 'disk full' }]);
  });

  it('ends with the turn\'s stop: its signal is aborted and its call is stopped', async () => {
    const reached = gate();
    let aborted = false;
    const index = tool({
      inputSchema: count, background: 'await',
      execute: async (_input, { abortSignal }) => {
        const ended = new Promise<void>((resolve) => abortSignal.addEventListener('abort', () => { aborted = true; resolve(); }));
        reached.open();
        await ended;
      },
    });
    const { session, turn, holdfast } = await startTurn({ store: await kind.newUrl(), tools: { index }, script: [calling(['index', { count: 3 }]), 'done'] });
    await reached.pass();
    await session.stop();
    expect(await turn.result).toMatchObject({ reason: 'stopped' });
    await eventually('the abort', () => aborted);
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results[0]).toMatchObject({ outcome: 'stopped', mayHaveRun: true });
    expect((await session.operations()).items).toMatchObject([{ status: 'cancelled' }]);
    expect(holdfast.worker?.ready).toBe(true);
  });

  it('goes on after a stop that keeps operations, and its result is kept', async () => {
    const work = gate();
    const index = tool({ inputSchema: count, background: 'await', execute: async () => { await work.pass(); return 'indexed'; } });
    const { session, turn } = await startTurn({ store: await kind.newUrl(), tools: { index }, script: [calling(['index', { count: 3 }]), 'never said'] });
    await work.reached;
    await session.stop({ keepOperations: true });
    expect((await turn.result).reason).toBe('stopped');
    work.open();
    await eventually('the end', async () => (await session.operations()).items[0]?.status === 'succeeded');
    expect(ofKind(await session.entries(), 'operation-ended')[0]).toMatchObject({ status: 'succeeded', result: { outcome: 'done', output: 'indexed' } });
    expect((await session.get()).status).toBe('idle');
  });

  it('runs with the input of its approval, only after it', async () => {
    const runs: number[] = [];
    const index = tool({ inputSchema: count, background: 'await', needsApproval: true, execute: (input) => { runs.push(input.count); return 'ok'; } });
    const { session, turn, result } = await runTurn({ store: await kind.newUrl(), tools: { index }, script: [calling(['index', { count: 3 }]), 'done'] });
    expect(result.status).toBe('requires_action');
    expect((await session.operations()).items).toEqual([]);
    await session.approve(result.actions[0]?.id ?? '', { input: { count: 2 } });
    await turn.result;
    expect(runs).toEqual([2]);
  });

  it('has the key of the input it was approved with, under which no other runs', async () => {
    const work = gate();
    const runs: string[] = [];
    const index = tool({
      inputSchema: z.object({ project: z.string() }), background: 'detach', needsApproval: ({ project }) => project !== 'b', operationKey: ({ project }) => project,
      execute: async ({ project }) => { runs.push(project); await work.pass(); return 'indexed'; },
    });
    const { session, turn, result } = await runTurn({ store: await kind.newUrl(), tools: { index }, script: [calling(['index', { project: 'b' }], ['index', { project: 'a' }]), 'done', 'done', 'done'] });
    await work.reached;
    await session.approve(result.actions[0]?.id ?? '', { input: { project: 'b' } });
    await turn.result;
    const [running] = (await session.operations()).items;
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results.map(({ output }) => output)).toMatchObject([{ operationId: running?.id, status: 'started' }, { operationId: running?.id, status: 'in_progress' }]);
    expect(runs).toEqual(['b']);
    work.open();
  });

  it('of a key that lives already is answered in_progress, with the one that runs', async () => {
    const work = gate();
    let runs = 0;
    const index = tool({ inputSchema: count, background: 'await', operationKey: (input) => String(input.count), execute: async () => { runs += 1; await work.pass(); return 'ok'; } });
    const model = scriptedModel([calling(['index', { count: 3 }]), calling(['index', { count: 3 }], ['index', { count: 4 }]), 'second', 'first']);
    const holdfast = await openHoldfast({ store: await kind.newUrl(), agents: [agent({ name: 'tester', model, tools: { index } })] });
    const first = await holdfast.sessions.create({ agent: 'tester' });
    const firstTurn = await first.send('go');
    await work.reached;
    const second = await holdfast.sessions.create({ agent: 'tester' });
    const secondTurn = await second.send('go');
    await eventually('the other key', () => runs === 2);
    const [running] = (await first.operations()).items;
    work.open();
    await Promise.all([firstTurn.result, secondTurn.result]);
    expect(ofKind(await second.entries(), 'tool-results')[0]?.results).toMatchObject([{ outcome: 'done', output: { operationId: running?.id, status: 'in_progress' } }, { outcome: 'done', output: 'ok' }]);
    expect(runs).toBe(2);
  });
});

describe.each(stores)('a detached operation ($name)', (kind) => {
  it('answers its call at once; its result opens a turn when none runs', async () => {
    const work = gate();
    const index = tool({ inputSchema: count, background: 'detach', execute: async (input) => { await work.pass(); return { indexed: input.count }; } });
    const { session, turn, model } = await startTurn({ store: await kind.newUrl(), tools: { index }, script: [calling(['index', { count: 3 }]), 'started it', 'it is ready'] });
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'started it' });
    expect(toolOutputs(model, 1)).toMatchObject([{ type: 'json', value: { status: 'started' } }]);
    await work.reached;
    work.open();
    await eventually('the new turn', () => model.calls.length === 3);
    await eventually('its end', async () => (await session.get()).status === 'idle');
    expect(ofKind(await session.entries(), 'turn-started')).toMatchObject([{ origin: 'operation' }]);
    expect(JSON.stringify(model.calls[2]?.prompt.at(-1))).toContain('{\\"indexed\\":3}');
  });

  it('brings its result into the running turn, before its next generation', async () => {
    const work = gate();
    const slow = gate();
    const index = tool({ inputSchema: count, background: 'detach', execute: async () => { await work.pass(); return 'indexed'; } });
    const wait = tool({ inputSchema: z.object({}), execute: async () => { await slow.pass(); return 'waited'; } });
    const { session, turn, model } = await startTurn({ store: await kind.newUrl(), tools: { index, wait }, script: [calling(['index', { count: 3 }]), calling(['wait']), 'both'] });
    await Promise.all([work.reached, slow.reached]);
    work.open();
    await eventually('its end', async () => (await session.operations()).items[0]?.status === 'succeeded');
    slow.open();
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'both' });
    expect(ofKind(await session.entries(), 'operation-result')).toHaveLength(1);
    expect(model.calls[2]?.prompt.at(-1)).toMatchObject({ role: 'user' });
    expect(ofKind(await session.entries(), 'turn-started')).toEqual([]);
  });

  it('can be cancelled: nobody is woken for it, and the model hears of it with the next turn', async () => {
    const work = gate();
    const index = tool({ inputSchema: count, background: 'detach', execute: async () => { await work.pass(); return 'indexed'; } });
    const { holdfast, session, turn, model } = await startTurn({ store: await kind.newUrl(), tools: { index }, script: [calling(['index', { count: 3 }]), 'started', 'I see'] });
    await turn.result;
    await work.reached;
    const [operation] = (await session.operations()).items;
    expect(await holdfast.operations.cancel(operation?.id ?? '')).toMatchObject({ status: 'cancelled' });
    expect(await holdfast.operations.cancel(operation?.id ?? '')).toMatchObject({ status: 'cancelled' });
    expect(model.calls).toHaveLength(2);
    await (await session.send('well?')).result;
    expect(JSON.stringify(model.calls[2]?.prompt)).toContain('stopped');
    expect(ofKind(await session.entries(), 'operation-result')).toHaveLength(1);
  });
});

describe.each(stores)('an operation that somebody outside completes ($name)', (kind) => {
  it('holds no worker until then, and ends once however often it is completed', async () => {
    let given: { operationId: string; url: string; token: string } | null = null;
    const print = tool({ inputSchema: count, background: 'await', execute: async (_input, { externalCompletion }: ToolOptions) => { given = await externalCompletion(); return 'sent to the printer'; } });
    const { holdfast, session, turn, model } = await startTurn({ store: await kind.newUrl(), tools: { print }, script: [calling(['print', { count: 3 }]), 'printed'] });
    const isDelegated = (operation: OperationView | undefined): boolean => operation?.external === true;
    await eventually('the delegation', async () => isDelegated((await session.operations()).items[0]));
    const { operationId, token } = given ?? { operationId: '', token: '' };
    await expect(holdfast.operations.complete(operationId, { token: 'wrong', output: 0 })).rejects.toMatchObject({ code: 'operation_not_found' });
    const completions = await Promise.all(Array.from({ length: 10 }, (_each, n) => holdfast.operations.complete(operationId, { token, output: { pages: n } })));
    expect(completions.every(({ status }) => status === 'succeeded')).toBe(true);
    expect((await turn.result).reason).toBe('complete');
    // Of those that came at once, the one that the store took first.
    expect(toolOutputs(model, 1)).toEqual([{ type: 'json', value: { pages: kind === sqliteFiles ? 0 : expect.any(Number) as number } }]);
    expect(ofKind(await session.entries(), 'operation-ended')).toHaveLength(1);
    expect(JSON.stringify(await session.entries())).not.toContain(token);
  });

  it('is asked for in a tool without background in vain', async () => {
    const print = tool({ inputSchema: count, execute: async (_input, { externalCompletion }: ToolOptions) => externalCompletion() });
    const { entries } = await runTurn({ store: await kind.newUrl(), tools: { print }, script: [calling(['print', { count: 3 }]), 'done'] });
    expect(ofKind(entries, 'tool-results')[0]?.results[0]).toMatchObject({ outcome: 'failed', errorText: expect.stringContaining('background') as string });
  });
});

describe.each(stores)('an operation whose process goes away in order ($name)', (kind) => {
  it('is given back and run again by the next one, if its tool may run again', async () => {
    const store = await kind.newUrl();
    const first = gate();
    let runs = 0;
    const index = tool({
      inputSchema: count, background: 'await', recovery: 'rerun',
      execute: async (_input, { abortSignal }) => {
        runs += 1;
        if (runs > 1) return 'indexed';
        const told = new Promise<never>((_resolve, reject) => abortSignal.addEventListener('abort', () => reject(new Error('told to end'))));
        await first.pass();
        return told;
      },
    });
    const tester = (script: readonly ScriptedGeneration[]) => agent({ name: 'tester', model: scriptedModel(script), tools: { index } });
    const holdfast = await openHoldfast({ store, agents: [tester([calling(['index', { count: 3 }])])], worker: { stopGraceMs: 20 } });
    const session = await holdfast.sessions.create({ agent: 'tester' });
    await session.send('go');
    await first.reached;
    first.open();
    await holdfast.close();
    const next = await openHoldfast({ store, agents: [tester(['done'])] });
    const again = await next.sessions.get(session.id);
    await eventually('the end', async () => (await again.get()).status === 'idle');
    expect((await again.operations()).items).toMatchObject([{ status: 'succeeded', attempts: 2 }]);
    expect(runs).toBe(2);
  });
});

describe.each(stores)('an operation whose process goes away before its tool was called ($name)', (kind) => {
  it('is run by the next one, though its tool may not run twice', async () => {
    const store = await kind.newUrl();
    const context = gate();
    let runs = 0;
    const index = tool({ inputSchema: count, background: 'await', execute: () => { runs += 1; return 'indexed'; } });
    let contexts = 0;
    const tester = (script: readonly ScriptedGeneration[], isStuck: boolean) => agent({
      name: 'tester', model: scriptedModel(script), tools: { index },
      // The context of the operation, after that of the call's own rules.
      context: async () => { contexts += 1; if (isStuck && contexts === 2) await context.pass(); },
    });
    const holdfast = await openHoldfast({ store, agents: [tester([calling(['index', { count: 3 }])], true)], worker: { stopGraceMs: 20 } });
    const session = await holdfast.sessions.create({ agent: 'tester' });
    await session.send('go');
    await context.reached;
    await holdfast.close();
    expect(runs).toBe(0);
    const next = await openHoldfast({ store, agents: [tester(['done'], false)] });
    const again = await next.sessions.get(session.id);
    await eventually('the end', async () => (await again.get()).status === 'idle');
    expect((await again.operations()).items).toMatchObject([{ status: 'succeeded', attempts: 1 }]);
    expect(runs).toBe(1);
  });
});
