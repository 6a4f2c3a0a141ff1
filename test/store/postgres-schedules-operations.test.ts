import { expect } from 'vitest';
import { acceptEnd } from '../../src/core/accept/end.ts';
import { acceptResolve, type GivenAnswer } from '../../src/core/accept/resolve.ts';
import { acceptTransition } from '../../src/core/accept/transition.ts';
import type { CallNeed } from '../../src/core/action.ts';
import { allowCompletion, cancelOperation, claimOperation, completeOperation, reportProgress } from '../../src/core/operation-transitions.ts';
import { settleCalls } from '../../src/core/settle.ts';
import { callPart, doneResult, suiteRules, type InWork } from '../../src/store/conformance/kit.ts';
import { changeOperation, runOperation, settling, startOperation, tryOperation, type RunningOperation } from '../../src/store/conformance/operation-kit.ts';
import type { SessionRef, Store } from '../../src/store/store.ts';
import { came, testSchedules, type PostgresSchedule, type Schedule } from '../support/postgres-schedule-kit.ts';

type Asking = InWork & { readonly stepSeq: number; readonly actionId: string };

/** A session whose step asks for the approval of its one call. */
async function asking(schedule: Schedule, need: Partial<CallNeed> = {}): Promise<Asking> {
  const work = await schedule.kit.inWork();
  const session = await schedule.kit.settle(work, [callPart(0, 'pay', { needs: { type: 'approval', ...need }, inputHash: 'hash' })], 'tool-calls');
  return { ...work, session, stepSeq: session.turn?.lastStep?.seq ?? 0, actionId: session.turn?.actions[0]?.id ?? '' };
}

/** An answer as of now, whenever it is given. */
function answers(schedule: Schedule, store: Store, { ref, actionId }: Asking, answer: GivenAnswer['answer']): () => Promise<{ readonly kind: string }> {
  const transition = acceptTransition(acceptResolve({ answers: [{ actionId, answer, fingerprint: JSON.stringify(answer) }], by: 'ada', roles: [] }), schedule.circumstances);
  return () => store.update({ key: ref, transition, reads: { outcomes: true } });
}

const stops = (schedule: Schedule, { ref }: { readonly ref: SessionRef }) => ['b', () => schedule.stop(schedule.b, ref)] as const;

/** The end of a session that waits: there is no live output to read. */
const endsSession = (schedule: Schedule, { ref }: { readonly ref: SessionRef }) => ['b', () => schedule.command(schedule.b, ref, acceptEnd({ stop: true }), { reads: { outcomes: true } })] as const;

const actions: readonly PostgresSchedule[] = [
  {
    name: 'one answer given twice at once is one decision, and both hear of it',
    run: async (schedule) => {
      const asked = await asking(schedule);
      expect((await schedule.inLine(asked.ref, ['a', answers(schedule, schedule.a, asked, { type: 'approve' })], ['b', answers(schedule, schedule.b, asked, { type: 'approve' })])).map(came)).toEqual(['committed', 'committed']);
      expect((await schedule.kinds(asked.ref)).filter((kind) => kind === 'action-resolved')).toHaveLength(1);
    },
  },
  {
    name: 'of two answers given at once the second is refused',
    run: async (schedule) => {
      const asked = await asking(schedule);
      expect((await schedule.inLine(asked.ref, ['a', answers(schedule, schedule.a, asked, { type: 'approve' })], ['b', answers(schedule, schedule.b, asked, { type: 'deny' })])).map(came)).toEqual(['committed', 'action_decided']);
    },
  },
  {
    name: 'an answer just before its expiry counts, though a worker has come to expire it',
    run: async (schedule) => {
      const asked = await asking(schedule, { expiresAfterMs: 1_000 });
      const answer = answers(schedule, schedule.a, asked, { type: 'approve' });
      const [answered, claimed] = await schedule.inLine(asked.ref, ['a', answer], ['b', () => {
        schedule.kit.nowMs += 1_000;
        return schedule.claim(schedule.b, asked.ref, 'wrk_b');
      }]);
      expect([came(answered), claimed.kind === 'committed' && claimed.reply.work?.kind]).toEqual(['committed', 'run-calls']);
    },
  },
  {
    name: 'an answer after a worker has expired its action is refused',
    run: async (schedule) => {
      const asked = await asking(schedule, { expiresAfterMs: 1_000 });
      const answer = answers(schedule, schedule.a, asked, { type: 'approve' });
      schedule.kit.nowMs += 1_000;
      const [claimed, answered] = await schedule.inLine(asked.ref, ['b', () => schedule.claim(schedule.b, asked.ref, 'wrk_b')], ['a', answer]);
      expect(came(claimed)).toBe('committed');
      expect(['action_not_found', 'action_expired']).toContain(came(answered));
    },
  },
  {
    name: 'an answer before a stop: the call that it let run is stopped',
    run: async (schedule) => {
      const asked = await asking(schedule);
      expect((await schedule.inLine(asked.ref, ['a', answers(schedule, schedule.a, asked, { type: 'approve' })], stops(schedule, asked))).map(came)).toEqual(['committed', 'committed']);
      expect((await schedule.kinds(asked.ref)).slice(-2)).toEqual(['tool-results', 'turn-ended']);
    },
  },
  {
    name: 'a stop before an answer: there is nothing to answer',
    run: async (schedule) => {
      const asked = await asking(schedule);
      expect((await schedule.inLine(asked.ref, stops(schedule, asked), ['a', answers(schedule, schedule.a, asked, { type: 'approve' })])).map(came)).toEqual(['committed', 'action_not_found']);
    },
  },
];

