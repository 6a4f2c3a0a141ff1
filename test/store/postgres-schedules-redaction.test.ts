import { expect } from 'vitest';
import { acceptTransfer } from '../../src/core/accept/transfer.ts';
import { redact } from '../../src/commands/redact.ts';
import { transferSession } from '../../src/commands/transfer.ts';
import { allowCompletion, completeOperation, reportProgress } from '../../src/core/operation-transitions.ts';
import { callPart, doneResult, touching, type InWork } from '../../src/store/conformance/kit.ts';
import { changeOperation, finishOperation, runOperation, settling, startOperation, tryOperation, type RunningOperation } from '../../src/store/conformance/operation-kit.ts';
import type { SessionRef, Store } from '../../src/store/store.ts';
import { answered, asking, hostOf, placesOf, rewinds, working } from '../support/postgres-schedule-history.ts';
import { came, testSchedules, type PostgresSchedule, type Schedule } from '../support/postgres-schedule-kit.ts';

type Came = { readonly kind: string };

/** The command on a process, as what it comes to. */
const redacts = (schedule: Schedule, store: Store, { id }: SessionRef, seq: number) => async (): Promise<Came> => ({ kind: answered(await redact(hostOf(schedule, store), id, { seq }, asking())) });

/** The seq of the session's last entry of this kind. */
async function seqOf({ b }: Schedule, ref: SessionRef, kind: string): Promise<number> {
  return (await b.readEntries(ref, { limit: 100 })).findLast((entry) => entry.kind === kind)?.seq ?? 0;
}

/** A redaction on the gated store, held when it has read what it removes and is about to change the session, while `meanwhile` happens. */
async function redactAround(schedule: Schedule, ref: SessionRef, seq: number, meanwhile: () => Promise<unknown>): Promise<string> {
  const { store, gate } = await schedule.gated();
  const caught = gate.next(/_lockSession\n/);
  const redacted = redacts(schedule, store, ref, seq)();
  await caught.reached;
  await meanwhile();
  caught.pass();
  return came(await redacted);
}

/** A session in work with a message that waits: its entry. */
async function waiting(schedule: Schedule, whenBusy: 'queue' | 'steer'): Promise<{ readonly work: InWork; readonly seq: number }> {
  const work = await schedule.kit.inWork();
  await schedule.send(schedule.a, work.ref, 'a secret', { whenBusy });
  return { work, seq: await seqOf(schedule, work.ref, 'message-queued') };
}

