import { expect } from 'vitest';
import type { StepPart } from '../../src/core/entry.ts';
import { dispatchCalls } from '../../src/core/settle.ts';
import { callPart, doneResult, suiteRules, type InWork } from '../../src/store/conformance/kit.ts';
import { came, testSchedules, type PostgresSchedule, type Schedule } from '../support/postgres-schedule-kit.ts';

/** A session in work whose step has so many calls of `pay`, of which the first 8 are dispatched. */
async function paying({ kit }: Schedule, calls = 2): Promise<InWork & { readonly stepSeq: number }> {
  const work = await kit.inWork();
  const session = await kit.settle(work, Array.from({ length: calls }, (_, index): StepPart => callPart(index, 'pay')), 'tool-calls');
  return { ...work, session, stepSeq: session.turn?.lastStep?.seq ?? 0 };
}

/** The outcomes in a session's log. */
async function outcomesOf({ b }: Schedule, { ref }: InWork): Promise<readonly string[]> {
  return (await b.readEntries(ref, { limit: 100 })).flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ outcome }) => outcome) : []));
}

/** The text of the step that a stop has left. */
async function stoppedText({ b }: Schedule, { ref }: InWork): Promise<string | null> {
  const step = (await b.readEntries(ref, { limit: 100 })).find((entry) => entry.kind === 'assistant-step');
  const [part] = step?.kind === 'assistant-step' && step.stopped === true ? step.parts : [];
  return part?.type === 'text' ? part.text : null;
}

const takeover = (schedule: Schedule, { ref }: InWork) => () => schedule.claim(schedule.b, ref, 'wrk_b', ['wrk_a']);
const outcome = ({ a }: Schedule, { ref, lease, stepSeq }: InWork & { readonly stepSeq: number }, index = 0) => () => a.storeOutcomeIfHeld({ ref, fence: lease.fence, stepSeq, result: doneResult(index, 'pay') });
const dispatch = ({ a, kit }: Schedule, { ref, lease }: InWork) => () => a.update({ key: ref, transition: dispatchCalls(lease, [8], suiteRules, kit.nowMs) });

