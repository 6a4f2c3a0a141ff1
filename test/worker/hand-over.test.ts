import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import type { Session } from '../../src/core/session.ts';
import { limits } from '../../src/core/limits.ts';
import { tool } from '../../src/index.ts';
import { fakeSystem, type FakeSystem } from '../../src/testing/fake-system.ts';
import { gate, type Gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { closeHoldfast, openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';

const stopGraceMs = 10_000;

interface Ran {
  readonly by: string;
  readonly n: number;
}

/** Two instances on one file: the first has the session in hand, the second waits for what it gives away. */
async function twoInstances(script: { readonly first: readonly ScriptedGeneration[]; readonly second: readonly ScriptedGeneration[] }, agentLimits: { readonly parallelCalls?: number } = {}) {
  const system = fakeSystem();
  const store = `sqlite:${await temporaryDatabase()}`;
  const ran: Ran[] = [];
  const logged: string[] = [];
  const gates = new Map<string, Gate>();
  const gateOf = (name: string): Gate => gates.get(name) ?? gates.set(name, gate()).get(name) ?? gate();
  const instance = async (by: string, generations: readonly ScriptedGeneration[]): Promise<Holdfast> => {
    const work = (recovery: 'rerun' | 'report') => tool({
      recovery, inputSchema: z.object({ n: z.number() }),
      // As long as it is not told to end; then it ends at once, with an error, as calls over a network do.
      execute: async ({ n }, { abortSignal }) => {
        ran.push({ by, n });
        if (by === 'first') await Promise.race([gateOf(`work ${n}`).pass(), aborted(abortSignal)]);
        return `${n} by ${by}`;
      },
    });
    return openHoldfast({
      agents: [agent({ name: 'one', model: scriptedModel(generations), tools: { work: work('report'), again: work('rerun') }, limits: agentLimits })],
      store, system, worker: { stopGraceMs, pollMs: 86_400_000 }, log: (_level, event) => logged.push(event),
    });
  };
  const first = await instance('first', script.first);
  const session = await first.sessions.create({ agent: 'one', message: { text: 'go' } });
  await system.settle();
  const second = await instance('second', script.second);
  await system.advance(1_000);
  const row = async (): Promise<Session | null> => second.store.readSession({ tenant: 'default', id: session.id });
  const seen = await second.sessions.get(session.id);
  return { system, first, second, session: seen, row, ran, gateOf, logged };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
}

/** Begins to close without waiting for it; the second instance is settled, too. */
async function beginClose(holdfast: Holdfast, system: FakeSystem): Promise<{ readonly closed: () => boolean }> {
  let closed = false;
  void holdfast.close().then(() => { closed = true; });
  await system.settle();
  return { closed: () => closed };
}

describe('an instance that is closed', () => {
  it('lets the step in hand finish, and another goes on with the session at once', async () => {
    const { system, first, session, row, ran, gateOf } = await twoInstances({ first: [[{ call: 'work', input: { n: 0 } }]], second: ['whole'] });
    const { closed } = await beginClose(first, system);
    await system.advance(stopGraceMs - 1);
    expect(closed()).toBe(false);
    gateOf('work 0').open();
    await system.settle();
    expect(closed()).toBe(true);
    expect(await row()).toMatchObject({ claim: null, crashes: 0 });
    // The second hears of it by the hint of the store; no lease has to run out.
    await system.advance(100);
    expect(await row()).toMatchObject({ turn: null, lastTurn: { reason: 'complete' } });
    expect(ran).toEqual([{ by: 'first', n: 0 }]);
    const entries = await session.entries();
    expect(entries.map(({ kind }) => kind)).toEqual(['session-created', 'user-message', 'assistant-step', 'tool-results', 'assistant-step', 'turn-ended']);
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: '0 by first' }] }]);
  });

  it('hands a generation over that outlasts the grace time: the attempt is recorded as lost, and the answer is whole', async () => {
    const { system, first, session, row } = await twoInstances({ first: [[{ text: ['half ', 'an'] }, { silent: true }]], second: ['half an answer'] });
    const { closed } = await beginClose(first, system);
    await system.advance(stopGraceMs - 1);
    expect(closed()).toBe(false);
    expect(await row()).toMatchObject({ turn: { attempt: { number: 1 } } });
    await system.advance(1);
    expect(closed()).toBe(true);
    await system.advance(100);
    const entries = await session.entries();
    expect(entries.map(({ kind }) => kind)).toEqual(['session-created', 'user-message', 'attempt-lost', 'assistant-step', 'turn-ended']);
    expect(ofKind(entries, 'attempt-lost')).toMatchObject([{ attempt: { number: 1, usage: null } }]);
    expect(ofKind(entries, 'assistant-step')).toMatchObject([{ attempt: { number: 2 }, parts: [{ text: 'half an answer' }] }]);
    expect(await row()).toMatchObject({ crashes: 0, turn: null });
  });

  it('leaves a call that outlasts the grace time to its recovery: unknown, or run again', async () => {
    const { system, first, session, row, ran } = await twoInstances({ first: [[{ call: 'work', input: { n: 0 } }, { call: 'again', input: { n: 1 } }]], second: ['whole'] });
    await beginClose(first, system);
    await system.advance(stopGraceMs + 100);
    expect(await row()).toMatchObject({ turn: null, lastTurn: { reason: 'complete' }, crashes: 0 });
    expect(ran).toEqual([{ by: 'first', n: 0 }, { by: 'first', n: 1 }, { by: 'second', n: 1 }]);
    expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'unknown' }, { outcome: 'done', output: '1 by second' }] }]);
  });

  it('takes back a call that its last step dispatched and that has not begun: the next one runs it, once', async () => {
    const answers = gate();
    const { system, first, session, row, ran } = await twoInstances({ first: [[{ gate: answers }, { call: 'work', input: { n: 0 } }]], second: ['whole'] });
    const { closed } = await beginClose(first, system);
    expect(closed()).toBe(false);
    answers.open();
    await system.settle();
    expect(closed()).toBe(true);
    expect(ran).toEqual([]);
    expect((await row())?.turn?.lastStep?.openCalls).toEqual([expect.not.objectContaining({ dispatchedFence: expect.anything() as number })]);
    await system.advance(100);
    expect(ran).toEqual([{ by: 'second', n: 0 }]);
    expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: '0 by second' }] }]);
  });

  it('begins no further call of a step; what has ended is kept, and the next one runs the rest, each once', async () => {
    const calls = [0, 1, 2, 3].map((n) => ({ call: 'work', input: { n } }));
    const { system, first, session, ran, gateOf, logged } = await twoInstances({ first: [calls], second: ['whole'] }, { parallelCalls: 2 });
    const { closed } = await beginClose(first, system);
    gateOf('work 1').open();
    // It is stored ahead already when the instance stores all that it has.
    await system.advance(limits.earlyOutcomeMs);
    gateOf('work 0').open();
    await system.settle();
    expect(closed()).toBe(true);
    expect(logged).toEqual([]);
    expect(ran).toEqual([{ by: 'first', n: 0 }, { by: 'first', n: 1 }]);
    await system.advance(100);
    expect(ran.slice(2)).toEqual([{ by: 'second', n: 2 }, { by: 'second', n: 3 }]);
    expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{
      results: ['0 by first', '1 by first', '2 by second', '3 by second'].map((output, index) => ({ index, outcome: 'done', output })),
    }]);
  });

  it('hands over a session that a command claims while it closes, and that is no crash', async () => {
    const { system, first, second, row } = await twoInstances({ first: ['one', 'never asked for'], second: ['two'] });
    const session = await first.sessions.get((await row())?.id ?? '');
    expect(await row()).toMatchObject({ turn: null });
    const sending = session.send('again');
    const closing = closeHoldfast(first, system);
    const turn = await sending;
    await closing;
    const left = await row();
    expect(left).toMatchObject({ crashes: 0 });
    await system.advance(100);
    expect(await row()).toMatchObject({ turn: null, lastTurn: { id: turn.id, reason: 'complete' }, crashes: 0 });
    expect(second.worker?.ready).toBe(true);
  });

  it('takes no work after that, refuses everything with store_closed, and may be closed again', async () => {
    const { system, first, session, row } = await twoInstances({ first: ['one'], second: ['two'] });
    const handle = await first.sessions.get(session.id);
    const closings = [first.close(), first.close()];
    await Promise.all(closings);
    await first.close();
    await expect(handle.send('more')).rejects.toMatchObject({ code: 'store_closed' });
    await expect(handle.get()).rejects.toMatchObject({ code: 'store_closed' });
    expect(first.worker).toMatchObject({ ready: false, runs: 0 });
    const timers = system.waitingTimers;
    await (await session.send('go on')).result;
    await system.advance(5_000);
    expect(await row()).toMatchObject({ lastTurn: { reason: 'complete' } });
    expect(first.worker?.runs).toBe(0);
    expect(system.waitingTimers).toBeLessThanOrEqual(timers);
  });
});

describe('an instance on a store of its caller', () => {
  it('leaves the store open when it is closed', async () => {
    const owner = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([], { otherwise: 'hello' }) })], worker: false });
    const model = scriptedModel([], { otherwise: 'hello' });
    const guest = await openHoldfast({ agents: [agent({ name: 'one', model })], store: owner.store });
    const session = await owner.sessions.create({ agent: 'one', message: { text: 'go' } });
    expect((await session.firstTurn?.result)?.text).toBe('hello');
    await guest.close();
    expect((await session.get()).status).toBe('idle');
  });
});