const messages: readonly PostgresSchedule[] = [
  {
    name: 'a redaction of a message that waits, whose turn begins and ends before the session is changed, does not leave its copy',
    run: async (schedule) => {
      const { work, seq } = await waiting(schedule, 'queue');
      const result = await redactAround(schedule, work.ref, seq, async () => {
        const begun = await schedule.kit.settle(work, [{ type: 'text', text: 'answered' }]);
        await schedule.kit.settle(schedule.kit.next(work, begun), [{ type: 'text', text: 'answered too' }]);
      });
      expect(result).toBe('session_busy');
      expect([came(await redacts(schedule, schedule.b, work.ref, seq)()), await placesOf(schedule, 'a secret')]).toEqual(['done', []]);
    },
  },
  {
    name: 'a redaction of a message that steers, and joins the turn before the session is changed, does not leave its copy',
    run: async (schedule) => {
      const { work, seq } = await waiting(schedule, 'steer');
      expect(await redactAround(schedule, work.ref, seq, () => schedule.settle(schedule.a, work))).toBe('session_busy');
      await schedule.stop(schedule.a, work.ref);
      expect([came(await redacts(schedule, schedule.b, work.ref, seq)()), await placesOf(schedule, 'a secret')]).toEqual(['done', []]);
    },
  },
  {
    name: 'of two redactions of one entry the second has nothing to remove, and the tombstone names the first',
    run: async (schedule) => {
      const { work, seq } = await waiting(schedule, 'queue');
      await schedule.stop(schedule.a, work.ref);
      await schedule.stop(schedule.a, work.ref);
      const lock = await schedule.holdSession(work.ref);
      const begun = redact(hostOf(schedule, schedule.a), work.ref.id, { seq }, asking());
      await schedule.waits('a');
      const follows = redact(hostOf(schedule, schedule.b), work.ref.id, { seq }, asking());
      await schedule.waits('b');
      await lock.release();
      const [first, second] = await Promise.all([begun, follows]);
      expect(['reply' in first && first.reply.redacted, 'reply' in second && second.reply.redacted]).toEqual([true, false]);
      expect((await schedule.kinds(work.ref)).filter((kind) => kind === 'entry-redacted')).toHaveLength(2);
      expect(await placesOf(schedule, 'a secret')).toEqual([]);
    },
  },
  {
    name: 'a redaction of what a rewind has just cut off removes it there',
    run: async (schedule) => {
      const work = await working(schedule);
      await schedule.settle(schedule.a, work, [{ type: 'text', text: 'a secret' }]);
      const seq = await seqOf(schedule, work.ref, 'assistant-step');
      expect((await schedule.inLine<Came, Came>(work.ref, ['a', () => rewinds(schedule, schedule.a, work.ref, work.turnIds[0])], ['b', redacts(schedule, schedule.b, work.ref, seq)])).map(came)).toEqual(['committed', 'done']);
      expect(await placesOf(schedule, 'a secret')).toEqual([]);
    },
  },
  ...(['before', 'after'] as const).map((when): PostgresSchedule => ({
    name: `a redaction of an earlier turn just ${when} a step lands with it`,
    run: async (schedule) => {
      const work = await working(schedule);
      const redaction = ['b', redacts(schedule, schedule.b, work.ref, await seqOf(schedule, work.ref, 'assistant-step'))] as const;
      const step = ['a', () => schedule.settle(schedule.a, work)] as const;
      const results = when === 'before' ? await schedule.inLine<Came, Came>(work.ref, redaction, step) : await schedule.inLine<Came, Came>(work.ref, step, redaction);
      expect([results.map(came).toSorted(), await placesOf(schedule, 'answer 2'), (await placesOf(schedule, 'whole answer')).length]).toEqual([['committed', 'done'], [], 1]);
    },
  })),
  ...(['before', 'after'] as const).map((when): PostgresSchedule => ({
    name: `a redaction just ${when} the deletion of its session ${when === 'before' ? 'goes with it' : 'finds none'}`,
    run: async (schedule) => {
      const work = await working(schedule);
      const redaction = ['b', redacts(schedule, schedule.b, work.ref, await seqOf(schedule, work.ref, 'assistant-step'))] as const;
      const deletion = ['a', () => schedule.delete(schedule.a, work.ref)] as const;
      const results = when === 'before' ? await schedule.inLine<Came, Came>(work.ref, redaction, deletion) : await schedule.inLine<Came, Came>(work.ref, deletion, redaction);
      expect(results.map(came)).toEqual(when === 'before' ? ['done', 'committed'] : ['committed', 'session_not_found']);
    },
  })),
];

/** A session whose detached operation has ended, with a result that the model has not been given yet, and the generation in work. */
async function undelivered(schedule: Schedule): Promise<InWork & { readonly operationId: string; readonly endedSeq: number }> {
  const { kit } = schedule;
  const { work, operation } = await startOperation(kit, { mode: 'detach' });
  const { session } = await finishOperation(kit, operation, doneResult(0, 'look', 'a secret'));
  if (session === null) expect.fail('the session hears of its operation');
  return { ...kit.next(work, session), operationId: operation.id, endedSeq: await seqOf(schedule, work.ref, 'operation-ended') };
}

/** A step with one call, dispatched, of a session whose first message is over. */
async function paying(schedule: Schedule): Promise<InWork & { readonly stepSeq: number }> {
  const work = await working(schedule);
  const session = await schedule.kit.settle(work, [callPart(0, 'pay'), callPart(1, 'pay')], 'tool-calls');
  return { ...work, session, stepSeq: session.turn?.lastStep?.seq ?? 0 };
}

