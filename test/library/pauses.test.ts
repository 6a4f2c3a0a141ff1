import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import type { AgentTool } from '../../src/agent/tool.ts';
import { question, tool, type ToolOptions, type TurnHandle, type TurnPart } from '../../src/index.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { StoreError } from '../../src/store/store-error.ts';
import { realSystem } from '../../src/system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { calling } from '../support/run-turn.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

const refund = tool({ inputSchema: z.object({ amount: z.number() }), needsApproval: true, execute: ({ amount }) => ({ refunded: amount }) });

async function bench(script: readonly ScriptedGeneration[], tools: Readonly<Record<string, AgentTool>> = {}) {
  const store = `sqlite:${await temporaryDatabase()}`;
  const model = scriptedModel(script);
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model, tools: { refund, ...tools } })], store });
  return { holdfast, store, model, session: await holdfast.sessions.create({ agent: 'one' }) };
}

async function allParts(turn: TurnHandle): Promise<readonly TurnPart[]> {
  const parts: TurnPart[] = [];
  for await (const part of turn.stream) parts.push(part);
  return parts;
}

function spoken(parts: readonly TurnPart[]): string {
  return parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('');
}

describe('a turn that needs an action', () => {
  it('ends its stream with what it waits for; asked for again after the decision, both go on', async () => {
    const { session } = await bench([[{ text: 'Let me see' }, { call: 'refund', input: { amount: 5 } }], 'done']);
    const turn = await session.send('go');
    const parts = await allParts(turn);
    const asked = { id: 'act_3_0', type: 'approval', toolName: 'refund', callId: '3-0', input: { amount: 5 }, expiresAtMs: null, reason: null };
    expect(parts.map(({ type }) => type)).toEqual(['text', 'tool-input', 'tool-call', 'step', 'action']);
    expect(parts.at(-1)).toMatchObject({ type: 'action', actions: [asked] });
    const paused = await turn.result;
    expect(paused).toMatchObject({ status: 'requires_action', reason: null, text: 'Let me see', steps: 1, usage: { inputTokens: 10 }, actions: [asked], sessionId: session.id });
    expect(await session.actions()).toEqual(paused.actions);
    // Nothing was decided: it is so still.
    expect(await turn.result).toEqual(paused);
    expect((await session.get())).toMatchObject({ status: 'requires_action', actions: { count: 1 }, operations: { count: 0 } });

    await session.approve('act_3_0', { inputHash: paused.actions[0]?.inputHash ?? '' });
    const ended = turn.result;
    expect(await ended).toMatchObject({ status: 'ended', reason: 'complete', text: 'done', steps: 2, actions: [] });
    expect(turn.result).toBe(ended);
    const rest = await allParts(turn);
    expect(rest.map(({ type }) => type)).toEqual(['text', 'tool-input', 'tool-call', 'step', 'tool-result', 'text', 'step', 'end']);
    expect(await session.actions()).toEqual([]);
  });

  it('is heard of where another process works, and goes on when yet another one decides', async () => {
    const { session, store } = await bench([calling(['refund', { amount: 5 }]), 'done']);
    const elsewhere = await openHoldfast({ agents: [], store, worker: false });
    const { id } = await session.send('go');
    const turn = (await elsewhere.sessions.get(session.id)).turn({ turnId: id });
    expect((await turn.result).actions).toMatchObject([{ input: { amount: 5 } }]);
    const decider = await openHoldfast({ agents: [], store, worker: false });
    await (await decider.sessions.get(session.id)).deny('act_3_0', 'no');
    expect((await allParts(turn)).at(-1)).toMatchObject({ type: 'end', reason: 'complete' });
    expect(await turn.result).toMatchObject({ status: 'ended', text: 'done' });
  });

  it('goes on meanwhile with what needs nobody: it pauses only when all of that is done', async () => {
    const slow = gate();
    const wait = tool({ inputSchema: z.object({}), execute: async () => { await slow.pass(); return 'waited'; } });
    const { session } = await bench([calling(['wait'], ['refund', { amount: 5 }]), 'done'], { wait });
    const turn = await session.send('go');
    let result: string | null = null;
    const paused = turn.result.then(({ status }) => { result = status; });
    const parts: TurnPart[] = [];
    const streamed = (async () => { for await (const part of turn.stream) parts.push(part); })();
    await slow.reached;
    await eventually('the action to be told', () => parts.some(({ type }) => type === 'action'));
    expect(await session.get()).toMatchObject({ status: 'running', actions: { count: 1 } });
    expect(result).toBeNull();
    slow.open();
    await Promise.all([paused, streamed]);
    expect(result).toBe('requires_action');
    expect(parts.filter(({ type }) => type === 'end')).toEqual([]);
  });

  it('hears of each decision: the action part names all that is still open', async () => {
    const slow = gate();
    const wait = tool({ inputSchema: z.object({}), execute: async () => { await slow.pass(); return 'waited'; } });
    const { session } = await bench([calling(['wait'], ['refund', { amount: 5 }], ['ask', { question: 'Which?' }]), 'done'], { wait, ask: question() });
    const turn = await session.send('go');
    const seen: (readonly string[])[] = [];
    for await (const part of turn.stream) {
      if (part.type !== 'action') continue;
      seen.push(part.actions.map(({ id }) => id));
      if (part.actions.length === 2) await session.respond('act_3_2', { type: 'answer', value: 'left' });
      else if (part.actions.length === 1) await session.deny('act_3_1');
      else slow.open();
    }
    expect(seen).toEqual([['act_3_1', 'act_3_2'], ['act_3_1'], []]);
    expect(await turn.result).toMatchObject({ status: 'ended', text: 'done' });
  });

  it('can be asked for again after the store failed', async () => {
    const path = await temporaryDatabase();
    const agents = [agent({ name: 'one', model: scriptedModel(['done']), tools: {} })];
    const working = await openHoldfast({ agents, store: `sqlite:${path}` });
    const sent = await working.sessions.create({ agent: 'one' });
    const { id: turnId } = await sent.send('go');
    let down = false;
    const store = wrappedStore(await sqliteStore({ path, system: realSystem() }), {
      readSession: async (inner, key) => (down ? Promise.reject(new StoreError('store_unavailable', 'no disk')) : inner.readSession(key)),
    });
    const holdfast = await openHoldfast({ agents, store, worker: false });
    const turn = (await holdfast.sessions.get(sent.id)).turn({ turnId });
    down = true;
    await expect(turn.result).rejects.toMatchObject({ code: 'store_unavailable' });
    down = false;
    expect(await turn.result).toMatchObject({ status: 'ended', text: 'done' });
  });

  it('takes its decisions once: the same again is harmless, another is refused, and all or none where there are several', async () => {
    const { session } = await bench([calling(['refund', { amount: 1 }], ['refund', { amount: 2 }]), 'done']);
    const turn = await session.send('go');
    await turn.result;
    await expect(session.respondAll([{ actionId: 'act_3_0', type: 'approve' }, { actionId: 'act_9_9', type: 'approve' }])).rejects.toMatchObject({ code: 'action_not_found' });
    expect(await session.actions()).toHaveLength(2);
    await expect(session.approve('act_3_0', { inputHash: 'another' })).rejects.toMatchObject({ code: 'action_mismatch' });
    expect(await session.respondAll([{ actionId: 'act_3_1', type: 'deny', reason: 'no' }, { actionId: 'act_3_0', type: 'approve', input: { amount: 3 } }])).toMatchObject({ actions: [{ actionId: 'act_3_1', resolution: 'denied' }, { actionId: 'act_3_0', resolution: 'approved' }] });
    await turn.result;
    expect(await session.deny('act_3_1', 'no')).toMatchObject({ actions: [{ resolution: 'denied' }] });
    await expect(session.approve('act_3_1')).rejects.toMatchObject({ code: 'action_decided' });
    const [, answer] = (await session.messages()).items;
    expect(answer?.parts.slice(1, 3)).toMatchObject([{ state: 'output-available', approvedInput: { amount: 3 }, output: { refunded: 3 } }, { state: 'output-denied', approval: { reason: 'no' } }]);
  });
});

