import { expect } from 'vitest';
import { limits } from '../../src/core/limits.ts';
import { callPart, codeOf, doneResult, type InWork } from '../../src/store/conformance/kit.ts';
import type { SessionRef, StoreTransaction } from '../../src/store/store.ts';
import { came, testSchedules, type PostgresSchedule, type Schedule } from '../support/postgres-schedule-kit.ts';

async function resting({ kit }: Schedule): Promise<SessionRef> {
  const { tenant, id } = await kit.create();
  return { tenant, id };
}

/** The ids of the messages that began a turn or wait for one. */
async function messages({ b }: Schedule, ref: SessionRef): Promise<readonly string[]> {
  return (await b.readEntries(ref, { limit: 100 })).flatMap((entry) => (entry.kind === 'user-message' || entry.kind === 'message-queued' ? [entry.messageId] : []));
}

const sending: readonly PostgresSchedule[] = [
  {
    name: 'a message in a user\'s transaction that is rolled back is nowhere, and another process goes on with the session at once',
    run: async (schedule) => {
      const ref = await resting(schedule);
      const { transaction, rollBack } = await schedule.callerTransaction();
      expect(came(await schedule.send(schedule.a, ref, 'of the user', { transaction }))).toBe('committed');
      await rollBack();
      expect(await schedule.kinds(ref)).toEqual(['session-created']);
      expect([came(await schedule.send(schedule.b, ref, 'of B')), came(await schedule.touch(schedule.a, ref, 'of A'))]).toEqual(['committed', 'committed']);
    },
  },
  {
    name: 'a user\'s transaction holds up the commits of its session, and of no other, however many share a statement',
    run: async (schedule) => {
      const [held, ...others] = [await schedule.kit.inWork(), await schedule.kit.inWork(), await schedule.kit.inWork()];
      const { transaction, commit } = await schedule.callerTransaction();
      await schedule.send(schedule.a, held.ref, 'of the user', { transaction, messageId: 'msg_user' });
      const settled = [held, ...others].map((work) => schedule.settle(schedule.a, work));
      expect((await Promise.all(settled.slice(1))).map(came)).toEqual(['committed', 'committed']);
      await schedule.waits('a');
      expect((await schedule.b.readSession(held.ref))?.turn?.attempt?.id).toBe(held.attempt.id);
      // A serializable transaction may be refused at its end for what others did beside it; then it is nowhere.
      const refused = await commit().then(() => null, (error: unknown) => error);
      if (schedule.isolation !== 'serializable') expect(refused).toBe(null);
      expect(came(await (settled[0] ?? expect.fail()))).toBe('committed');
      expect((await schedule.b.readSession(held.ref))?.turn?.messageId).toBe(refused === null ? 'msg_user' : undefined);
    },
  },
  {
    name: 'a message beside a user\'s transaction waits for its end, and comes after its message',
    run: async (schedule) => {
      const ref = await resting(schedule);
      const { transaction, commit } = await schedule.callerTransaction();
      await schedule.send(schedule.a, ref, 'of the user', { transaction, messageId: 'msg_user' });
      const sent = schedule.send(schedule.b, ref, 'of B', { messageId: 'msg_b' });
      await schedule.waits('b');
      await commit();
      expect([came(await sent), await messages(schedule, ref)]).toEqual(['committed', ['msg_user', 'msg_b']]);
    },
  },
  ...(['commit', 'rollBack'] as const).map((end): PostgresSchedule => ({
    name: `one key in a user's transaction and beside it: ${end === 'commit' ? 'the second is given the reply of the first' : 'when the first is rolled back, the second has the effect'}`,
    run: async (schedule) => {
      const ref = await resting(schedule);
      const caller = await schedule.callerTransaction();
      const rest = { idempotency: [schedule.kit.key('k')] };
      await schedule.send(schedule.a, ref, 'once', { ...rest, transaction: caller.transaction, messageId: 'msg_user' });
      const sent = schedule.send(schedule.b, ref, 'once', { ...rest, messageId: 'msg_b' });
      await schedule.waits('b');
      await caller[end]();
      expect([came(await sent), await messages(schedule, ref)]).toEqual(end === 'commit' ? ['replayed', ['msg_user']] : ['committed', ['msg_b']]);
    },
  })),
  {
    name: 'the 20th message in a user\'s transaction leaves no room for one beside it',
    run: async (schedule) => {
      const { ref } = await schedule.kit.inWork();
      for (let place = 1; place < limits.queueMessagesMax; place += 1) await schedule.send(schedule.a, ref, 'queued');
      const { transaction, commit } = await schedule.callerTransaction();
      expect(came(await schedule.send(schedule.a, ref, 'the 20th', { transaction }))).toBe('committed');
      const sent = schedule.send(schedule.b, ref, 'the 21st');
      await schedule.waits('b');
      await commit();
      expect([came(await sent), (await schedule.b.readSession(ref))?.queue.length]).toEqual(['queue_full', limits.queueMessagesMax]);
    },
  },
  {
    name: 'two messages in one transaction follow each other, though the second is sent before the first is answered',
    run: async (schedule) => {
      const ref = await resting(schedule);
      const { transaction, commit } = await schedule.callerTransaction();
      const sent = [schedule.send(schedule.a, ref, 'one', { transaction, messageId: 'msg_1' }), schedule.send(schedule.a, ref, 'two', { transaction, messageId: 'msg_2' })];
      expect((await Promise.all(sent)).map(came)).toEqual(['committed', 'committed']);
      await commit();
      expect(await messages(schedule, ref)).toEqual(['msg_1', 'msg_2']);
    },
  },
];