const takeovers: readonly PostgresSchedule[] = [
  {
    name: 'a takeover before the step of the dead worker\'s zombie: the step lands nowhere',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      const results = await schedule.inLine(work.ref, ['b', takeover(schedule, work)], ['a', () => schedule.settle(schedule.a, work)]);
      expect(results.map(came)).toEqual(['committed', 'fence_lost']);
      expect(await schedule.kinds(work.ref)).toEqual(['session-created', 'user-message', 'attempt-lost']);
    },
  },
  {
    name: 'a step before the takeover: the turn is over and nothing is taken over',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      const results = await schedule.inLine(work.ref, ['a', () => schedule.settle(schedule.a, work)], ['b', takeover(schedule, work)]);
      expect(results.map(came)).toEqual(['committed', 'not_claimable']);
      expect(await schedule.kinds(work.ref)).toEqual(['session-created', 'user-message', 'assistant-step', 'turn-ended']);
    },
  },
  {
    name: 'a takeover before a piece of live output: it is not stored',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      expect((await schedule.inLine(work.ref, ['b', takeover(schedule, work)], ['a', () => schedule.chunk(schedule.a, work, 0, 0, 'zombie')])).map(came)).toEqual(['committed', 'fence-lost']);
    },
  },
  {
    name: 'a piece of live output before the takeover: it is stored, and retracted with its attempt',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      expect((await schedule.inLine(work.ref, ['a', () => schedule.chunk(schedule.a, work, 0, 0, 'shown')], ['b', takeover(schedule, work)])).map(came)).toEqual(['stored', 'committed']);
      expect(await schedule.query('SELECT * FROM {schema}.chunk')).toEqual([]);
    },
  },
  {
    name: 'a takeover before an early outcome: it is not stored, and the call may have run',
    run: async (schedule) => {
      const work = await paying(schedule);
      expect((await schedule.inLine(work.ref, ['b', takeover(schedule, work)], ['a', outcome(schedule, work)])).map(came)).toEqual(['committed', 'fence-lost']);
      expect(await outcomesOf(schedule, work)).toEqual(['unknown', 'unknown']);
    },
  },
  {
    name: 'an early outcome before the takeover: the next claimant commits it with the step\'s results',
    run: async (schedule) => {
      const work = await paying(schedule);
      expect((await schedule.inLine(work.ref, ['a', outcome(schedule, work)], ['b', takeover(schedule, work)])).map(came)).toEqual(['stored', 'committed']);
      expect(await outcomesOf(schedule, work)).toEqual(['done', 'unknown']);
    },
  },
  {
    name: 'a takeover before a dispatch: the call did not begin, and the next claimant begins it',
    run: async (schedule) => {
      const work = await paying(schedule, 9);
      const [taken, dispatched] = await schedule.inLine(work.ref, ['b', takeover(schedule, work)], ['a', dispatch(schedule, work)]);
      expect([taken, dispatched].map(came)).toEqual(['committed', 'fence_lost']);
      expect(taken.kind === 'committed' && taken.reply.work?.kind === 'run-calls' && taken.reply.work.run.map(({ index }) => index)).toEqual([8]);
    },
  },
  {
    name: 'a dispatch before the takeover: the call may have run, and does not run again',
    run: async (schedule) => {
      const work = await paying(schedule, 9);
      expect((await schedule.inLine(work.ref, ['a', dispatch(schedule, work)], ['b', takeover(schedule, work)])).map(came)).toEqual(['committed', 'committed']);
      expect(await outcomesOf(schedule, work)).toEqual(Array.from({ length: 9 }, () => 'unknown'));
    },
  },
  {
    name: 'a takeover and a whole result of the dead worker keep each other from nothing',
    run: async (schedule) => {
      const work = await paying(schedule);
      const whole = () => schedule.a.storeWholeResult({ ref: work.ref, id: 'res_1', body: '"whole"' });
      expect((await schedule.inLine(work.ref, ['b', takeover(schedule, work)], ['a', whole])).map(came)).toEqual(['committed', 'stored']);
      expect(await schedule.b.readWholeResult(work.ref, 'res_1')).toBe('"whole"');
    },
  },
  {
    name: 'of two takeovers one has the session',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      const another = () => schedule.claim(schedule.a, work.ref, 'wrk_c', ['wrk_a']);
      expect((await schedule.inLine(work.ref, ['b', takeover(schedule, work)], ['a', another])).map(came)).toEqual(['committed', 'not_claimable']);
      expect((await schedule.b.readSession(work.ref))?.claim?.worker).toBe('wrk_b');
    },
  },
  {
    name: 'of two claims one has the session',
    run: async (schedule) => {
      const { tenant, id } = await schedule.kit.create({ text: 'hello' });
      const results = await schedule.inLine({ tenant, id }, ['a', () => schedule.claim(schedule.a, { tenant, id }, 'wrk_a')], ['b', () => schedule.claim(schedule.b, { tenant, id }, 'wrk_b')]);
      expect(results.map(came)).toEqual(['committed', 'not_claimable']);
      expect(await schedule.b.findHeld('wrk_b')).toEqual([]);
    },
  },
];