describe('a turn that waits for an operation', () => {
  it('keeps its stream open, and says how far the operation is', async () => {
    const work = gate();
    const index = tool({ inputSchema: z.object({}), background: 'await', execute: async (_input, { progress }: ToolOptions) => { progress(0.5, 'half'); await work.pass(); return 'indexed'; } });
    const { session, holdfast } = await bench([calling(['index']), 'done'], { index });
    const turn = await session.send('go');
    const seen: TurnPart[] = [];
    for await (const part of turn.stream) {
      seen.push(part);
      if (part.type === 'operation' && part.operations[0]?.progress?.fraction === 0.5) {
        expect(await session.get()).toMatchObject({ status: 'waiting', operations: { count: 1 } });
        expect(await holdfast.operations.get(part.operations[0].id)).toMatchObject({ status: 'running', progress: { text: 'half' } });
        work.open();
      }
    }
    expect(seen.findLast(({ type }) => type === 'operation')).toEqual({ type: 'operation', operations: [] });
    expect(seen.at(-1)).toMatchObject({ type: 'end', reason: 'complete' });
    expect(await turn.result).toMatchObject({ status: 'ended', text: 'done' });
    expect((await session.messages()).items[1]?.parts[1]).toMatchObject({ output: 'indexed', operation: { status: 'succeeded' } });
  });

  it('is read as waiting, and names no operation of another turn', async () => {
    const work = gate();
    const later = gate();
    const index = tool({ inputSchema: z.object({ mode: z.enum(['await', 'detach']) }), background: ({ mode }) => mode, execute: async ({ mode }) => (mode === 'detach' ? later : work).pass() });
    const { session } = await bench([calling(['index', { mode: 'detach' }]), 'started', calling(['index', { mode: 'await' }]), 'done', 'all done'], { index });
    const first = await session.send('one');
    await first.result;
    const second = await session.send('two');
    const seen: TurnPart[] = [];
    for await (const part of second.stream) {
      seen.push(part);
      if (part.type === 'operation' && part.operations[0]?.status === 'running') work.open();
    }
    for (const part of seen) if (part.type === 'operation') expect(part.operations.length).toBeLessThanOrEqual(1);
    const { items } = await session.operations();
    expect(items.map(({ mode, turnId }) => [mode, turnId])).toEqual([['await', second.id], ['detach', first.id]]);
    later.open();
  });

  it('has its whole result for download, that of a detached one once it has ended', async () => {
    const work = gate();
    const index = tool({ inputSchema: z.object({}), background: 'detach', execute: async () => { await work.pass(); return { pages: [1, 2, 3] }; } });
    const big = tool({ inputSchema: z.object({}), maxResultBytes: 200, execute: () => 'x'.repeat(5_000) });
    const { session } = await bench([calling(['index'], ['big']), 'started', 'done'], { index, big });
    await (await session.send('go')).result;
    const [, answer] = (await session.messages()).items;
    const [first, second] = answer?.parts.slice(1) ?? [];
    expect(second).toMatchObject({ callId: '3-1', wholeBytes: 5_000 });
    expect(await session.callResult('3-1')).toBe('x'.repeat(5_000));
    expect(first).toMatchObject({ callId: '3-0', operation: { status: 'started' } });
    work.open();
    await eventually('the operation to end', async () => (await session.operations()).items[0]?.status === 'succeeded');
    expect(await session.callResult('3-0')).toEqual({ pages: [1, 2, 3] });
    for (const callId of ['3-2', '99-0', 'x', '']) await expect(session.callResult(callId)).rejects.toMatchObject({ code: 'call_not_found' });
  });

  it('may be completed by anybody who has the token, and cancelled by its owner; both are harmless again', async () => {
    let token = '';
    const print = tool({ inputSchema: z.object({}), background: 'await', execute: async (_input, options: ToolOptions) => { ({ token } = await options.externalCompletion()); } });
    const { holdfast, session } = await bench([calling(['print']), calling(['print']), 'done'], { print });
    const turn = await session.send('go');
    const live = async () => (await session.operations()).items.find(({ external }) => external);
    const first = await eventually('the first', live);
    await expect(holdfast.operations.complete(first.id, { token: 'wrong', output: 1 })).rejects.toMatchObject({ code: 'operation_not_found' });
    expect(await holdfast.operations.complete(first.id, { token, output: { pages: 2 } })).toEqual({ operationId: first.id, status: 'succeeded' });
    expect(await holdfast.operations.complete(first.id, { token, errorText: 'too late' })).toEqual({ operationId: first.id, status: 'succeeded' });
    const second = await eventually('the second', live);
    for (let times = 0; times < 2; times += 1) expect(await holdfast.operations.cancel(second.id)).toEqual({ operationId: second.id, status: 'cancelled' });
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'done' });
    await expect(holdfast.operations.get('op_none')).rejects.toMatchObject({ code: 'operation_not_found' });
  });
});