/** Interrupts in a transaction, and the text of the step that it leaves. */
async function interrupt(schedule: Schedule, { ref }: InWork, transaction: StoreTransaction): Promise<string> {
  return came(await schedule.send(schedule.a, ref, 'rather', { transaction, whenBusy: 'interrupt' }));
}

async function stoppedText({ b }: Schedule, { ref }: InWork): Promise<string | null> {
  const step = (await b.readEntries(ref, { limit: 100 })).find((entry) => entry.kind === 'assistant-step');
  const [part] = step?.kind === 'assistant-step' ? step.parts : [];
  return part?.type === 'text' ? part.text : null;
}

const work: readonly PostgresSchedule[] = [
  {
    name: 'live output that comes after an interrupting message in a user\'s transaction waits for its end and is not stored',
    run: async (schedule) => {
      const inWork = await schedule.kit.inWork();
      await schedule.chunk(schedule.b, inWork, 0, 0, 'first');
      const { transaction, commit } = await schedule.callerTransaction();
      expect(await interrupt(schedule, inWork, transaction)).toBe('committed');
      const late = schedule.chunk(schedule.b, inWork, 1, 5, ' late');
      await schedule.waits('b');
      await commit();
      expect([await late, await stoppedText(schedule, inWork)]).toEqual(['fence-lost', 'first']);
    },
  },
  {
    name: 'live output that comes after an interrupting message in a transaction that is rolled back is stored',
    run: async (schedule) => {
      const inWork = await schedule.kit.inWork();
      const { transaction, rollBack } = await schedule.callerTransaction();
      await interrupt(schedule, inWork, transaction);
      const chunk = schedule.chunk(schedule.b, inWork, 0, 0, 'goes on');
      await schedule.waits('b');
      await rollBack();
      expect([await chunk, (await schedule.kit.tail(inWork.ref)).chunks.length]).toEqual(['stored', 1]);
    },
  },
  ...(['BEGIN', 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'BEGIN ISOLATION LEVEL SERIALIZABLE'] as const).map((begin): PostgresSchedule => ({
    name: `live output that was stored after a user's transaction began (${begin}) is in the step that its message interrupts, or the transaction fails`,
    run: async (schedule) => {
      const inWork = await schedule.kit.inWork();
      const { transaction, commit, rollBack } = await schedule.callerTransaction(begin);
      await transaction.query({ text: `SELECT count(*) FROM ${schedule.schema}.session` });
      expect(await schedule.chunk(schedule.b, inWork, 0, 0, 'shown')).toBe('stored');
      const error = await interrupt(schedule, inWork, transaction).then((kind) => (kind === 'committed' ? null : kind), (failure: unknown) => failure);
      if (error === null) await commit();
      else await rollBack();
      expect(await stoppedText(schedule, inWork)).toBe(error === null ? 'shown' : null);
    },
  })),
  ...(['commit', 'rollBack'] as const).map((end): PostgresSchedule => ({
    name: `a takeover waits for the transaction of an early outcome: ${end === 'commit' ? 'the outcome counts' : 'the call may have run'}`,
    run: async (schedule) => {
      const { kit, a, b } = schedule;
      const inWork = await kit.inWork();
      const session = await kit.settle(inWork, [callPart(0, 'pay')], 'tool-calls');
      const caller = await schedule.callerTransaction();
      const { ref, lease } = inWork;
      expect(await a.storeOutcomeIfHeld({ ref, fence: lease.fence, stepSeq: session.turn?.lastStep?.seq ?? 0, result: doneResult(0, 'pay'), transaction: caller.transaction })).toBe('stored');
      const taken = schedule.claim(b, ref, 'wrk_b', ['wrk_a']);
      await schedule.waits('b');
      await caller[end]();
      expect(came(await taken)).toBe('committed');
      const results = (await b.readEntries(ref, { limit: 100 })).flatMap((entry) => (entry.kind === 'tool-results' ? entry.results : []));
      expect(results.map(({ outcome }) => outcome)).toEqual([end === 'commit' ? 'done' : 'unknown']);
    },
  })),
  {
    name: 'a deletion waits for a user\'s transaction, and takes what it wrote with it',
    run: async (schedule) => {
      const ref = await resting(schedule);
      const { transaction, commit } = await schedule.callerTransaction();
      await schedule.send(schedule.a, ref, 'of the user', { transaction, idempotency: [schedule.kit.key('k')] });
      const deleted = schedule.delete(schedule.b, ref);
      await schedule.waits('b');
      await commit();
      expect([came(await deleted), await schedule.b.readSession(ref)]).toEqual(['committed', null]);
    },
  },
  {
    name: 'a message in a user\'s transaction waits for a deletion, and finds no session',
    run: async (schedule) => {
      const ref = await resting(schedule);
      const deleting = await schedule.callerTransaction();
      expect(came(await schedule.delete(schedule.b, ref, { transaction: deleting.transaction }))).toBe('committed');
      const { transaction, rollBack } = await schedule.callerTransaction();
      const sent = schedule.send(schedule.a, ref, 'late', { transaction }).then(came, () => 'conflict');
      await schedule.waits('raw');
      await deleting.commit();
      expect(['session_not_found', 'conflict']).toContain(await sent);
      await rollBack();
    },
  },
];

