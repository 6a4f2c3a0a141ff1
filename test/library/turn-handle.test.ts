import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { tool } from '../../src/index.ts';
import type { TurnHandle } from '../../src/library/turn-handle.ts';
import type { TurnPart } from '../../src/library/turn-parts.ts';
import { TurnWaiters } from '../../src/library/turn-waiters.ts';
import { realSystem } from '../../src/system.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { closeHoldfast, openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';

const overloaded = { error: Object.assign(new Error('overloaded'), { code: 'overloaded_error' }) };

async function bench(script: readonly ScriptedGeneration[], options: { readonly system?: ReturnType<typeof fakeSystem>; readonly store?: string } = {}) {
  const look = tool({ recovery: 'rerun', inputSchema: z.object({ city: z.string() }), execute: ({ city }) => `clear over ${city}` });
  const { store = `sqlite:${await temporaryDatabase()}`, system } = options;
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel(script), tools: { look } })], store, ...(system === undefined ? {} : { system }) });
  return { holdfast, store, session: await holdfast.sessions.create({ agent: 'one' }) };
}

async function allParts(turn: TurnHandle): Promise<readonly TurnPart[]> {
  const parts: TurnPart[] = [];
  for await (const part of turn.stream) parts.push(part);
  return parts;
}

/** What the parts say, retractions counted: the text of each step. */
function textsOf(parts: readonly TurnPart[]): readonly string[] {
  const steps: string[] = [];
  let text = '';
  for (const part of parts) {
    if (part.type === 'text') text += part.text;
    if (part.type === 'retracted') text = '';
    if (part.type === 'step') {
      steps.push(text);
      text = '';
    }
  }
  return steps;
}

describe("a turn's result", () => {
  it('asked for again, says without waiting for the next look that the turn still needs an action', async () => {
    // Time stands still: nobody looks now and then.
    const system = fakeSystem();
    const pay = tool({ needsApproval: true, inputSchema: z.object({}), execute: () => 'paid' });
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([[{ call: 'pay', input: {} }]]), tools: { pay } })], system });
    const session = await holdfast.sessions.create({ agent: 'one' });
    const turn = await session.send('go');
    const first = await turn.result;
    expect(first.status).toBe('requires_action');
    expect(await turn.result).toEqual(first);
    expect(await session.turn({ turnId: turn.id }).result).toEqual(first);
  });
});