describe('a message that steers', () => {
  async function running() {
    const held = gate();
    const wait = tool({ inputSchema: z.object({}), execute: async () => { await held.pass(); return 'waited'; } });
    const made = await bench([[{ text: 'first ' }, { call: 'wait' }], 'second', 'third', 'fourth'], { wait });
    const turn = await made.session.send('go');
    await held.reached;
    return { ...made, held, turn };
  }

  it('is in the turn that it joined: its handle says what came from there on, and how that turn ended', async () => {
    const { held, turn, session } = await running();
    const steered = await session.steer('and quickly');
    expect(steered).toMatchObject({ queued: true, steers: { turnId: turn.id } });
    expect((await session.queue.list()).items).toMatchObject([{ text: 'and quickly', steer: true, messageId: steered.messageId }]);
    const streamed = allParts(steered);
    held.open();
    expect(spoken(await streamed)).toBe('second');
    expect((await streamed).at(-1)).toMatchObject({ type: 'end', reason: 'complete' });
    expect(await steered.result).toEqual(await turn.result);
    expect(await steered.result).toMatchObject({ id: turn.id, steps: 2, text: 'second', messageId: turn.messageId });
    expect(spoken(await allParts(steered))).toBe('second');
    expect(spoken(await allParts(turn))).toBe('first second');
  });

  it('opens its own turn when it came too late for the other, and that is what its handle says', async () => {
    const { held, turn, session } = await running();
    const steered = await session.steer('and quickly');
    await session.stop();
    held.open();
    expect(await turn.result).toMatchObject({ reason: 'stopped' });
    expect(await steered.result).toMatchObject({ id: steered.id, status: 'ended', text: 'second', steps: 1 });
    expect(spoken(await allParts(steered))).toBe('second');
  });

  it('is not found any more when it was taken from the queue', async () => {
    const { held, session } = await running();
    const steered = await session.steer('and quickly');
    const [result, streamed] = [steered.result, allParts(steered)].map(async (wait) => wait.then(() => 'ended', (error: unknown) => (error as { code?: string }).code));
    await session.queue.delete(steered.messageId ?? '');
    expect(await streamed).toBe('turn_not_found');
    held.open();
    expect(await result).toBe('turn_not_found');
  });

  it('waits with the turn that needs an action, and joins it after the decision', async () => {
    const { session } = await bench([calling(['refund', { amount: 5 }]), 'done']);
    const turn = await session.send('go');
    await turn.result;
    const steered = await session.steer({ text: 'and quickly' });
    expect(await steered.result).toMatchObject({ id: turn.id, status: 'requires_action', actions: [{ input: { amount: 5 } }] });
    // The step that asks was made before the message was sent.
    expect(await allParts(steered)).toMatchObject([{ type: 'action', actions: [{ id: 'act_3_0', input: { amount: 5 } }] }]);
    await session.approve('act_3_0');
    expect(await steered.result).toMatchObject({ id: turn.id, status: 'ended', text: 'done' });
  });

  it('opens a turn at once in a session at rest', async () => {
    const { session } = await bench(['hello']);
    const steered = await session.steer('go');
    expect(steered).toMatchObject({ queued: false, steers: undefined });
    expect((await steered.result).text).toBe('hello');
  });

  it('is read, changed, moved and held with the queue', async () => {
    const { held, session, turn } = await running();
    const [second, third] = [await session.send({ text: 'two', metadata: { from: 'here' } }), await session.send('three')];
    await session.queue.edit(third.messageId ?? '', { text: 'three!' });
    await session.queue.promote(third.messageId ?? '');
    await session.queue.hold();
    expect(await session.queue.list()).toMatchObject({ held: true, items: [{ messageId: third.messageId, turnId: third.id, text: 'three!' }, { text: 'two', metadata: { from: 'here' } }] });
    await session.queue.delete(second.messageId ?? '');
    held.open();
    await turn.result;
    await session.queue.release();
    expect((await third.result).text).toBe('third');
    expect(await session.queue.list()).toEqual({ held: false, items: [] });
  });
});