async function runningOperation(schedule: Schedule): Promise<RunningOperation & { readonly ref: SessionRef }> {
  const { work, operation } = await startOperation(schedule.kit);
  const running = await runOperation(schedule.kit, operation);
  await changeOperation(schedule.kit, operation, allowCompletion(running.lease, 'hash of a token', schedule.kit.nowMs));
  return { ...running, ref: work.ref };
}

type Running = RunningOperation & { readonly ref: SessionRef };
const ends = ({ kit, a }: Schedule, running: Running) => ['a', () => tryOperation(kit, running.operation, settling(kit, running), { session: true }, a)] as const;
const completes = ({ kit, b }: Schedule, { operation }: Running) => ['b', () => tryOperation(kit, operation, completeOperation('hash of a token', doneResult(0, 'look', 'from outside'), kit.circumstances), { session: true }, b)] as const;
const cancels = ({ kit, b }: Schedule, { operation }: Running) => ['b', () => tryOperation(kit, operation, cancelOperation(kit.circumstances), { session: true }, b)] as const;

/** How an operation has ended, and how many entries say so. */
async function endOf({ b, kinds }: { readonly b: Store; readonly kinds: () => Promise<readonly string[]> }, { operation }: Running): Promise<readonly unknown[]> {
  return [(await b.readOperation(operation))?.status, (await kinds()).filter((kind) => kind === 'operation-ended').length];
}

/** Two that end an operation at once: in either order the first counts, is told of once, and the second does no harm. */
function eitherOrder(what: string, first: { readonly by: typeof ends | typeof cancels; readonly status: string }, second: { readonly by: typeof completes | typeof cancels | typeof stops | typeof endsSession; readonly status: string; readonly lost: string }): readonly PostgresSchedule[] {
  return [
    {
      name: `an operation's end before ${what}: the end counts`,
      run: async (schedule) => {
        const running = await runningOperation(schedule);
        const [ended] = await schedule.inLine<{ readonly kind: string }, { readonly kind: string }>(running.ref, first.by(schedule, running), second.by(schedule, running));
        expect([came(ended), await endOf({ b: schedule.b, kinds: () => schedule.kinds(running.ref) }, running)]).toEqual(['committed', [first.status, 1]]);
      },
    },
    {
      name: `${what} before the operation's end: its worker hears that it counts no more`,
      run: async (schedule) => {
        const running = await runningOperation(schedule);
        const [other, ended] = await schedule.inLine<{ readonly kind: string }, { readonly kind: string }>(running.ref, second.by(schedule, running), first.by(schedule, running));
        expect([came(other), came(ended), await endOf({ b: schedule.b, kinds: () => schedule.kinds(running.ref) }, running)]).toEqual(['committed', second.lost, [second.status, 1]]);
      },
    },
  ];
}

