import { deleteTransition } from '../../core/accept/end.ts';
import { acceptStop } from '../../core/accept/stop.ts';
import { acceptTransfer } from '../../core/accept/transfer.ts';
import { dayOf } from '../../core/calendar.ts';
import { forkSession } from '../../core/accept/fork.ts';
import { importLog } from '../../core/accept/import-log.ts';
import { Draft } from '../../core/draft.ts';
import type { Entry } from '../../core/entry.ts';
import { isRefusal, refuse } from '../../core/errors.ts';
import { beginLabels } from '../../core/labels.ts';
import { openGreeting } from '../../core/node.ts';
import { recordLateUsage, settleGeneration } from '../../core/settle.ts';
import { noCount, usageShardOf, type UsageCount } from '../../core/usage.ts';
import type { SessionRef, Store } from '../store.ts';
import { attemptRecord, callPart, committed, doneResult, hasPeers, keyOf, suiteRules, type ConformanceCase, type InWork, type Kit } from './kit.ts';

const text = [{ type: 'text', text: 'said' }] as const;
/** What one attempt of the suite counts. */
const one: UsageCount = { ...noCount, attempts: 1, attemptsWithoutCost: 1, inputTokens: 3, outputTokens: 2 };
const oneUnknown: UsageCount = { ...noCount, attempts: 1, attemptsWithoutUsage: 1, attemptsWithoutCost: 1 };

function times(count: UsageCount, factor: number): UsageCount {
  return Object.fromEntries(Object.entries(count).map(([name, value]) => [name, (value as number) * factor])) as unknown as UsageCount;
}

/** What was counted for an owner, or the tenant, around the case's time, by days from its own. */
async function counted(kit: Kit, owner?: string, { tenant = 'acme', store = kit.store }: { readonly tenant?: string; readonly store?: Store } = {}): Promise<Readonly<Record<string, UsageCount>>> {
  const today = dayOf(kit.nowMs);
  const days = await store.usage.readDays({ tenant, owner, fromDay: today - 100, toDay: today + 100 });
  return Object.fromEntries(days.map(({ day, count }) => [String(day - today), count]));
}

/** A turn with one attempt. */
async function attempt(kit: Kit, options: Parameters<Kit['inWork']>[0] = {}): Promise<InWork> {
  const work = await kit.inWork(options);
  await kit.settle(work, text);
  return work;
}

async function fails(kit: Kit, { ref, lease, attempt: { id, number, startedAtMs } }: InWork): Promise<void> {
  const record = { id, number, startedAtMs, usage: { inputTokens: 7, outputTokens: 0 }, costMicros: 70 };
  await kit.update(ref, settleGeneration(lease, { kind: 'failed', attempt: record, error: { code: 'overloaded', message: 'no', retryable: false }, retryAfterMs: 0 }, suiteRules, kit.circumstances));
}

/** Makes a session again out of its log, as an import does. */
export async function importAgain(kit: Kit, ref: SessionRef, entries: readonly Entry[], store: Store = kit.store): Promise<void> {
  const beside = { updatedAtMs: 0, endAfterInactivityMs: null, endsAtMs: null, deleteAfterRestMs: null, deletesAtMs: null };
  const change = importLog(ref, { entries, operations: [], beside, notBegun: [] }, kit.circumstances);
  if (isRefusal(change)) throw new Error(change.message);
  kit.expect((await store.create({ ref, owner: change.session.owner, build: () => change, replyToStore: () => null })).kind).toBe('created');
}

async function remove(kit: Kit, ref: SessionRef): Promise<void> {
  committed(await kit.store.update({ key: keyOf(ref), transition: deleteTransition(kit.nowMs) }));
}

