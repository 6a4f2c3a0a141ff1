import { expect } from 'vitest';
import { acceptQueueDelete, acceptQueueEdit, acceptQueueHold, acceptQueuePromote, acceptQueueRelease } from '../../src/core/accept/queue.ts';
import { limits } from '../../src/core/limits.ts';
import type { InWork, NewSessionOptions } from '../../src/store/conformance/kit.ts';
import type { SessionRef, Store } from '../../src/store/store.ts';
import { came, testSchedules, type PostgresSchedule, type Schedule } from '../support/postgres-schedule-kit.ts';

/** A session in work with messages in its queue, of these ids. */
async function queued(schedule: Schedule, ...messageIds: readonly string[]): Promise<InWork> {
  const work = await schedule.kit.inWork();
  for (const messageId of messageIds) await schedule.send(schedule.a, work.ref, messageId, { messageId });
  return work;
}

/** Whose turn runs, and who waits. */
async function running({ b }: Schedule, ref: SessionRef): Promise<readonly (string | null)[]> {
  const session = await b.readSession(ref);
  return [session?.turn?.messageId ?? null, ...(session?.queue.map(({ messageId }) => messageId) ?? [])];
}

/** The texts of the messages that began a turn, or joined one. */
async function begun({ b }: Schedule, ref: SessionRef): Promise<readonly string[]> {
  return (await b.readEntries(ref, { limit: 100 })).flatMap((entry) => (entry.kind === 'user-message' ? entry.parts.map((part) => (part.type === 'text' ? part.text : '')) : []));
}

const settles = (schedule: Schedule, work: InWork) => ['a', () => schedule.settle(schedule.a, work)] as const;
const sends = (schedule: Schedule, { ref }: { readonly ref: SessionRef }, rest: Parameters<Schedule['send']>[3] = {}) => ['b', () => schedule.send(schedule.b, ref, 'late', { messageId: 'msg_late', ...rest })] as const;