const creating: readonly PostgresSchedule[] = [
  ...(['commit', 'rollBack'] as const).map((end): PostgresSchedule => ({
    name: `a creation beside a user's transaction that creates under the same external id waits for its end: ${end === 'commit' ? 'it is given that session' : 'it creates its own'}`,
    run: async (schedule) => {
      const { kit, a, b } = schedule;
      const caller = await schedule.callerTransaction();
      const own = await kit.createResult({ externalId: 'crm-1' }, { ...passedOn(a), create: (request) => a.create({ ...request, transaction: caller.transaction }) });
      const other = kit.createResult({ externalId: 'crm-1' }, b);
      await schedule.waits('b');
      await caller[end]();
      expect([own, await other].map(came)).toEqual(['created', end === 'commit' ? 'exists' : 'created']);
    },
  })),
  {
    name: 'a creation in a user\'s transaction that comes second, after it has looked, fails the transaction and creates nothing',
    run: async (schedule) => {
      const { kit, a, b } = schedule;
      const caller = await schedule.callerTransaction();
      const query: StoreTransaction['query'] = async (statement) => {
        if (statement.text.includes('INSERT INTO')) await kit.createResult({ externalId: 'crm-1' }, b);
        return caller.transaction.query(statement);
      };
      const failed = kit.createResult({ externalId: 'crm-1' }, { ...passedOn(a), create: (request) => a.create({ ...request, transaction: { query } }) });
      expect(['transaction_failed', '40001']).toContain(await codeOf(failed));
      await caller.rollBack();
      expect((await b.listSessions({ tenant: 'acme', limit: 10, count: true })).count).toBe(1);
    },
  },
];

/** A store of which one verb is another. */
function passedOn(store: Schedule['a']): Schedule['a'] {
  return new Proxy(store, { get: (target, name) => {
    const member: unknown = Reflect.get(target, name, target);
    return typeof member === 'function' ? (member as (...given: unknown[]) => unknown).bind(target) : member;
  } });
}

const ends: readonly PostgresSchedule[] = (['lose', 'loseReply'] as const).map((how) => ({
  name: `the connection breaks in the commit of a transaction, ${how === 'lose' ? 'before' : 'after'} the server has it: nobody claims to know, and it landed ${how === 'lose' ? 'nowhere' : 'once'}`,
  run: async (schedule: Schedule) => {
    const { store, gate } = await schedule.gated();
    const ref = await resting(schedule);
    const commit = gate.next(/^\nCOMMIT/);
    const done = store.transaction((transaction) => schedule.send(store, ref, 'of the user', { transaction, messageId: 'msg_user' }));
    await commit.reached;
    commit[how]();
    expect(await codeOf(done)).toBe('commit_unknown');
    expect(await messages(schedule, ref)).toEqual(how === 'lose' ? [] : ['msg_user']);
  },
}));

testSchedules('transactions of users on Postgres', [...sending, ...work, ...creating, ...ends]);