const operations: readonly PostgresSchedule[] = [
  ...eitherOrder('its cancellation', { by: ends, status: 'succeeded' }, { by: cancels, status: 'cancelled', lost: 'fence_lost' }),
  ...eitherOrder('its completion from outside', { by: ends, status: 'succeeded' }, { by: completes, status: 'succeeded', lost: 'fence_lost' }),
  ...eitherOrder('its session\'s end', { by: ends, status: 'succeeded' }, { by: endsSession, status: 'cancelled', lost: 'fence_lost' }),
  ...eitherOrder('its session\'s stop', { by: ends, status: 'succeeded' }, { by: stops, status: 'cancelled', lost: 'fence_lost' }),
  {
    name: 'of two sessions that start an operation under one key at once one starts it, and the other is told of it',
    run: async (schedule) => {
      const [first, second] = [await schedule.kit.inWork(), await schedule.kit.inWork()];
      const parts = [callPart(0, 'look', { operation: { mode: 'detach', key: 'index' } })];
      const lock = await schedule.holdSession(first.ref);
      const late = schedule.settle(schedule.a, first, parts, 'tool-calls');
      await schedule.waits('a');
      expect(came(await schedule.settle(schedule.b, second, parts, 'tool-calls'))).toBe('committed');
      await lock.release();
      expect(came(await late)).toBe('committed');
      const statuses = await Promise.all([first, second].map(async ({ ref }) => (await schedule.b.readEntries(ref, { limit: 100 })).flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ output }) => (output as { readonly status: string }).status) : []))));
      expect([statuses, (await schedule.query('SELECT count(*)::int AS live FROM {schema}.operation'))[0]?.['live']]).toEqual([[['in_progress'], ['started']], 1]);
    },
  },
  {
    name: 'of two claims of an operation one has it',
    run: async (schedule) => {
      const { work, operation } = await startOperation(schedule.kit);
      const claims = (store: Store, worker: string) => () => tryOperation(schedule.kit, operation, claimOperation(worker, () => false, suiteRules, schedule.circumstances), { session: true }, store);
      expect((await schedule.inLine(work.ref, ['a', claims(schedule.a, 'wrk_a')], ['b', claims(schedule.b, 'wrk_b')])).map(came)).toEqual(['committed', 'not_claimable']);
      expect(await schedule.b.findHeldOperations('wrk_b')).toEqual([]);
    },
  },
  ...(['before', 'after'] as const).map((when): PostgresSchedule => ({
    name: `an operation's progress just ${when} its end ${when === 'before' ? 'does not keep it from ending' : 'counts no more'}`,
    run: async (schedule) => {
      const { kit, b } = schedule;
      const running = await runningOperation(schedule);
      const progress = ['b', () => tryOperation(kit, running.operation, reportProgress(running.lease, { fraction: 0.5, atMs: kit.nowMs }), {}, b)] as const;
      const lock = await schedule.hold('SELECT 1 FROM {schema}.operation FOR UPDATE');
      const results = when === 'before' ? await schedule.inLine<{ readonly kind: string }, { readonly kind: string }>(running.ref, progress, ends(schedule, running), lock) : await schedule.inLine<{ readonly kind: string }, { readonly kind: string }>(running.ref, ends(schedule, running), progress, lock);
      expect(results.map(came)).toEqual(['committed', when === 'before' ? 'committed' : 'fence_lost']);
      expect((await b.readOperation(running.operation))?.status).toBe('succeeded');
    },
  })),
  {
    name: 'an outcome that is stored while the next claimant commits the calls\' results comes too late, and is not in them twice',
    run: async (schedule) => {
      const { kit, a, b } = schedule;
      const work = await kit.inWork();
      const session = await kit.settle(work, [callPart(0, 'look')], 'tool-calls');
      const stepSeq = session.turn?.lastStep?.seq ?? 0;
      const taken = await schedule.claim(b, work.ref, 'wrk_b', ['wrk_a']);
      if (taken.kind !== 'committed') expect.fail('taken over');
      const lease = { worker: 'wrk_b', fence: taken.reply.fence };
      const results = () => b.update({ key: work.ref, transition: settleCalls(lease, stepSeq, [doneResult(0, 'look', 'of B')], suiteRules, kit.circumstances), reads: { outcomes: true } });
      const early = () => a.storeOutcomeIfHeld({ ref: work.ref, fence: work.lease.fence, stepSeq, result: doneResult(0, 'look', 'of A') });
      const lock = await schedule.holdSession(work.ref);
      const committing = results();
      await schedule.waits('b');
      expect(await early()).toBe('fence-lost');
      await lock.release();
      expect(came(await committing)).toBe('committed');
      expect((await b.readEntries(work.ref, { limit: 100 })).flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ output }) => output) : []))).toEqual(['of B']);
    },
  },
];

/** What is done to a session while another process deletes it: what it comes to before the deletion, and after. */
interface BesideDeletion {
  readonly what: string;
  readonly prepare: (schedule: Schedule) => Promise<{ readonly ref: SessionRef; readonly verb: () => Promise<{ readonly kind: string } | 'stored' | 'fence-lost' | 'session-gone'> }>;
  readonly gone: string;
}

