import { describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

const phases = ['begins', 'commits', 'returns'] as const;

interface Step {
  readonly who: 'settle' | 'send';
  readonly phase: (typeof phases)[number];
}

/** Every order in which the worker's last commit of a turn and the send of a message can begin, commit and return. */
function interleavings(settled = 0, sent = 0): readonly (readonly Step[])[] {
  if (settled === 3 && sent === 3) return [[]];
  const next = (who: Step['who'], done: number, rest: readonly (readonly Step[])[]) => rest.map((steps) => [{ who, phase: phases[done] ?? 'begins' }, ...steps]);
  return [
    ...(settled < 3 ? next('settle', settled, interleavings(settled + 1, sent)) : []),
    ...(sent < 3 ? next('send', sent, interleavings(settled, sent + 1)) : []),
  ];
}

/** Stands before its commit, and again before its result is given. */
function heldUpdate() {
  return { commit: gate(), answer: gate() };
}

const senders = ['the instance that works', 'an instance that takes no work', 'another instance that works'] as const;

/** Sends a second message while the first turn's last commit is under way, in the given order; returns the log. */
async function play(steps: readonly Step[], sender: (typeof senders)[number]) {
  const system = fakeSystem();
  const path = await temporaryDatabase();
  const answers = gate();
  const held = { settle: heldUpdate(), send: heldUpdate() };
  let watching = false;
  const scheduled = (inner: Store): Store => wrappedStore(inner, {
    update: async (store, request) => {
      if (!watching) return store.update(request);
      const who = request.replyToStore === undefined ? 'settle' : 'send';
      await held[who].commit.pass();
      const result = await store.update(request);
      await held[who].answer.pass();
      return result;
    },
  });
  const open = async (worker: boolean, name: string): Promise<Holdfast> => {
    const model = scriptedModel([[{ gate: answers }, { text: name }]], { otherwise: `${name} again` });
    return openHoldfast({ agents: [agent({ name: 'one', model })], store: scheduled(await sqliteStore({ path, system })), system, worker });
  };
  const working = await open(true, 'first');
  const session = await working.sessions.create({ agent: 'one', message: { text: 'one', messageId: 'm1' } });
  await system.settle();
  const sending = sender === senders[0] ? working : await open(sender === senders[2], 'second');
  const from = await sending.sessions.get(session.id);
  const second = { sent: null as ReturnType<typeof from.send> | null };
  watching = true;
  for (const { who, phase } of steps) {
    if (phase === 'begins') {
      if (who === 'send') second.sent = from.send({ text: 'two', messageId: 'm2' });
      else answers.open();
      await held[who].commit.reached;
    } else if (phase === 'commits') {
      held[who].commit.open();
      await held[who].answer.reached;
    } else {
      held[who].answer.open();
      await system.settle();
    }
  }
  const turn = await second.sent;
  await system.runUntil(async () => ofKind(await session.entries(), 'turn-ended').length === 2, 5_000);
  await system.settle();
  return { session, turn, entries: await session.entries(), holdfasts: [working, sending] };
}

describe('a message sent at the very moment the turn before it ends', () => {
  it.each(senders)('is never stranded, whatever the order of begin, commit and return (sent by %s)', async (sender) => {
    const schedules = interleavings();
    expect(schedules).toHaveLength(20);
    for (const steps of schedules) {
      const order = steps.map(({ who, phase }) => `${who} ${phase}`).join(', ');
      const { session, turn, entries, holdfasts } = await play(steps, sender);
      const ended = ofKind(entries, 'turn-ended');
      expect(ended.map(({ reason }) => reason), order).toEqual(['complete', 'complete']);
      expect(ended[1]?.turnId, order).toBe(turn?.id);
      expect(ofKind(entries, 'user-message').map(({ messageId, parts }) => [messageId, parts]), order).toEqual([['m1', [{ type: 'text', text: 'one' }]], ['m2', [{ type: 'text', text: 'two' }]]]);
      expect(await session.get(), order).toMatchObject({ status: 'idle', queue: { count: 0 } });
      for (const holdfast of new Set(holdfasts)) {
        expect(holdfast.worker?.runs ?? 0, order).toBe(0);
        await holdfast.close();
        await holdfast.store.close();
      }
    }
  });
});