describe("a turn's stream", () => {
  it('says everything as it comes, and ends with the turn', async () => {
    const held = gate();
    const { session } = await bench([[{ reasoning: 'hm' }, { text: ['Let ', 'me see'] }, { call: 'look', input: { city: 'Oslo' } }], [{ text: ['Sunny ', '\u{2600}\u{FE0F}'] }, { gate: held }, { text: ' indeed' }]]);
    const turn = await session.send('go');
    const parts: TurnPart[] = [];
    for await (const part of turn.stream) {
      parts.push(part);
      if (part.type === 'text' && part.text.includes('\u{2600}')) held.open();
    }
    expect(textsOf(parts)).toEqual(['Let me see', 'Sunny \u{2600}\u{FE0F} indeed']);
    expect(parts.filter(({ type }) => type === 'reasoning')).toEqual([{ type: 'reasoning', text: 'hm' }]);
    expect(parts.flatMap((part) => (part.type === 'tool-input' ? [part.text] : [])).join('')).toBe('{"city":"Oslo"}');
    const [call] = parts.filter((part) => part.type === 'tool-call');
    expect(call).toMatchObject({ toolName: 'look', input: { city: 'Oslo' } });
    expect(parts).toContainEqual({ type: 'tool-result', callId: '3-0', result: expect.objectContaining({ outcome: 'done', output: 'clear over Oslo', toolCallId: call?.toolCallId }) as object });
    expect(parts.at(-1)).toEqual({ type: 'end', reason: 'complete', error: null });
    expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete', text: 'Sunny \u{2600}\u{FE0F} indeed', steps: 2, sessionId: session.id, usage: { inputTokens: 20, outputTokens: 10 } });
  });

  it('says the same when it is asked for after the end, again, by its id alone, and in another process', async () => {
    const { session, store } = await bench([[{ text: 'Let me see' }, { call: 'look', input: { city: 'Oslo' } }], 'Sunny', 'next']);
    const turn = await session.send('go');
    await turn.result;
    await (await session.send('again')).result;
    const parts = await allParts(turn);
    expect(textsOf(parts)).toEqual(['Let me see', 'Sunny']);
    expect(await allParts(turn)).toEqual(parts);
    expect(await allParts(session.turn({ turnId: turn.id }))).toEqual(parts);
    const elsewhere = await openHoldfast({ agents: [], store, worker: false });
    const seen = (await elsewhere.sessions.get(session.id)).turn({ turnId: turn.id });
    expect(await allParts(seen)).toEqual(parts);
    expect(await seen.result).toEqual(await turn.result);
  });

  it('takes back what a failed attempt said', async () => {
    const system = fakeSystem();
    const held = gate();
    const { session } = await bench([[{ text: 'wrong' }, { gate: held }, overloaded], 'right'], { system });
    const turn = await session.send('go');
    const parts: TurnPart[] = [];
    const reading = (async () => { for await (const part of turn.stream) parts.push(part); })();
    await system.settle();
    expect(parts).toEqual([{ type: 'text', text: 'wrong' }]);
    held.open();
    await system.advance(60_000);
    await reading;
    expect(parts.map(({ type }) => type)).toEqual(['text', 'retracted', 'retry', 'text', 'step', 'end']);
    expect(textsOf(parts)).toEqual(['right']);
  });

  it('of a queued turn begins with that turn: nothing of the one before is in it', async () => {
    const system = fakeSystem();
    const held = gate();
    const { session } = await bench([[{ text: 'first' }, { gate: held }, overloaded], 'first again', 'second'], { system });
    const first = await session.send('one');
    const second = await session.send('two');
    expect([first.queued, second.queued]).toEqual([false, true]);
    const reading = allParts(second);
    await system.settle();
    held.open();
    await system.advance(60_000);
    expect(await reading).toEqual([{ type: 'text', text: 'second' }, expect.objectContaining({ type: 'step' }), { type: 'end', reason: 'complete', error: null }]);
    expect((await second.result).text).toBe('second');
  });

  it('ends with the reason of a turn that was stopped, and of one that failed', async () => {
    const shown = gate();
    const bad = { error: Object.assign(new Error('bad key'), { code: 'authentication_error' }) };
    const { session } = await bench([[{ text: 'half an' }, { gate: shown }, { silent: true }], [bad]]);
    const stopped = await session.send('one');
    const parts: TurnPart[] = [];
    for await (const part of stopped.stream) {
      parts.push(part);
      if (part.type === 'text') await session.stop();
    }
    expect(parts.map(({ type }) => type)).toEqual(['text', 'step', 'end']);
    expect(parts.at(-1)).toEqual({ type: 'end', reason: 'stopped', error: null });
    expect(await stopped.result).toMatchObject({ status: 'ended', reason: 'stopped', text: 'half an', error: null });
    const failed = await session.send('two');
    expect((await allParts(failed)).at(-1)).toMatchObject({ type: 'end', reason: 'failed', error: { code: 'authentication' } });
    expect(await failed.result).toMatchObject({ status: 'ended', reason: 'failed', error: { code: 'authentication' }, text: '' });
  });

  it('may be left at any time: nobody follows any more, and the turn goes on', async () => {
    const system = fakeSystem();
    const held = gate();
    const { session } = await bench([[{ text: 'one ' }, { gate: held }, { text: 'two' }]], { system });
    const turn = await session.send('go');
    await system.settle();
    const timers = system.waitingTimers;
    for await (const part of turn.stream) if (part.type === 'text') break;
    await system.settle();
    expect(system.waitingTimers).toBe(timers);
    // Also while it waits for what comes next, as a response whose client went away does.
    const parts = turn.stream;
    await parts.next();
    const waiting = parts.next();
    await system.settle();
    expect(system.waitingTimers).toBeGreaterThan(timers);
    await parts.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
    await system.settle();
    expect(system.waitingTimers).toBe(timers);
    const events = session.events();
    await events.next();
    await events.next();
    await events.next();
    const nextEvent = (async () => { for (;;) if ((await events.next()).done === true) return 'ended'; })();
    await system.settle();
    await events.return();
    expect(await nextEvent).toBe('ended');
    await system.settle();
    expect(system.waitingTimers).toBe(timers);
    held.open();
    await system.settle();
    expect((await turn.result).text).toBe('one two');
  });
});

