import type { CallNeed } from '../../core/action.ts';
import { acceptResolve } from '../../core/accept/resolve.ts';
import { acceptSettings } from '../../core/accept/settings.ts';
import { deleteTransition } from '../../core/accept/end.ts';
import type { CallResult } from '../../core/entry.ts';
import { refuse } from '../../core/errors.ts';
import { statusOf, type Session, type SessionStatus } from '../../core/session.ts';
import type { ClaimableQuery, SessionKey } from '../store.ts';
import { callPart, committed, doneResult, keyOf, type ConformanceCase, type InWork, type Kit, type NewSessionOptions } from './kit.ts';
import { externalOperation, finishOperation, startOperation } from './operation-kit.ts';

const unchanged = { entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null };
const dayMs = 86_400_000;

/** A session whose step asks for the approval of its calls, one for each of the needs. */
async function asking(kit: Kit, needs: readonly Partial<CallNeed>[] = [{}], options: NewSessionOptions = {}): Promise<{ readonly work: InWork; readonly session: Session }> {
  const work = await kit.inWork(options);
  const parts = needs.map((need, index) => callPart(index, 'pay', { needs: { type: 'approval', ...need }, inputHash: `hash ${index}` }));
  return { work, session: await kit.settle(work, parts, 'tool-calls') };
}

/** Denies or approves the action of one of the calls. */
async function decide(kit: Kit, session: Session, index: number, type: 'approve' | 'deny'): Promise<Session> {
  const actionId = session.turn?.actions.find((action) => action.index === index)?.id ?? '';
  const answers = [{ actionId, answer: { type }, fingerprint: type }];
  return committed(await kit.command(session, acceptResolve({ answers, by: 'ada', roles: [] }), { reads: { outcomes: true } })).session;
}

/** The outcomes of open calls that a transition is told of. */
async function outcomesOf(kit: Kit, key: SessionKey): Promise<readonly CallResult[]> {
  let seen: readonly CallResult[] = [];
  await kit.store.update({ key: keyOf(key), reads: { outcomes: true }, transition: ({ outcomes }) => {
    seen = outcomes;
    return refuse('session_busy', 'looked');
  } });
  return seen;
}

async function claimable(kit: Kit, query: Partial<ClaimableQuery> = {}): Promise<readonly string[]> {
  return (await kit.store.findClaimable({ nowMs: kit.nowMs, deadWorkers: [], agents: ['suite'], limit: 100, ...query })).map(({ id }) => id);
}