const queues: readonly PostgresSchedule[] = [
  {
    name: 'of the 20th and the 21st message, sent from two processes at once, one is refused',
    run: async (schedule) => {
      const work = await queued(schedule, ...Array.from({ length: limits.queueMessagesMax - 1 }, (_, place) => `msg_${place}`));
      const results = await schedule.inLine(work.ref, ['a', () => schedule.send(schedule.a, work.ref, 'the 20th')], ['b', () => schedule.send(schedule.b, work.ref, 'the 21st')]);
      expect(results.map(came)).toEqual(['committed', 'queue_full']);
      expect((await schedule.b.readSession(work.ref))?.queue.length).toBe(limits.queueMessagesMax);
    },
  },
  {
    name: 'a message that is queued just before the turn ends is started by its end',
    run: async (schedule) => {
      const work = await queued(schedule);
      expect((await schedule.inLine(work.ref, sends(schedule, work), settles(schedule, work))).map(came)).toEqual(['committed', 'committed']);
      expect(await running(schedule, work.ref)).toEqual(['msg_late']);
    },
  },
  {
    name: 'a message that is sent just after the turn ended starts its own',
    run: async (schedule) => {
      const work = await queued(schedule);
      const [settled, sent] = await schedule.inLine(work.ref, settles(schedule, work), sends(schedule, work));
      expect([came(settled), sent.kind === 'committed' && sent.reply.reply.queued]).toEqual(['committed', false]);
      expect(await running(schedule, work.ref)).toEqual(['msg_late']);
    },
  },
  {
    name: 'a message that steers just before the turn would end joins it',
    run: async (schedule) => {
      const work = await queued(schedule);
      expect((await schedule.inLine(work.ref, sends(schedule, work, { whenBusy: 'steer' }), settles(schedule, work))).map(came)).toEqual(['committed', 'committed']);
      expect([(await schedule.b.readSession(work.ref))?.turn?.id, await begun(schedule, work.ref)]).toEqual([work.session.turn?.id, ['hello', 'late']]);
    },
  },
  {
    name: 'a message that would steer just after the turn ended opens its own',
    run: async (schedule) => {
      const work = await queued(schedule);
      expect((await schedule.inLine(work.ref, settles(schedule, work), sends(schedule, work, { whenBusy: 'steer' }))).map(came)).toEqual(['committed', 'committed']);
      expect(await running(schedule, work.ref)).toEqual(['msg_late']);
    },
  },
  ...([
    { what: 'edit', accept: acceptQueueEdit('msg_1', { parts: [{ type: 'text', text: 'edited' }] }), before: ['committed', 'edited'], after: ['message_not_found', 'msg_1'] },
    { what: 'deletion', accept: acceptQueueDelete('msg_1'), before: ['committed', 'msg_2'], after: ['message_not_found', 'msg_1'] },
    { what: 'promotion', accept: acceptQueuePromote('msg_2'), before: ['committed', 'msg_2'], after: ['committed', 'msg_1'] },
    { what: 'hold', accept: acceptQueueHold(), before: ['committed', undefined], after: ['committed', 'msg_1'] },
  ]).flatMap(({ what, accept, before, after }): readonly PostgresSchedule[] => {
    const changes = (schedule: Schedule, { ref }: InWork) => ['b', () => schedule.command(schedule.b, ref, accept)] as const;
    return [
      {
        name: `a queue's ${what} just before the turn ends counts for what it starts`,
        run: async (schedule) => {
          const work = await queued(schedule, 'msg_1', 'msg_2');
          const [changed, settled] = await schedule.inLine(work.ref, changes(schedule, work), settles(schedule, work));
          expect([came(settled), came(changed), (await begun(schedule, work.ref))[1]]).toEqual(['committed', ...before]);
        },
      },
      {
        name: `a queue's ${what} just after the turn ended finds what has started`,
        run: async (schedule) => {
          const work = await queued(schedule, 'msg_1', 'msg_2');
          const [settled, changed] = await schedule.inLine(work.ref, settles(schedule, work), changes(schedule, work));
          expect([came(settled), came(changed), (await begun(schedule, work.ref))[1]]).toEqual(['committed', ...after]);
        },
      },
    ];
  }),
  {
    name: 'a queue that is let go and a message that is sent at once: the queue is first, and nothing waits for nobody',
    run: async (schedule) => {
      const work = await queued(schedule, 'msg_1');
      await schedule.command(schedule.a, work.ref, acceptQueueHold());
      await schedule.settle(schedule.a, work);
      expect((await schedule.inLine(work.ref, ['a', () => schedule.command(schedule.a, work.ref, acceptQueueRelease())], sends(schedule, work))).map(came)).toEqual(['committed', 'committed']);
      expect(await running(schedule, work.ref)).toEqual(['msg_1', 'msg_late']);
    },
  },
  {
    name: 'a message that is sent before its queue is let go runs first, and the queue goes on after it',
    run: async (schedule) => {
      const work = await queued(schedule, 'msg_1');
      await schedule.command(schedule.a, work.ref, acceptQueueHold());
      await schedule.settle(schedule.a, work);
      expect((await schedule.inLine(work.ref, sends(schedule, work), ['a', () => schedule.command(schedule.a, work.ref, acceptQueueRelease())])).map(came)).toEqual(['committed', 'committed']);
      expect([await running(schedule, work.ref), (await schedule.b.readSession(work.ref))?.queueHeld]).toEqual([['msg_late', 'msg_1'], false]);
    },
  },
];

/** A session at rest. */
async function resting({ kit }: Schedule, options: NewSessionOptions = {}): Promise<{ readonly ref: SessionRef; readonly revision: number }> {
  const { tenant, id, revision } = await kit.create(options);
  return { ref: { tenant, id }, revision };
}

const bothSend = (schedule: Schedule, ref: SessionRef, rest: Parameters<Schedule['send']>[3], another: Parameters<Schedule['send']>[3] = rest) => schedule.inLine(ref, ['a', () => schedule.send(schedule.a, ref, 'once', { ...rest })], ['b', () => schedule.send(schedule.b, ref, 'once', { ...another })]);