describe('a turn that is gone', () => {
  it.each([
    ['its message was deleted from the queue', async ({ session, second }: Waiting) => { await session.queue.delete(second.messageId ?? ''); }],
    ['it was stopped while it waited', async ({ session, second }: Waiting) => { await session.stop({ turnId: second.id }); }],
    ['its session was ended', async ({ session }: Waiting) => { await session.end({ stop: true }); }],
    ['its session was deleted', async ({ session }: Waiting) => { await session.delete(); }],
  ])('is turn_not_found to whoever waits for it, by result or stream, when %s', async (why, remove) => {
    const system = fakeSystem();
    const { session } = await bench([[{ silent: true }]], { system });
    await session.send('one');
    const second = await session.send('two');
    const byId = session.turn({ turnId: second.id });
    const waits = [second.result, allParts(second), allParts(byId)].map(async (wait) => wait.then(() => 'ended', (error: unknown) => (error as { code?: string }).code));
    await system.settle();
    await remove({ session, second });
    // A deleted session says nothing more: it is looked for now and then.
    if (why === 'its session was deleted') await system.advance(1_000);
    await system.settle();
    expect(await Promise.all(waits)).toEqual(['turn_not_found', 'turn_not_found', 'turn_not_found']);
  });

  it('is turn_not_found at once when it never was', async () => {
    const { session } = await bench(['hello']);
    await (await session.send('go')).result;
    const none = session.turn({ turnId: 'turn_00000000000000000000000000' });
    await expect(none.result).rejects.toMatchObject({ code: 'turn_not_found' });
    await expect(allParts(none)).rejects.toMatchObject({ code: 'turn_not_found' });
  });
});

interface Waiting {
  readonly session: Awaited<ReturnType<typeof bench>>['session'];
  readonly second: TurnHandle;
}

describe('a Holdfast that is closed', () => {
  it('breaks off what follows and waits, instead of ending it as if all had been said', async () => {
    const system = fakeSystem();
    const { holdfast, session } = await bench([[{ text: 'half an' }, { silent: true }]], { system });
    const turn = await session.send('go');
    const parts: TurnPart[] = [];
    const waits = [
      turn.result,
      (async () => { for await (const part of turn.stream) parts.push(part); })(),
      (async () => { for await (const event of session.events()) expect(event.position).toBeTypeOf('string'); })(),
    ].map(async (wait) => wait.then(() => 'ended', (error: unknown) => (error as { code?: string }).code));
    await system.settle();
    await closeHoldfast(holdfast, system);
    expect(await Promise.all(waits)).toEqual(['shutting_down', 'shutting_down', 'shutting_down']);
    expect(parts).toEqual([{ type: 'text', text: 'half an' }]);
  });
});

describe('waiting for a turn', () => {
  it('ends with its signal, also one that was aborted before, and leaves nothing on it', async () => {
    const { holdfast, session } = await bench([[{ silent: true }], 'hello']);
    const turn = await session.send('go');
    const ref = { tenant: 'default', id: session.id };
    const waiters = new TurnWaiters(holdfast.store, realSystem().clock, 1_000);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(waiters.wait(ref, turn.id, signal)).rejects.toThrow('enough');
    const controller = new AbortController();
    const waiting = waiters.wait(ref, turn.id, controller.signal);
    controller.abort(new Error('too long'));
    await expect(waiting).rejects.toThrow('too long');
    const patient = new AbortController();
    const ended = waiters.wait(ref, turn.id, patient.signal);
    expect(getEventListeners(patient.signal, 'abort')).toHaveLength(1);
    await session.stop();
    await ended;
    expect(getEventListeners(patient.signal, 'abort')).toHaveLength(0);
    waiters.close();
  });
});