/** G14: what attempts used is counted in the commits that record them. */
export const usageCases: readonly ConformanceCase[] = [
  {
    name: 'nothing is counted where nothing was generated',
    run: async (kit) => {
      await kit.create({ text: 'hello' });
      kit.expect([await counted(kit, 'ada'), await counted(kit), await counted(kit, 'nobody'), await kit.store.usage.countKept({ tenant: 'acme', id: 'ses_none' })]).toEqual([{}, {}, {}, 0]);
    },
  },
  {
    name: 'attempts are counted for their owner and their tenant in the commit that records them, however they end',
    run: async (kit) => {
      const work = await kit.inWork();
      await kit.settle(work, [callPart(0, 'look')], 'tool-calls');
      kit.expect(await counted(kit, 'ada')).toEqual({ 0: one });
      const session = await kit.settleCalls(work, (await kit.tail(work.ref)).session.turn?.lastStep?.seq ?? 0, [doneResult(0, 'look')]);
      kit.expect(await counted(kit, 'ada')).toEqual({ 0: one });
      await fails(kit, kit.next(work, session));
      const failed = { ...noCount, attempts: 1, inputTokens: 7, costMicros: 70 };
      const both = { ...one, attempts: 2, inputTokens: 10, costMicros: 70 };
      kit.expect([await counted(kit, 'ada'), await counted(kit)]).toEqual([{ 0: both }, { 0: both }]);
      await fails(kit, await kit.inWork({ owner: 'bob' }));
      kit.expect([await counted(kit, 'ada'), await counted(kit, 'bob')]).toEqual([{ 0: both }, { 0: failed }]);
    },
  },
  {
    name: 'a lost and a stopped attempt are counted without usage',
    run: async (kit) => {
      const lost = await kit.inWork();
      await kit.claimed(lost.ref, 'wrk_b', ['wrk_a']);
      kit.expect(await counted(kit, 'ada')).toEqual({ 0: oneUnknown });
      committed(await kit.command(lost.ref, acceptStop({}), { reads: { chunks: true, outcomes: true } }));
      kit.expect(await counted(kit, 'ada')).toEqual({ 0: times(oneUnknown, 2) });
    },
  },
  {
    name: 'usage that comes late makes known what its attempt was counted without, and is no second attempt',
    run: async (kit) => {
      const work = await kit.inWork();
      const { id: turnId } = work.session.turn ?? { id: '' };
      const late = { ...attemptRecord(work.attempt), costMicros: 9 };
      const early = await kit.store.update({ key: keyOf(work.ref), transition: recordLateUsage(turnId, late, kit.nowMs) });
      kit.expect(early.kind).toBe('refused');
      await kit.claimed(work.ref, 'wrk_b', ['wrk_a']);
      const session = (await kit.update(work.ref, recordLateUsage(turnId, late, kit.nowMs))).session;
      kit.expect(await counted(kit, 'ada')).toEqual({ 0: { ...one, attemptsWithoutCost: 0, costMicros: 9 } });
      kit.expect(session.usage).toEqual({ attempts: 1, inputTokens: 3, outputTokens: 2, cachedInputTokens: 0, reasoningTokens: 0, costMicros: 9 });
    },
  },
  {
    name: 'what is refused counts nothing',
    run: async (kit) => {
      const work = await kit.inWork();
      await kit.claimed(work.ref, 'wrk_b', ['wrk_a']);
      const before = await counted(kit, 'ada');
      const late = await kit.store.update({ key: keyOf(work.ref), transition: settleGeneration(work.lease, { kind: 'generated', attempt: attemptRecord(work.attempt), parts: text, finishReason: 'stop', warnings: [] }, suiteRules, kit.circumstances) });
      kit.expect(late.kind).toBe('refused');
      await kit.store.update({ key: keyOf(work.ref), transition: () => refuse('session_busy', 'no') });
      kit.expect(await counted(kit, 'ada')).toEqual(before);
    },
  },
  {
    name: 'each day of UTC has its own counter',
    run: async (kit) => {
      kit.nowMs = Date.UTC(2026, 1, 28, 23, 59, 59, 999);
      const work = await kit.inWork();
      await kit.settle(work, text);
      kit.nowMs += 1;
      await attempt(kit);
      await attempt(kit);
      kit.expect([await counted(kit, 'ada'), await counted(kit)]).toEqual([{ '-1': one, 0: times(one, 2) }, { '-1': one, 0: times(one, 2) }]);
      const today = dayOf(kit.nowMs);
      for (const owner of ['ada', undefined]) {
        const read = async (fromDay: number, toDay: number) => (await kit.store.usage.readDays({ tenant: 'acme', owner, fromDay, toDay })).map(({ day }) => day - today);
        kit.expect([await read(today - 1, today - 1), await read(today, today), await read(today - 1, today), await read(today + 1, today + 5)]).toEqual([[-1], [0], [-1, 0], []]);
      }
    },
  },
  {
    name: 'the sessions of an owner are summed, whatever shard they are in; no other owner and no other tenant is',
    run: async (kit) => {
      const shards = new Set<number>();
      for (let count = 0; count < 24; count += 1) shards.add(usageShardOf((await attempt(kit)).ref.id));
      await attempt(kit, { owner: 'bob' });
      await attempt(kit, { tenant: 'other' });
      kit.expect(shards.size > 1).toBe(true);
      kit.expect([await counted(kit, 'ada'), await counted(kit, 'bob'), await counted(kit)]).toEqual([{ 0: times(one, 24) }, { 0: one }, { 0: times(one, 25) }]);
      kit.expect([await counted(kit, 'ada', { tenant: 'other' }), await counted(kit, undefined, { tenant: 'other' })]).toEqual([{ 0: one }, { 0: one }]);
    },
  },
  {
    name: 'commits of many sessions of one owner at once are all counted, through one store and through two',
    when: hasPeers,
    run: async (kit) => {
      const peer = await kit.peer();
      const works = await Promise.all(Array.from({ length: 40 }, () => kit.inWork()));
      await Promise.all(works.map((work, place) => kit.settle(work, text, 'stop', place % 2 === 0 ? kit.store : peer)));
      kit.expect([await counted(kit, 'ada'), await counted(kit, 'ada', { store: peer })]).toEqual([{ 0: times(one, 40) }, { 0: times(one, 40) }]);
    },
  },
  {
    name: 'what a session used before it was given to another owner stays with the one who had it',
    run: async (kit) => {
      const { ref } = await attempt(kit);
      committed(await kit.command(ref, acceptTransfer('bob')));
      await kit.send(ref, 'again');
      await kit.answer(ref, 'said');
      kit.expect([await counted(kit, 'ada'), await counted(kit, 'bob')]).toEqual([{ 0: one }, { 0: one }]);
    },
  },
  {
    name: 'what a fork copies is not counted again',
    run: async (kit) => {
      const { ref } = await attempt(kit);
      const { session, entries } = await kit.tail(ref);
      const key = { tenant: 'acme', id: kit.mint('ses') };
      const created = await kit.store.create({ ref: key, owner: 'ada', build: () => forkSession(session, entries, key, { turnId: session.lastTurn?.id ?? '', endAfterInactivityMs: null, deleteAfterRestMs: null }, kit.circumstances), replyToStore: () => null });
      kit.expect([created.kind, created.kind === 'created' && created.session.usage.attempts, await counted(kit, 'ada')]).toEqual(['created', 0, { 0: one }]);
      await remove(kit, key);
      kit.expect(await kit.store.usage.countKept(key)).toBe(0);
    },
  },
  {
    name: 'what a session used stays counted when it is deleted, and its attempts are kept; one in flight is one of them',
    run: async (kit) => {
      const rested = await attempt(kit);
      await remove(kit, rested.ref);
      kit.expect([await counted(kit, 'ada'), await kit.store.usage.countKept(rested.ref)]).toEqual([{ 0: one }, 1]);
      const work = await kit.inWork();
      const session = await kit.settle(work, [callPart(0, 'look')], 'tool-calls');
      await kit.settleCalls(work, session.turn?.lastStep?.seq ?? 0, [doneResult(0, 'look')]);
      await remove(kit, work.ref);
      kit.expect([await counted(kit, 'ada'), await kit.store.usage.countKept(work.ref)]).toEqual([{ 0: { ...one, attempts: 3, attemptsWithoutUsage: 1, attemptsWithoutCost: 3, inputTokens: 6, outputTokens: 4 } }, 2]);
    },
  },
  {
    name: 'what an agent says without a model is no attempt that is kept',
    run: async (kit) => {
      const { ref } = await attempt(kit);
      await kit.update(ref, ({ session }) => {
        const draft = new Draft(session, kit.nowMs);
        return draft.done(openGreeting(draft, undefined, { kind: 'text', text: 'welcome' }, kit.circumstances.mintId));
      });
      await remove(kit, ref);
      kit.expect([await counted(kit, 'ada'), await kit.store.usage.countKept(ref)]).toEqual([{ 0: one }, 1]);
    },
  },
  {
    name: 'labels that are being made when their session is deleted are attempts that were begun',
    run: async (kit) => {
      const { ref } = await attempt(kit);
      const { session } = await kit.tail(ref);
      await kit.update(ref, beginLabels({ turnId: session.lastTurn?.id ?? '', labels: ['title'], makes: () => new Map([['title', 'model']]), leaseMs: 10_000 }, kit.circumstances));
      await remove(kit, ref);
      kit.expect([await counted(kit, 'ada'), await kit.store.usage.countKept(ref)]).toEqual([{ 0: { ...one, attempts: 2, attemptsWithoutUsage: 1, attemptsWithoutCost: 2 } }, 2]);
    },
  },
  {
    name: 'a session that is imported is counted on the days on which it was used, also where a day was summed for good',
    run: async (kit) => {
      const [day, gone] = [dayOf(kit.nowMs), await attempt(kit)];
      const { entries } = await kit.tail(gone.ref);
      const read = async (owner?: string) => (await kit.store.usage.readDays({ tenant: 'acme', owner, fromDay: day, toDay: day })).map(({ count }) => count.attempts);
      kit.nowMs += 2 * 86_400_000;
      kit.expect([await read(), await read('ada')]).toEqual([[1], [1]]);
      await importAgain(kit, { tenant: 'acme', id: kit.mint('ses') }, entries);
      kit.expect([await read(), await read('ada')]).toEqual([[2], [2]]);
      // One that was deleted has been counted.
      await remove(kit, gone.ref);
      await importAgain(kit, gone.ref, entries);
      kit.expect([await read(), await read('ada'), await kit.store.usage.countKept(gone.ref)]).toEqual([[2], [2], 0]);
    },
  },
  {
    name: 'of a deleted session that is imported as it once was, what came after that stays kept, and what is new is counted',
    run: async (kit) => {
      const { ref } = await attempt(kit);
      const before = (await kit.tail(ref)).entries;
      await kit.send(ref, 'again');
      await kit.answer(ref, 'said');
      const after = (await kit.tail(ref)).entries;
      for (let round = 1; round <= 2; round += 1) {
        await remove(kit, ref);
        await importAgain(kit, ref, before);
        kit.expect([await counted(kit, 'ada'), await kit.store.usage.countKept(ref)]).toEqual([{ 0: times(one, 1 + round) }, round]);
        await kit.send(ref, 'another way');
        await kit.answer(ref, 'said');
        kit.expect(await counted(kit, 'ada')).toEqual({ 0: times(one, 2 + round) });
      }
      kit.expect(await kit.store.usage.countKept(ref)).toBe(2);
      const other = { tenant: 'acme', id: kit.mint('ses') };
      await importAgain(kit, other, before);
      await remove(kit, other);
      await importAgain(kit, other, after);
      kit.expect([await counted(kit, 'ada'), await kit.store.usage.countKept(other)]).toEqual([{ 0: times(one, 6) }, 0]);
    },
  },
  {
    name: 'what all owners used is summed as of now, or as late as it may be',
    run: async (kit) => {
      const read = async (lateMs?: number) => (await kit.store.usage.readDays({ tenant: 'acme', fromDay: dayOf(kit.nowMs), toDay: dayOf(kit.nowMs), ...(lateMs === undefined ? {} : { lateMs }) })).map(({ count }) => count.attempts);
      await attempt(kit);
      kit.expect([await read(), await read(500)]).toEqual([[1], [1]]);
      await attempt(kit, { owner: 'bob' });
      kit.expect(await read(500)).toEqual([1]);
      kit.nowMs += 499;
      kit.expect(await read(500)).toEqual([1]);
      kit.nowMs += 1;
      kit.expect(await read(500)).toEqual([2]);
      await attempt(kit);
      kit.expect([await read(), await read(500)]).toEqual([[3], [3]]);
    },
  },
  {
    name: 'a day that is over is summed for good an hour later, and not before',
    run: async (kit) => {
      const day = dayOf(kit.nowMs);
      const [midday, read] = [kit.nowMs, async () => (await kit.store.usage.readDays({ tenant: 'acme', fromDay: day - 3, toDay: day + 3 })).map(({ count }) => count.attempts)];
      const late = async () => {
        const nowMs = kit.nowMs;
        kit.nowMs = midday;
        await attempt(kit);
        kit.nowMs = nowMs;
      };
      await attempt(kit);
      kit.nowMs = (day + 1) * 86_400_000 + 3_599_999;
      kit.expect(await read()).toEqual([1]);
      await late();
      kit.expect(await read()).toEqual([2]);
      kit.nowMs += 1;
      await late();
      kit.expect(await read()).toEqual([3]);
      await late();
      kit.expect([await read(), (await counted(kit, 'ada'))['-1']?.attempts]).toEqual([[3], 4]);
    },
  },
  {
    name: 'counters are there after the store is opened again',
    when: ({ reopens }) => reopens,
    run: async (kit) => {
      await attempt(kit);
      await kit.reopen();
      await attempt(kit);
      kit.expect([await counted(kit, 'ada'), await counted(kit)]).toEqual([{ 0: times(one, 2) }, { 0: times(one, 2) }]);
    },
  },
];