const stops: readonly PostgresSchedule[] = [
  {
    name: 'a piece of live output before a stop: it is in the stopped step',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      await schedule.chunk(schedule.a, work, 0, 0, 'first ');
      const results = await schedule.inLine(work.ref, ['a', () => schedule.chunk(schedule.a, work, 1, 6, 'second')], ['b', () => schedule.stop(schedule.b, work.ref)]);
      expect(results.map(came)).toEqual(['stored', 'committed']);
      expect(await stoppedText(schedule, work)).toBe('first second');
    },
  },
  {
    name: 'a stop before a piece of live output: nothing overtakes the stop',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      await schedule.chunk(schedule.a, work, 0, 0, 'first');
      const results = await schedule.inLine(work.ref, ['b', () => schedule.stop(schedule.b, work.ref)], ['a', () => schedule.chunk(schedule.a, work, 1, 5, ' late')]);
      expect(results.map(came)).toEqual(['committed', 'fence-lost']);
      expect(await stoppedText(schedule, work)).toBe('first');
    },
  },
  {
    name: 'a stop between two pieces of live output: the stopped step has exactly what was stored',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      const lock = await schedule.holdSession(work.ref);
      const first = schedule.chunk(schedule.a, work, 0, 0, 'first');
      await schedule.waits('a');
      const stopped = schedule.stop(schedule.b, work.ref);
      await schedule.waits('b');
      const second = schedule.chunk(schedule.a, work, 1, 5, ' second');
      await schedule.waits('a', 2);
      await lock.release();
      expect([came(await first), came(await stopped)]).toEqual(['stored', 'committed']);
      // Where the stop has to be run again because of the first, the second may come before it.
      expect(await stoppedText(schedule, work)).toBe(await second === 'stored' ? 'first second' : 'first');
    },
  },
  {
    name: 'a stop before the step: what the model went on to say lands nowhere',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      await schedule.chunk(schedule.a, work, 0, 0, 'whole');
      expect((await schedule.inLine(work.ref, ['b', () => schedule.stop(schedule.b, work.ref)], ['a', () => schedule.settle(schedule.a, work)])).map(came)).toEqual(['committed', 'fence_lost']);
      expect(await stoppedText(schedule, work)).toBe('whole');
    },
  },
  {
    name: 'the step before a stop: there is nothing left to stop',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      const [settled, stopped] = await schedule.inLine(work.ref, ['a', () => schedule.settle(schedule.a, work)], ['b', () => schedule.stop(schedule.b, work.ref)]);
      expect([came(settled), stopped.kind === 'committed' && stopped.reply.reply.stopped]).toEqual(['committed', false]);
    },
  },
  {
    name: 'a stop before a claim: there is nothing to claim',
    run: async (schedule) => {
      const { tenant, id } = await schedule.kit.create({ text: 'hello' });
      expect((await schedule.inLine({ tenant, id }, ['b', () => schedule.stop(schedule.b, { tenant, id })], ['a', () => schedule.claim(schedule.a, { tenant, id }, 'wrk_a')])).map(came)).toEqual(['committed', 'not_claimable']);
    },
  },
  {
    name: 'a claim before a stop: the generation that it began is stopped',
    run: async (schedule) => {
      const { tenant, id } = await schedule.kit.create({ text: 'hello' });
      const [claimed, stopped] = await schedule.inLine({ tenant, id }, ['a', () => schedule.claim(schedule.a, { tenant, id }, 'wrk_a')], ['b', () => schedule.stop(schedule.b, { tenant, id })]);
      expect([came(claimed), stopped.kind === 'committed' && stopped.reply.reply.stopped]).toEqual(['committed', true]);
      expect(await schedule.kinds({ tenant, id })).toEqual(['session-created', 'user-message', 'attempt-stopped', 'turn-ended']);
    },
  },
  ...(['interrupt', 'replace'] as const).flatMap((whenBusy): readonly PostgresSchedule[] => [
    {
      name: `a message that comes to ${whenBusy} before the step: its turn runs and the step lands nowhere`,
      run: async (schedule) => {
        const work = await schedule.kit.inWork();
        const results = await schedule.inLine(work.ref, ['b', () => schedule.send(schedule.b, work.ref, 'rather', { whenBusy, messageId: 'msg_rather' })], ['a', () => schedule.settle(schedule.a, work)]);
        expect(results.map(came)).toEqual(['committed', 'fence_lost']);
        expect((await schedule.b.readSession(work.ref))?.turn?.messageId).toBe('msg_rather');
      },
    },
    {
      name: `the step before a message that comes to ${whenBusy}: the answer stays, and the message opens the next turn`,
      run: async (schedule) => {
        const work = await schedule.kit.inWork();
        const results = await schedule.inLine(work.ref, ['a', () => schedule.settle(schedule.a, work)], ['b', () => schedule.send(schedule.b, work.ref, 'rather', { whenBusy, messageId: 'msg_rather' })]);
        expect(results.map(came)).toEqual(['committed', 'committed']);
        expect((await schedule.kinds(work.ref)).slice(2)).toEqual(['assistant-step', 'turn-ended', 'user-message']);
      },
    },
  ]),
];