const stores = ({ a }: Schedule, { ref, lease, stepSeq }: InWork & { readonly stepSeq: number }) => ['a', async () => ({ kind: await a.storeOutcomeIfHeld({ ref, fence: lease.fence, stepSeq, result: doneResult(0, 'pay') }) })] as const;

/** An operation in work that its turn does not wait for, and that somebody outside may end too. */
async function running(schedule: Schedule, mode: 'await' | 'detach'): Promise<RunningOperation & { readonly ref: SessionRef }> {
  const { work, operation } = await startOperation(schedule.kit, { mode });
  const begun = await runOperation(schedule.kit, operation);
  await changeOperation(schedule.kit, operation, allowCompletion(begun.lease, 'hash of a token', schedule.kit.nowMs));
  return { ...begun, ref: work.ref };
}

type Running = RunningOperation & { readonly ref: SessionRef };
const ends = ({ kit, a }: Schedule, { operation, lease }: Running) => ['a', () => tryOperation(kit, operation, settling(kit, { operation, lease }), { session: true }, a)] as const;

const results: readonly PostgresSchedule[] = [
  {
    name: 'a redaction of an operation\'s result just before a step gives it to the model: the model is given a tombstone',
    run: async (schedule) => {
      const work = await undelivered(schedule);
      expect((await schedule.inLine<Came, Came>(work.ref, ['b', redacts(schedule, schedule.b, work.ref, work.endedSeq)], ['a', () => schedule.settle(schedule.a, work)])).map(came)).toEqual(['done', 'committed']);
      expect([(await schedule.kinds(work.ref)).at(-1), await placesOf(schedule, 'a secret')]).toEqual(['operation-result', []]);
    },
  },
  {
    name: 'a redaction of an operation\'s result just after a step gave it to the model is refused while the running turn has it in use, and then removes it everywhere',
    run: async (schedule) => {
      const work = await undelivered(schedule);
      expect((await schedule.inLine<Came, Came>(work.ref, ['a', () => schedule.settle(schedule.a, work)], ['b', redacts(schedule, schedule.b, work.ref, work.endedSeq)])).map(came)).toEqual(['committed', 'session_busy']);
      expect((await placesOf(schedule, 'a secret')).toSorted()).toEqual(['entry', 'entry', 'operation']);
      await schedule.stop(schedule.a, work.ref);
      expect([came(await redacts(schedule, schedule.b, work.ref, work.endedSeq)()), await placesOf(schedule, 'a secret')]).toEqual(['done', []]);
    },
  },
  ...(['before', 'after'] as const).map((when): PostgresSchedule => ({
    name: `a redaction just ${when} an outcome is stored ahead of its step keeps nothing of the running turn from landing`,
    run: async (schedule) => {
      const work = await paying(schedule);
      const redaction = ['b', redacts(schedule, schedule.b, work.ref, 2)] as const;
      const done = when === 'before' ? await schedule.inLine<Came, Came>(work.ref, redaction, stores(schedule, work)) : await schedule.inLine<Came, Came>(work.ref, stores(schedule, work), redaction);
      expect([done.map(came).toSorted(), (await schedule.query('SELECT * FROM {schema}.outcome')).length, await placesOf(schedule, 'message 1')]).toEqual([['done', 'stored'], 1, []]);
    },
  })),
  {
    name: 'a redaction of the running turn\'s step is refused, and its outcome is stored',
    run: async (schedule) => {
      const work = await paying(schedule);
      expect(await redactAround(schedule, work.ref, work.stepSeq, async () => expect(came(await stores(schedule, work)[1]())).toBe('stored'))).toBe('session_busy');
    },
  },
  {
    name: 'a redaction of what an operation comes to, before it has come to it, finds no such entry',
    run: async (schedule) => {
      const operation = await running(schedule, 'detach');
      const seq = ((await schedule.b.readSession(operation.ref))?.lastSeq ?? 0) + 1;
      expect(came(await redacts(schedule, schedule.b, operation.ref, seq)())).toBe('invalid_request');
      expect(came(await ends(schedule, operation)[1]())).toBe('committed');
    },
  },
  ...(['before', 'after'] as const).map((when): PostgresSchedule => ({
    name: `a redaction of an operation's result just ${when} it is completed a second time from outside leaves nothing of it`,
    run: async (schedule) => {
      const { kit, a } = schedule;
      const operation = await running(schedule, 'detach');
      await changeOperation(kit, operation.operation, settling(kit, operation, doneResult(0, 'look', 'a secret')), { session: true });
      const redaction = ['b', redacts(schedule, schedule.b, operation.ref, await seqOf(schedule, operation.ref, 'operation-ended'))] as const;
      const completion = ['a', () => tryOperation(kit, operation.operation, completeOperation('hash of a token', doneResult(0, 'look', 'a secret'), kit.circumstances), { session: true }, a)] as const;
      const done = when === 'before' ? await schedule.inLine<Came, Came>(operation.ref, redaction, completion) : await schedule.inLine<Came, Came>(operation.ref, completion, redaction);
      expect([done.map(came).toSorted(), await placesOf(schedule, 'a secret')]).toEqual([['committed', 'done'], []]);
    },
  })),
];