/** What a store promises of turns that wait: outcomes that a change keeps, whole results, and when somebody looks again. */
export const pauseCases: readonly ConformanceCase[] = [
  {
    name: 'an outcome that a change keeps is there for the changes that follow, until the step\'s results are committed',
    run: async (kit) => {
      const { expect } = kit;
      const { work, session } = await asking(kit, [{}, {}]);
      const denied = await decide(kit, session, 1, 'deny');
      expect((await outcomesOf(kit, work.ref)).map(({ index, outcome }) => [index, outcome])).toEqual([[1, 'denied']]);
      expect(statusOf(denied)).toBe('requires_action');
      await decide(kit, denied, 0, 'deny');
      const { entries } = await kit.claim(work.ref, 'wrk_b');
      expect(entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ index, outcome }) => [index, outcome]) : []))).toEqual([[0, 'denied'], [1, 'denied']]);
      expect(await outcomesOf(kit, work.ref)).toEqual([]);
    },
  },
  {
    name: 'of two outcomes of one call the first one counts, whichever way they came',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      const session = await kit.settle(work, [callPart(0, 'pay'), callPart(1, 'pay')], 'tool-calls');
      const stepSeq = session.turn?.lastStep?.seq ?? 0;
      const early = (index: number, output: string) => store.storeOutcomeIfHeld({ ref: work.ref, fence: work.lease.fence, stepSeq, result: doneResult(index, 'pay', output) });
      const kept = (index: number, output: string) => kit.update(work.ref, (loaded) => ({ ...unchanged, session: loaded.session, outcomes: [{ stepSeq, result: doneResult(index, 'pay', output) }] }));
      await early(0, 'first');
      await kept(0, 'second');
      await kept(1, 'first');
      await kept(1, 'second');
      await early(1, 'third');
      expect((await outcomesOf(kit, work.ref)).map(({ output }) => output)).toEqual(['first', 'first']);
    },
  },
  {
    name: 'a change that drops outcomes and keeps others drops those that were there and keeps its own',
    run: async (kit) => {
      const { expect } = kit;
      const { work, session } = await asking(kit, [{}, {}]);
      const stepSeq = session.turn?.lastStep?.seq ?? 0;
      const before = await decide(kit, session, 0, 'deny');
      await kit.update(work.ref, () => ({ ...unchanged, session: before, dropsOutcomes: true, outcomes: [{ stepSeq, result: doneResult(0, 'pay', 'own') }] }));
      expect((await outcomesOf(kit, work.ref)).map(({ index, output }) => [index, output])).toEqual([[0, 'own']]);
    },
  },
  {
    name: 'a commit that fails keeps no outcome',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, session } = await asking(kit);
      const stepSeq = session.turn?.lastStep?.seq ?? 0;
      const failing = store.update({ key: work.ref, transition: (loaded) => ({
        ...unchanged, session: { ...loaded.session, title: 'half' }, outcomes: [{ stepSeq, result: doneResult(0, 'pay') }], entries: [{ kind: 'title-set', title: 'half', by: 'person', seq: 1, v: 1, atMs: 1 }],
      }) });
      expect(await failing.then(() => 'committed', () => 'rejected')).toBe('rejected');
      expect([await outcomesOf(kit, work.ref), (await kit.tail(work.ref)).session]).toEqual([[], session]);
    },
  },
  {
    name: 'sessions that wait for somebody, and those that wait for an operation, are listed by that status',
    run: async (kit) => {
      const { expect, store } = kit;
      const { session } = await asking(kit, [{}], { title: 'asks' });
      const waits = await startOperation(kit, { title: 'waits' });
      await kit.create({ title: 'idle' });
      const titles = async (status: SessionStatus) => {
        const { items, count } = await store.listSessions({ tenant: 'acme', status, limit: 10, count: true });
        expect(count).toBe(items.length);
        return items.map(({ title }) => String(title)).toSorted();
      };
      expect([await titles('requires_action'), await titles('waiting'), await titles('ready')]).toEqual([['asks'], ['waits'], []]);
      await decide(kit, session, 0, 'approve');
      await finishOperation(kit, waits.operation);
      expect([await titles('requires_action'), await titles('waiting'), await titles('ready')]).toEqual([[], [], ['asks', 'waits']]);
    },
  },
  {
    name: 'a paused turn is claimable from its first expiry on, and not before; its claim ends that call as expired',
    run: async (kit) => {
      const { expect } = kit;
      const { work, session } = await asking(kit, [{ expiresAfterMs: 9_000 }, { expiresAfterMs: 5_000 }, {}]);
      const expiresAtMs = kit.nowMs + 5_000;
      expect([await claimable(kit, { nowMs: expiresAtMs - 1 }), await claimable(kit, { nowMs: expiresAtMs })]).toEqual([[], [session.id]]);
      kit.nowMs = expiresAtMs;
      const { session: after } = await kit.claim(work.ref, 'wrk_b');
      expect([statusOf(after), (await outcomesOf(kit, work.ref)).map(({ index, outcome }) => [index, outcome])]).toEqual(['requires_action', [[1, 'expired']]]);
      // The other two go on waiting: one for its own expiry, one for ever.
      expect([await claimable(kit, { nowMs: expiresAtMs + 3_999 }), await claimable(kit, { nowMs: expiresAtMs + 4_000 })]).toEqual([[], [session.id]]);
      await decide(kit, after, 0, 'deny');
      expect(await claimable(kit, { nowMs: kit.nowMs + 1e12 })).toEqual([]);
      await decide(kit, after, 2, 'approve');
      expect(await claimable(kit)).toEqual([session.id]);
    },
  },
  {
    name: 'a turn that waits for operations is claimable when the last one has ended',
    run: async (kit) => {
      const { expect } = kit;
      const work = await kit.inWork();
      const part = (index: number) => callPart(index, 'look', { operation: { mode: 'await' } });
      const { operations } = await kit.settle(work, [part(0), part(1)], 'tool-calls');
      for (const { id } of operations) {
        expect(await claimable(kit, { nowMs: kit.nowMs + 1e12, deadWorkers: ['wrk_a', 'wrk_o'] })).toEqual([]);
        await finishOperation(kit, { tenant: 'acme', id });
      }
      expect(await claimable(kit)).toEqual([work.ref.id]);
    },
  },
  {
    name: 'an expired key is kept while its session\'s turn is paused',
    run: async (kit) => {
      const { expect, store } = kit;
      const paused = [(await asking(kit)).work, (await externalOperation(kit)).work];
      for (const { ref } of paused) committed(await kit.command(ref, acceptSettings({ title: 'x' }), { idempotency: [kit.key('k', { expiresAtMs: kit.nowMs + dayMs })] }));
      kit.nowMs += 2 * dayMs;
      expect(await store.sweep(kit.nowMs, 100)).toBe(0);
      for (const { ref } of paused) expect((await kit.command(ref, acceptSettings({ title: 'x' }), { idempotency: [kit.key('k')] })).kind).toBe('replayed');
    },
  },
  {
    name: 'a whole result is read back as it was stored, under its own session and id only',
    run: async (kit) => {
      const { expect, store } = kit;
      const [first, second] = [keyOf(await kit.create()), keyOf(await kit.create())];
      const body = JSON.stringify({ text: `ü😀 "quoted" \\ ${'x'.repeat(300_000)}`, nul: '\u0000' });
      expect(await store.storeWholeResult({ ref: first, id: 'res_1', body })).toBe('stored');
      expect(await store.storeWholeResult({ ref: second, id: 'res_1', body: '"another"' })).toBe('stored');
      expect(await store.readWholeResult(first, 'res_1') === body).toBe(true);
      expect(await store.readWholeResult(second, 'res_1')).toBe('"another"');
      for (const [ref, id] of [[first, 'res_2'], [{ tenant: 'other', id: first.id }, 'res_1'], [{ tenant: 'acme', id: 'ses_unknown' }, 'res_1']] as const) expect(await store.readWholeResult(ref, id)).toBe(null);
    },
  },
  {
    name: 'storing a whole result again under its id is harmless, and keeps the first',
    run: async (kit) => {
      const { expect, store } = kit;
      const ref = keyOf(await kit.create());
      expect([await store.storeWholeResult({ ref, id: 'res_1', body: '1' }), await store.storeWholeResult({ ref, id: 'res_1', body: '2' })]).toEqual(['stored', 'stored']);
      expect(await store.readWholeResult(ref, 'res_1')).toBe('1');
    },
  },
  {
    name: 'a whole result goes with its session, and none is stored for a session that does not exist',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      const [ref, bystander] = [keyOf(session), keyOf(await kit.create())];
      for (const each of [ref, bystander]) await store.storeWholeResult({ ref: each, id: 'res_1', body: '1' });
      await kit.update(ref, deleteTransition(kit.nowMs));
      expect([await store.readWholeResult(ref, 'res_1'), await store.readWholeResult(bystander, 'res_1')]).toEqual([null, '1']);
      for (const gone of [ref, { tenant: 'other', id: bystander.id }, { tenant: 'acme', id: 'ses_unknown' }]) {
        expect(await store.storeWholeResult({ ref: gone, id: 'res_2', body: '2' })).toBe('session-gone');
      }
      await store.create({ ref, owner: 'ada', build: () => ({ ...unchanged, session }), replyToStore: () => null });
      expect([await store.readWholeResult(ref, 'res_1'), await store.readWholeResult(ref, 'res_2')]).toEqual([null, null]);
    },
  },
];