async function inWork(schedule: Schedule, verb: (work: InWork) => ReturnType<Awaited<ReturnType<BesideDeletion['prepare']>>['verb']>): ReturnType<BesideDeletion['prepare']> {
  const work = await schedule.kit.inWork();
  return { ref: work.ref, verb: () => verb(work) };
}

const operationStep = [callPart(0, 'look', { operation: { mode: 'await', key: 'index' } })];

const besideDeletion: readonly BesideDeletion[] = [
  { what: 'a step', prepare: (schedule) => inWork(schedule, (work) => schedule.settle(schedule.a, work)), gone: 'session_not_found' },
  { what: 'a piece of live output', prepare: (schedule) => inWork(schedule, (work) => schedule.chunk(schedule.a, work, 0, 0, 'late')), gone: 'fence-lost' },
  { what: 'an early outcome', prepare: (schedule) => inWork(schedule, ({ ref, lease }) => schedule.a.storeOutcomeIfHeld({ ref, fence: lease.fence, stepSeq: 3, result: doneResult(0, 'pay') })), gone: 'fence-lost' },
  { what: 'a whole result', prepare: (schedule) => inWork(schedule, ({ ref }) => schedule.a.storeWholeResult({ ref, id: 'res_1', body: '1' })), gone: 'session-gone' },
  { what: 'a message with a key', prepare: (schedule) => inWork(schedule, ({ ref }) => schedule.send(schedule.a, ref, 'late', { idempotency: [schedule.kit.key('k')] })), gone: 'session_not_found' },
  { what: 'a takeover', prepare: (schedule) => inWork(schedule, ({ ref }) => schedule.claim(schedule.a, ref, 'wrk_c', ['wrk_a'])), gone: 'session_not_found' },
  { what: 'a stop', prepare: (schedule) => inWork(schedule, ({ ref }) => schedule.stop(schedule.a, ref)), gone: 'session_not_found' },
  { what: 'a step that starts an operation', prepare: (schedule) => inWork(schedule, (work) => schedule.settle(schedule.a, work, operationStep, 'tool-calls')), gone: 'session_not_found' },
  { what: 'an operation\'s end', prepare: async (schedule) => {
    const running = await runningOperation(schedule);
    return { ref: running.ref, verb: ends(schedule, running)[1] };
  }, gone: 'operation_not_found' },
];

const deletions: readonly PostgresSchedule[] = [
  ...besideDeletion.flatMap(({ what, prepare, gone }): readonly PostgresSchedule[] => [
    {
      name: `${what} before a deletion lands, and goes with its session`,
      run: async (schedule) => {
        const { ref, verb } = await prepare(schedule);
        const [done, deleted] = await schedule.inLine(ref, ['a', verb], ['b', () => schedule.delete(schedule.b, ref)]);
        expect(['committed', 'stored']).toContain(came(done));
        expect([came(deleted), await schedule.kinds(ref)]).toEqual(['committed', []]);
      },
    },
    {
      name: `${what} after a deletion lands nowhere`,
      run: async (schedule) => {
        const { ref, verb } = await prepare(schedule);
        const [deleted, done] = await schedule.inLine(ref, ['b', () => schedule.delete(schedule.b, ref)], ['a', verb]);
        expect([came(deleted), came(done), await schedule.kinds(ref)]).toEqual(['committed', gone, []]);
      },
    },
  ]),
  {
    name: 'of two deletions the second finds no session, and with its key is given the reply of the first',
    run: async (schedule) => {
      const [plain, keyed] = [await schedule.kit.inWork(), await schedule.kit.inWork()];
      expect((await schedule.inLine(plain.ref, ['a', () => schedule.delete(schedule.a, plain.ref)], ['b', () => schedule.delete(schedule.b, plain.ref)])).map(came)).toEqual(['committed', 'session_not_found']);
      const idempotency = [schedule.kit.key(`delete ${keyed.ref.id}`)];
      expect((await schedule.inLine(keyed.ref, ['a', () => schedule.delete(schedule.a, keyed.ref, { idempotency })], ['b', () => schedule.delete(schedule.b, keyed.ref, { idempotency })])).map(came)).toEqual(['committed', 'replayed']);
    },
  },
];

testSchedules('actions and operations on Postgres', [...actions, ...operations]);
testSchedules('deletions on Postgres', deletions);
