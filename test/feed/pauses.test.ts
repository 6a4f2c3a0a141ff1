import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { feedStart, feedStateBefore } from '../../src/core/feed-event.ts';
import { SharedTail } from '../../src/feed/shared-tail.ts';
import { question, tool, type ToolOptions } from '../../src/index.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { checkEveryPosition, knowledge, record, whatFollows, type Recording } from '../support/feed-recording.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { calling } from '../support/run-turn.ts';

const refund = tool({ inputSchema: z.object({ amount: z.number() }), needsApproval: true, execute: ({ amount }) => ({ refunded: amount }) });

/** A worker and a reader on one file, so that everything crosses processes as it does in life. */
async function bench(script: readonly ScriptedGeneration[], tools = {}) {
  const system = fakeSystem({ seed: 11 });
  const path = await temporaryDatabase();
  const agents = [agent({ name: 'one', model: scriptedModel(script), tools: { refund, ...tools } })];
  const worker = await openHoldfast({ agents, store: `sqlite:${path}`, system, worker: { chunkIntervalMs: 20 } });
  const reader = await openHoldfast({ agents, store: `sqlite:${path}`, system, worker: false });
  const { id } = await worker.sessions.create({ agent: 'one' });
  return { system, path, sender: await worker.sessions.get(id), session: await reader.sessions.get(id) };
}

describe('a follower', () => {
  it('that resumes after an approval was decided hears that there is none', async () => {
    const { system, sender, session } = await bench([calling(['refund', { amount: 5 }]), 'done']);
    const whole = record(session);
    await sender.send('go');
    await system.runUntil(async () => (await session.get()).status === 'requires_action');
    await system.advance(60);
    const asked = whole.events.find(({ type }) => type === 'action');
    expect(asked).toMatchObject({ actions: [{ type: 'approval', toolName: 'refund' }] });
    expect(whole.events.at(-1)).toMatchObject({ type: 'status', status: 'requires_action' });
    // Who comes now hears of it too, from wherever it follows.
    for (const after of ['0', 'now', asked?.position ?? '']) expect(knowledge(await whatFollows(session, after)).actions).toMatchObject([{ id: 'act_3_0' }]);
    await sender.approve('act_3_0');
    await system.runUntil(async () => (await session.get()).status === 'idle');
    await system.advance(60);
    const rest = await whatFollows(session, asked?.position ?? '');
    expect(rest.find(({ type }) => type === 'action')).toMatchObject({ actions: [] });
    expect(knowledge(rest).actions).toEqual([]);
    expect(knowledge(whole.events).actions).toEqual([]);
    // From the beginning there is nothing to take back.
    expect((await whatFollows(session, '0')).filter(({ type }) => type === 'action' || type === 'operation')).toEqual([]);
  });

  it('is told of actions and operations alike, however its stream was cut and resumed (G5)', async () => {
    const [begun, half] = [gate(), gate()];
    const index = tool({
      inputSchema: z.object({ mode: z.enum(['await', 'detach']) }), background: ({ mode }) => mode,
      execute: async ({ mode }, { progress }: ToolOptions) => {
        if (mode === 'detach') return half.pass();
        progress(0.25, 'a quarter');
        await begun.pass();
        progress(0.75, 'three quarters');
        await half.pass();
        return 'indexed';
      },
    });
    const { system, path, sender, session } = await bench([
      [{ text: 'Let me see. ' }, { call: 'refund', input: { amount: 5 } }, { call: 'ask', input: { question: 'Which?' } }, { call: 'index', input: { mode: 'await' } }, { call: 'index', input: { mode: 'detach' } }], 'All done.', 'And that too.',
    ], { index, ask: question() });
    const whole = record(session);
    const live: { readonly from: number; readonly recording: Recording }[] = [];
    let taken = 0;
    const check = async (): Promise<void> => {
      await system.advance(300);
      const received = whole.events.slice();
      await checkEveryPosition(session, received);
      for (const [offset, event] of received.slice(taken).entries()) live.push({ from: taken + offset, recording: record(session, event.position) });
      taken = received.length;
    };
    await sender.send('go');
    await system.runUntil(() => whole.events.some((event) => event.type === 'operation' && event.operations.some(({ progress }) => progress?.fraction === 0.25)));
    await check();
    expect(knowledge(whole.events)).toMatchObject({ status: 'requires_action', actions: [{ type: 'approval' }, { type: 'question' }], operations: [{ progress: { text: 'a quarter' } }, { status: 'running' }] });
    await sender.respond('act_3_1', { type: 'answer', value: 'the left one' });
    begun.open();
    await check();
    expect(knowledge(whole.events)).toMatchObject({ actions: [{ type: 'approval' }], operations: [{ progress: { text: 'three quarters' } }, {}] });
    await sender.send({ text: 'quickly', whenBusy: 'steer' });
    await check();
    await sender.approve('act_3_0');
    await check();
    expect(knowledge(whole.events)).toMatchObject({ status: 'waiting', actions: [] });
    half.open();
    await system.runUntil(async () => { const { status, operations } = await session.get(); return status === 'idle' && operations.count === 0; });
    await check();
    await system.advance(60);
    const known = knowledge(whole.events);
    expect(known).toMatchObject({ entries: await session.entries(), live: null, status: 'idle', actions: [], operations: [] });
    for (const { from, recording } of live) expect(knowledge(whole.events.slice(0, from + 1), recording.events), `live from event ${from}`).toEqual(known);
    const restarted = await openHoldfast({ agents: [], store: `sqlite:${path}`, system, worker: false });
    console.log(`${await checkEveryPosition(await restarted.sessions.get(session.id), whole.events)} positions, ${live.length} followed on live`);
  });

  it.each(['actions', 'operations'] as const)('joins the others only where they have been told the same %s', async (what) => {
    const system = fakeSystem();
    const { signal } = new AbortController();
    const place = { cursor: feedStart, state: feedStateBefore(feedStart), attemptId: null, ordinal: -1 };
    // A reader that finds nothing new.
    const tail = new SharedTail((from) => Promise.resolve({ place: from, events: [], complete: true }), system.clock, 1_000);
    const first = tail.join(place, signal);
    expect(first).not.toBeNull();
    await system.settle();
    expect(tail.join({ ...place, state: { ...place.state, [what]: '[{}]' } }, signal)).toBeNull();
    const second = tail.join({ ...place, state: { ...place.state } }, signal);
    expect(second).not.toBeNull();
    for (const joined of [first, second]) joined?.leave();
  });
});