const gives = (schedule: Schedule, ref: SessionRef) => ['b', () => schedule.command(schedule.b, ref, acceptTransfer('bob'))] as const;

/** Whose the session is, and whose each of its operations, by the columns and by what the rows say. */
async function owners(schedule: Schedule): Promise<readonly unknown[]> {
  const rows = await schedule.query("SELECT owner, body::json ->> 'owner' AS said FROM {schema}.session UNION ALL SELECT owner, body::json ->> 'owner' FROM {schema}.operation");
  return rows.flatMap(({ owner, said }) => [owner, said]);
}

const bobs = ['bob', 'bob', 'bob', 'bob'];

const transfers: readonly PostgresSchedule[] = [
  ...(['before', 'after'] as const).flatMap((when): readonly PostgresSchedule[] => [
    {
      name: `a session that is given away just ${when} its step starts an operation goes with it`,
      run: async (schedule) => {
        const work = await schedule.kit.inWork();
        const step = ['a', () => schedule.settle(schedule.a, work, [callPart(0, 'look', { operation: { mode: 'await', key: 'index' } })], 'tool-calls')] as const;
        const done = when === 'before' ? await schedule.inLine<Came, Came>(work.ref, gives(schedule, work.ref), step) : await schedule.inLine<Came, Came>(work.ref, step, gives(schedule, work.ref));
        expect([done.map(came), await owners(schedule)]).toEqual([['committed', 'committed'], bobs]);
      },
    },
    ...(['await', 'detach'] as const).map((mode): PostgresSchedule => ({
      name: `a session that is given away just ${when} an operation ends (${mode}): its end lands, and it is the new owner's`,
      run: async (schedule) => {
        const operation = await running(schedule, mode);
        const done = when === 'before' ? await schedule.inLine<Came, Came>(operation.ref, gives(schedule, operation.ref), ends(schedule, operation)) : await schedule.inLine<Came, Came>(operation.ref, ends(schedule, operation), gives(schedule, operation.ref));
        expect([done.map(came), (await schedule.b.readOperation({ tenant: operation.ref.tenant, id: operation.operation.id }))?.status, await owners(schedule)]).toEqual([['committed', 'committed'], 'succeeded', bobs]);
      },
    })),
    {
      name: `a session that is given away just ${when} its operation makes progress: the progress stays, and is the new owner's`,
      run: async (schedule) => {
        const { kit, a } = schedule;
        const operation = await running(schedule, 'await');
        const progress = ['a', () => tryOperation(kit, operation.operation, reportProgress(operation.lease, { fraction: 0.5, atMs: kit.nowMs }), {}, a)] as const;
        const lock = await schedule.hold('SELECT 1 FROM {schema}.operation FOR UPDATE');
        const done = when === 'before' ? await schedule.inLine<Came, Came>(operation.ref, gives(schedule, operation.ref), progress, lock) : await schedule.inLine<Came, Came>(operation.ref, progress, gives(schedule, operation.ref), lock);
        expect([done.map(came), (await schedule.b.readOperation({ tenant: operation.ref.tenant, id: operation.operation.id }))?.progress?.fraction, await owners(schedule)]).toEqual([['committed', 'committed'], 0.5, bobs]);
      },
    },
  ]),
  {
    name: 'of two who are given a session at once the second has it',
    run: async (schedule) => {
      const { work } = await startOperation(schedule.kit);
      const toEve = ['a', () => schedule.command(schedule.a, work.ref, acceptTransfer('eve'))] as const;
      expect((await schedule.inLine<Came, Came>(work.ref, toEve, gives(schedule, work.ref))).map(came)).toEqual(['committed', 'committed']);
      expect(await owners(schedule)).toEqual(bobs);
    },
  },
  {
    name: 'a title from the old owner just after the session was given away finds none',
    run: async (schedule) => {
      const { ref } = await schedule.kit.inWork();
      const late = ['a', () => schedule.a.update({ key: { ...ref, owner: 'ada' }, transition: touching('late', schedule.kit.nowMs) })] as const;
      expect((await schedule.inLine<Came, Came>(ref, gives(schedule, ref), late)).map(came)).toEqual(['committed', 'session_not_found']);
    },
  },
  {
    name: 'a session that is given to somebody who just got one of the same external id stays with its owner',
    run: async (schedule) => {
      const { store, gate } = await schedule.gated();
      const { work } = await startOperation(schedule.kit, { externalId: 'crm-1' });
      const caught = gate.next(/_lockSession\n/);
      const given = transferSession(hostOf(schedule, store), work.ref.id, { owner: 'bob' }, asking());
      await caught.reached;
      expect(came(await schedule.kit.createResult({ owner: 'bob', externalId: 'crm-1' }, schedule.b))).toBe('created');
      caught.pass();
      expect([answered(await given), (await schedule.b.readSession(work.ref))?.owner]).toEqual(['external_id_taken', 'ada']);
    },
  },
  {
    name: 'a creation under the external id of a session that its owner is just given finds that one',
    run: async (schedule) => {
      const { store, gate } = await schedule.gated();
      const { work } = await startOperation(schedule.kit, { externalId: 'crm-1' });
      const caught = gate.next(/^\nCOMMIT/);
      const given = transferSession(hostOf(schedule, store), work.ref.id, { owner: 'bob' }, asking());
      await caught.reached;
      const created = schedule.kit.createResult({ owner: 'bob', externalId: 'crm-1' }, schedule.b);
      await schedule.waits('b');
      caught.pass();
      expect([answered(await given), came(await created), await owners(schedule)]).toEqual(['done', 'exists', bobs]);
    },
  },
];

