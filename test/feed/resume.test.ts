import type { LanguageModelV4StreamPart } from '@ai-sdk/provider';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import type { FeedEvent } from '../../src/core/feed-event.ts';
import { tool } from '../../src/index.ts';
import { listen } from '../../src/server/listen.ts';
import { realSystem } from '../../src/system.ts';
import { fakeSystem, type FakeSystem } from '../../src/testing/fake-system.ts';
import { gate, type Gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedItem } from '../../src/testing/scripted-model.ts';
import { openEvents } from '../support/event-stream.ts';
import { checkEveryPosition, knowledge, record, type Recording } from '../support/feed-recording.ts';
import { closeHoldfast, openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';

const overloaded = Object.assign(new Error('overloaded'), { code: 'overloaded_error' });
const [highHalf, lowHalf] = ['\u{1F9ED}'.slice(0, 1), '\u{1F9ED}'.slice(1)] as const;

const look = tool({ recovery: 'rerun', inputSchema: z.object({ city: z.string() }), execute: ({ city }) => ({ sky: `clear over ${city}` }) });

interface SeenGate extends Gate {
  /** Somebody has come to it. */
  seen: boolean;
}

/** Two generations of which the first is tried twice, with a gate at each place where the stream may be cut. */
function script(gates: SeenGate[]): readonly (readonly ScriptedItem[])[] {
  const pause = (): ScriptedItem => {
    const place = { ...gate(), seen: false };
    void place.reached.then(() => { place.seen = true; });
    gates.push(place);
    return { gate: place };
  };
  const part = (value: LanguageModelV4StreamPart): ScriptedItem => ({ part: value });
  const paused = (...parts: readonly LanguageModelV4StreamPart[]): ScriptedItem[] => parts.flatMap((value) => [part(value), pause()]);
  const reasoning = (...deltas: readonly string[]): ScriptedItem[] => [
    part({ type: 'reasoning-start', id: 'r' }), ...paused(...deltas.map((delta) => ({ type: 'reasoning-delta' as const, id: 'r', delta }))), part({ type: 'reasoning-end', id: 'r' }),
  ];
  const input = (id: string, ...deltas: readonly string[]): ScriptedItem[] => [
    part({ type: 'tool-input-start', id, toolName: 'look' }), ...paused(...deltas.map((delta) => ({ type: 'tool-input-delta' as const, id, delta }))), part({ type: 'tool-input-end', id }),
  ];
  const text = (...deltas: readonly string[]): ScriptedItem[] => [
    part({ type: 'text-start', id: 't' }), ...paused(...deltas.map((delta) => ({ type: 'text-delta' as const, id: 't', delta }))), part({ type: 'text-end', id: 't' }),
  ];
  return [
    [...reasoning('Wel', 'l \u{1F914}'), ...text('I shall '), ...input('c0', '{"ci', 'ty":'), { error: overloaded }],
    [...reasoning('Again ', highHalf, `${lowHalf} ok`), ...text('Let \u{1F40B}', ' see'), ...input('c1', '{"city": "Os', 'lo \u{1F30A}"}'), part({ type: 'tool-call', toolCallId: 'c1', toolName: 'look', input: '{"city": "Oslo \u{1F30A}"}' }), pause(), { finish: 'tool-calls' }],
    [...text('Sunny ', '\u{2600}\u{FE0F} in ', 'Oslo'), { finish: 'stop' }],
    [...text('And ', 'again \u{1F44B}'), { finish: 'stop' }],
  ];
}

/** Both instances hear of what the other one did. */
async function everybodyKnows(system: FakeSystem): Promise<void> {
  await system.advance(60);
}

describe('a stream that is cut and resumed (G5)', () => {
  it('gives what the uninterrupted one gives, from every position ever received: while live, after the commit, across a restart', async () => {
    const system = fakeSystem({ seed: 7 });
    const path = await temporaryDatabase();
    const gates: SeenGate[] = [];
    const model = scriptedModel(script(gates));
    const agents = [agent({ name: 'one', model, tools: { look } })];
    const worker = await openHoldfast({ agents, store: `sqlite:${path}`, system, worker: { chunkIntervalMs: 20 } });
    const reader = await openHoldfast({ agents, store: `sqlite:${path}`, system, worker: false });
    const { id } = await worker.sessions.create({ agent: 'one' });
    const session = await reader.sessions.get(id);
    const whole = record(session);
    const sender = await worker.sessions.get(id);
    await sender.send({ text: 'weather', messageId: 'm1' });
    await sender.send({ text: 'and now?', messageId: 'm2' });

    const live: { readonly from: number; readonly recording: Recording }[] = [];
    let taken = 0;
    let checked = 0;
    for (const place of gates) {
      await system.runUntil(() => place.seen, 120_000);
      await everybodyKnows(system);
      const received = whole.events.slice();
      checked += await checkEveryPosition(session, received);
      // One goes on from each new position and stays with the stream from there on.
      for (const [offset, event] of received.slice(taken).entries()) live.push({ from: taken + offset, recording: record(session, event.position) });
      taken = received.length;
      place.open();
    }
    await system.runUntil(async () => (await session.get()).status === 'idle', 120_000);
    await everybodyKnows(system);
    checked += await checkEveryPosition(session, whole.events);
    console.log(`${checked} resumes, ${live.length} of ${whole.events.length} events followed on live`);

    const entries = await session.entries();
    const known = knowledge(whole.events);
    expect(known).toEqual({ entries, live: null, status: 'idle', turnId: null, queue: { held: false, messages: [] }, actions: [], operations: [] });
    for (const { from, recording } of live) expect(knowledge(whole.events.slice(0, from + 1), recording.events), `live from event ${from}`).toEqual(known);
    expect(new Set(whole.events.map(({ type }) => type))).toEqual(new Set(['entry', 'chunk', 'chunk-retracted', 'status', 'queue', 'retry']));
    expect(whole.events.filter(({ position }) => position.includes('.')).length).toBeGreaterThan(10);

    for (const recording of [whole, ...live.map((each) => each.recording)]) await recording.stop();
    for (const holdfast of [reader, worker]) await closeHoldfast(holdfast, system);
    const restarted = await openHoldfast({ agents, store: `sqlite:${path}`, system, worker: false });
    await checkEveryPosition(await restarted.sessions.get(id), whole.events);
  });

  it('does so over HTTP, with Last-Event-ID, too: in mid-stream and afterwards', async () => {
    const midStream = gate();
    const call = { call: 'look', inputText: ['{"city": "Os', 'lo \u{1F30A}"}'] };
    const model = scriptedModel([
      [{ reasoning: ['Hm ', '\u{1F914}'] }, { text: 'I shall' }, { error: overloaded }],
      [{ reasoning: ['Again ', '\u{1F9ED}'] }, { text: ['Let \u{1F40B}', ' see'] }, call],
      [{ text: ['Sunny ', '\u{2600}\u{FE0F} in Oslo'] }, { gate: midStream }, { text: 'Bye' }],
    ]);
    const real = realSystem();
    const holdfast = await openHoldfast({
      agents: [agent({ name: 'one', model, tools: { look } })], worker: { chunkIntervalMs: 20 },
      // No jitter: the retry comes at once.
      system: { ...real, random: { next: () => 0 } },
    });
    const listener = await listen({ fetch: holdfast.fetch, port: 0, authenticated: false, graceMs: 100 });
    onTestFinished(() => listener.close());
    const session = await holdfast.sessions.create({ agent: 'one', message: { text: 'weather' } });
    const url = `${listener.url}/v1/sessions/${session.id}/events`;
    const whole = await openEvents(url);
    const received = (): readonly FeedEvent[] => whole.frames.flatMap(({ id, data }) => (id === undefined || data === undefined || data.type === 'deleted' ? [] : [{ ...data, position: id }]));

    const check = async (): Promise<void> => {
      const events = received();
      const known = knowledge(events);
      for (const position of new Set(events.map((event) => event.position))) {
        const resumed = await openEvents(url, { headers: { 'last-event-id': position } });
        await resumed.until(({ event }) => event === 'status');
        const upToState = resumed.frames.slice(0, resumed.frames.findIndex(({ event }) => event === 'status') + 1);
        const rest = upToState.flatMap(({ id, data }) => (id === undefined || data === undefined || data.type === 'deleted' ? [] : [{ ...data, position: id }]));
        const place = events.findLastIndex((event) => event.position === position);
        expect(knowledge(events.slice(0, place + 1), rest), `resumed after ${position}`).toEqual(known);
        resumed.leave();
        await resumed.ended;
      }
    };
    await whole.until(({ data }) => data?.type === 'chunk' && data.segments.some(({ text }) => text.includes('in Oslo')));
    await check();
    midStream.open();
    await whole.until(({ data }) => data?.type === 'entry' && data.entry.kind === 'turn-ended');
    await whole.until(({ data }) => data?.type === 'status' && data.status === 'idle');
    await check();
    expect(knowledge(received()).entries).toEqual(await session.entries());
  });
});