const keys: readonly PostgresSchedule[] = [
  {
    name: 'of two messages that name one revision one is accepted',
    run: async (schedule) => {
      const { ref, revision } = await resting(schedule);
      expect((await bothSend(schedule, ref, { expectedRevision: revision })).map(came)).toEqual(['committed', 'revision_conflict']);
      expect(await begun(schedule, ref)).toEqual(['once']);
    },
  },
  {
    name: 'one key from two processes at once has one effect, and both get its reply',
    run: async (schedule) => {
      const { ref } = await resting(schedule);
      const [first, second] = await bothSend(schedule, ref, { idempotency: [schedule.kit.key('k')] });
      expect([first, second].map(came)).toEqual(['committed', 'replayed']);
      expect(second.kind === 'replayed' && second.reply).toEqual(first.kind === 'committed' && first.reply.reply);
      expect(await begun(schedule, ref)).toEqual(['once']);
    },
  },
  {
    name: 'one key with two bodies from two processes at once: the second is refused',
    run: async (schedule) => {
      const { ref } = await resting(schedule);
      const { kit } = schedule;
      expect((await bothSend(schedule, ref, { idempotency: [kit.key('k')] }, { idempotency: [kit.key('k', { fingerprint: 'body-2' })] })).map(came)).toEqual(['committed', 'idempotency_mismatch']);
    },
  },
  {
    name: 'one message id from two processes at once is one message',
    run: async (schedule) => {
      const { ref } = await resting(schedule);
      const rest = { messageId: 'msg_own', idempotency: [schedule.kit.key('message msg_own', { expiresAtMs: null })] };
      expect((await bothSend(schedule, ref, rest)).map(came)).toEqual(['committed', 'replayed']);
    },
  },
  {
    name: 'one message id under two keys from two processes at once: the second is refused',
    run: async (schedule) => {
      const { ref } = await resting(schedule);
      const { kit } = schedule;
      const under = (key: string) => ({ messageId: 'msg_own', idempotency: [kit.key(key), kit.key('message msg_own', { expiresAtMs: null, replays: false })] });
      expect((await bothSend(schedule, ref, under('k1'), under('k2'))).map(came)).toEqual(['committed', 'idempotency_mismatch']);
    },
  },
  {
    name: 'a key is known before the revision and the status are looked at, whoever has moved them meanwhile',
    run: async (schedule) => {
      const { ref, revision } = await resting(schedule);
      const rest = { idempotency: [schedule.kit.key('k')], expectedRevision: revision, whenBusy: 'reject' as const };
      expect((await bothSend(schedule, ref, rest)).map(came)).toEqual(['committed', 'replayed']);
    },
  },
];

/** Two processes create at once: both have looked and found nothing before either writes. */
async function bothCreate(schedule: Schedule, options: NewSessionOptions, another: NewSessionOptions = options): Promise<readonly { readonly kind: string; readonly session?: { readonly id: string }; readonly reply?: unknown }[]> {
  const lock = await schedule.hold('LOCK TABLE {schema}.session IN SHARE MODE');
  const create = (store: Store, given: NewSessionOptions) => () => schedule.kit.createResult({ text: 'hello', ...given }, store);
  return schedule.inLine({ tenant: 'acme', id: 'none' }, ['a', create(schedule.a, options)], ['b', create(schedule.b, another)], lock);
}

async function sessions({ b }: Schedule): Promise<number | null> {
  return (await b.listSessions({ tenant: 'acme', limit: 10, count: true })).count;
}

const creations: readonly PostgresSchedule[] = [
  {
    name: 'one external id created from two processes at once is one session, which both are given',
    run: async (schedule) => {
      const results = await bothCreate(schedule, { externalId: 'crm-1' });
      expect(results.map(came).toSorted()).toEqual(['created', 'exists']);
      expect([results[0]?.session?.id, await sessions(schedule)]).toEqual([results[1]?.session?.id, 1]);
    },
  },
  {
    name: 'one external id created for two owners at once is two sessions',
    run: async (schedule) => {
      expect((await bothCreate(schedule, { externalId: 'crm-1' }, { externalId: 'crm-1', owner: 'bob' })).map(came)).toEqual(['created', 'created']);
      expect(await sessions(schedule)).toBe(2);
    },
  },
  {
    name: 'one key of two creations at once makes one session',
    run: async (schedule) => {
      expect((await bothCreate(schedule, { idempotency: [schedule.kit.key('k')] })).map(came).toSorted()).toEqual(['created', 'replayed']);
      expect(await sessions(schedule)).toBe(1);
    },
  },
  {
    name: 'one key of two creations with two bodies at once: the second is refused and creates nothing',
    run: async (schedule) => {
      const { kit } = schedule;
      expect((await bothCreate(schedule, { idempotency: [kit.key('k')] }, { idempotency: [kit.key('k', { fingerprint: 'body-2' })] })).map(came).toSorted()).toEqual(['created', 'idempotency_mismatch']);
      expect(await sessions(schedule)).toBe(1);
    },
  },
  {
    name: 'one external id under two keys at once is one session',
    run: async (schedule) => {
      const { kit } = schedule;
      expect((await bothCreate(schedule, { externalId: 'crm-1', idempotency: [kit.key('k1')] }, { externalId: 'crm-1', idempotency: [kit.key('k2')] })).map(came).toSorted()).toEqual(['created', 'exists']);
      expect(await sessions(schedule)).toBe(1);
    },
  },
];

testSchedules('messages, keys and creations on Postgres', [...queues, ...keys, ...creations]);