const lost = ([
  { verb: 'a redaction', kind: 'entry-redacted', begin: async (schedule: Schedule, store: Store, { ref, endedSeq }: Awaited<ReturnType<typeof undelivered>>) => redacts(schedule, store, ref, endedSeq)(), once: 'done' },
  { verb: 'a session given away', kind: 'owner-changed', begin: async (schedule: Schedule, store: Store, { ref }: { readonly ref: SessionRef }) => schedule.command(store, ref, acceptTransfer('bob')), once: 'committed' },
]).flatMap(({ verb, kind, begin, once }) => ([['loseReply', 'whose reply is lost has landed, and is not made again'], ['lose', 'that is lost on its way to the server is made again']] as const).map(([fault, what]): PostgresSchedule => ({
  name: `${verb} ${what}`,
  run: async (schedule) => {
    const { store, gate } = await schedule.gated();
    const work = await undelivered(schedule);
    const caught = gate.next(/^\nCOMMIT/);
    const changed = begin(schedule, store, work);
    await caught.reached;
    caught[fault]();
    expect([came(await changed), (await schedule.kinds(work.ref)).filter((each) => each === kind).length]).toEqual([once, 1]);
  },
})));

testSchedules('redactions on Postgres', [...messages, ...results]);
testSchedules('sessions given to another owner on Postgres', transfers);
testSchedules('redactions and new owners whose reply is lost on Postgres', lost);