const leases: readonly PostgresSchedule[] = [
  {
    name: 'a renewal a moment before the end of the lease keeps it, one at its end has lost it, whether or not anybody has seen it dead',
    run: async ({ a, b, kit }) => {
      await a.registerWorker({ id: 'wrk_a', leaseMs: 1_000, agents: ['suite'] });
      kit.nowMs += 999;
      expect(await a.renewWorker('wrk_a', 1_000)).not.toBe('lost');
      expect((await b.findDeadWorkers()).dead).toEqual([]);
      kit.nowMs += 1_000;
      expect(await a.renewWorker('wrk_a', 1_000)).toBe('lost');
      expect((await b.findDeadWorkers()).dead).toEqual(['wrk_a']);
    },
  },
  {
    name: 'a renewal against the removal of the dead: it is lost in either order',
    run: async (schedule) => {
      const { a, b, kit } = schedule;
      await a.registerWorker({ id: 'wrk_a', leaseMs: 1_000, agents: ['suite'] });
      kit.nowMs += 1_000;
      const lock = await schedule.hold('SELECT 1 FROM {schema}.worker FOR UPDATE');
      const removed = b.removeDeadWorkers((await b.findDeadWorkers()).dead);
      await schedule.waits('b');
      expect(await a.renewWorker('wrk_a', 1_000)).toBe('lost');
      await lock.release();
      await removed;
      expect([await a.renewWorker('wrk_a', 1_000), await a.listWorkers()]).toEqual(['lost', []]);
    },
  },
  {
    name: 'a worker that is removed while its last claim lands counts as dead all the same, and what it took is taken over',
    run: async (schedule) => {
      const { a, b, kit } = schedule;
      await a.registerWorker({ id: 'wrk_a', leaseMs: 1_000, agents: ['suite'] });
      const { tenant, id } = await kit.create({ text: 'hello' });
      kit.nowMs += 1_000;
      const lock = await schedule.holdSession({ tenant, id });
      const claimed = schedule.claim(a, { tenant, id }, 'wrk_a');
      await schedule.waits('a');
      await b.removeDeadWorkers((await b.findDeadWorkers()).dead);
      await lock.release();
      expect(came(await claimed)).toBe('committed');
      const { dead } = await b.findDeadWorkers();
      expect([dead, (await b.findClaimable({ nowMs: kit.nowMs, deadWorkers: dead, agents: ['suite'], limit: 10 })).map((found) => found.id)]).toEqual([['wrk_a'], [id]]);
      expect(came(await schedule.claim(b, { tenant, id }, 'wrk_b', dead))).toBe('committed');
    },
  },
  {
    name: 'a dead worker that a session still names is not removed',
    run: async (schedule) => {
      const { a, b, kit } = schedule;
      await a.registerWorker({ id: 'wrk_a', leaseMs: 1_000, agents: ['suite'] });
      await kit.inWork();
      kit.nowMs += 1_000;
      await b.removeDeadWorkers(['wrk_a']);
      expect((await b.listWorkers()).map(({ id, isDead }) => [id, isDead])).toEqual([['wrk_a', true]]);
    },
  },
];

testSchedules('takeovers, stops and leases on Postgres', [...takeovers, ...stops, ...leases]);
