import { deleteTransition } from '../../core/accept/end.ts';
import { releaseOperation, reportProgress } from '../../core/operation-transitions.ts';
import type { Operation } from '../../core/operation.ts';
import type { ClaimableQuery, OperationFilter, SessionRef } from '../store.ts';
import { callPart, type ConformanceCase, type Kit } from './kit.ts';
import { changeOperation, externalOperation, finishOperation, operationOf, runOperation, startOperation, tryClaim } from './operation-kit.ts';

async function claimable(kit: Kit, query: Partial<ClaimableQuery> = {}): Promise<readonly string[]> {
  const found = await kit.store.findClaimableOperations({ nowMs: kit.nowMs, deadWorkers: [], agents: ['suite'], limit: 100, ...query });
  return found.map(({ id }) => id);
}

async function held(kit: Kit, worker: string): Promise<readonly unknown[]> {
  return (await kit.store.findHeldOperations(worker)).map(({ tenant, id, fence }) => [tenant, id, fence]);
}

/** All pages of a session's operations, one after the other. */
async function pages(kit: Kit, ref: SessionRef, filter: Partial<OperationFilter>): Promise<readonly (readonly string[])[]> {
  const all: (readonly string[])[] = [];
  for (let before: string | null | undefined; before !== null; ) {
    const page = await kit.store.listOperations(ref, { limit: 3, ...filter, ...(before === undefined ? {} : { before }) });
    all.push(page.items.map(({ id }) => id));
    before = page.nextCursor;
  }
  return all;
}

/** A session with as many detached operations as asked for, in the order of their start. */
async function manyOperations(kit: Kit, count: number): Promise<{ readonly ref: SessionRef; readonly operations: readonly Operation[] }> {
  const work = await kit.inWork();
  const session = await kit.settle(work, Array.from({ length: count }, (_, place) => callPart(place, 'look', { operation: { mode: 'detach' } })), 'tool-calls');
  return { ref: work.ref, operations: await Promise.all(session.operations.map(({ id }) => operationOf(kit, { tenant: 'acme', id }))) };
}

/** What the lists and scans of operations promise. */
export const operationListCases: readonly ConformanceCase[] = [
  {
    name: 'a session\'s operations are listed newest first, ended ones too, page by page, and no other session\'s',
    run: async (kit) => {
      const { expect, store } = kit;
      const { ref, operations } = await manyOperations(kit, 7);
      await startOperation(kit);
      await startOperation(kit, { tenant: 'other' });
      const ids = operations.map(({ id }) => id).toReversed();
      const { operation: ended } = await finishOperation(kit, { tenant: 'acme', id: ids[2] ?? '' });
      expect(await pages(kit, ref, {})).toEqual([ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)]);
      expect(await pages(kit, ref, { limit: 7 })).toEqual([ids]);
      expect((await store.listOperations(ref, { limit: 7 })).items[2]).toEqual(ended);
      expect(await pages(kit, ref, { status: 'queued', limit: 4 })).toEqual([[ids[0], ids[1], ids[3], ids[4]], [ids[5], ids[6]]]);
      expect(await pages(kit, ref, { status: 'succeeded' })).toEqual([[ended.id]]);
      for (const stranger of [{ tenant: 'other', id: ref.id }, { tenant: 'acme', id: 'ses_unknown' }]) expect(await store.listOperations(stranger, { limit: 5 })).toEqual({ items: [], nextCursor: null });
    },
  },
  {
    name: 'a session\'s end has its operations that have not ended, as they are, in the order of their start, and only where the log\'s end is reached',
    run: async (kit) => {
      const { expect, store } = kit;
      const { ref, operations: [first, second, third] } = await manyOperations(kit, 3);
      const { lease } = await runOperation(kit, second ?? ref);
      const { operation: running } = await changeOperation(kit, second ?? ref, reportProgress(lease, { fraction: 0.5, atMs: kit.nowMs }));
      const tail = await kit.tail(ref);
      expect(tail.operations).toEqual([first, running, third]);
      const atEnd = await store.readTail(ref, { afterSeq: tail.session.lastSeq, limit: 1, attemptId: null, afterOrdinal: -1 });
      expect(atEnd?.operations).toEqual(tail.operations);
      const part = await store.readTail(ref, { afterSeq: 0, limit: 2, attemptId: null, afterOrdinal: -1 });
      expect([part?.complete, part?.operations]).toEqual([false, []]);
      await finishOperation(kit, first ?? ref);
      expect((await kit.tail(ref)).operations).toEqual([running, third]);
    },
  },
  {
    name: 'claimable are the operations that nobody has, the oldest first, as many as asked for',
    run: async (kit) => {
      const { expect } = kit;
      const ids: string[] = [];
      for (let place = 0; place < 4; place += 1) {
        kit.nowMs += 10;
        ids.push((await startOperation(kit)).operation.id);
      }
      expect([await claimable(kit), await claimable(kit, { limit: 2 })]).toEqual([ids, ids.slice(0, 2)]);
      const { lease } = await runOperation(kit, { tenant: 'acme', id: ids[1] ?? '' });
      expect(await claimable(kit)).toEqual([ids[0], ids[2], ids[3]]);
      await changeOperation(kit, { tenant: 'acme', id: ids[1] ?? '' }, releaseOperation(lease, false, kit.nowMs));
      await finishOperation(kit, { tenant: 'acme', id: ids[0] ?? '' });
      expect(await claimable(kit)).toEqual(ids.slice(1));
    },
  },
  {
    name: 'an operation that somebody outside completes is claimable from its time on, and its claim ends it',
    run: async (kit) => {
      const { expect } = kit;
      const { operation } = await externalOperation(kit);
      expect([await held(kit, 'wrk_o'), await claimable(kit, { deadWorkers: ['wrk_o'] }), await claimable(kit, { nowMs: operation.timeoutAtMs - 1 })]).toEqual([[], [], []]);
      expect(await claimable(kit, { nowMs: operation.timeoutAtMs })).toEqual([operation.id]);
      kit.nowMs = operation.timeoutAtMs;
      const ended = await tryClaim(kit, operation, 'wrk_b');
      expect(ended.kind === 'committed' && [ended.reply.work, ended.operation.status, ended.operation.result?.code]).toEqual(['none', 'failed', 'operation_timeout']);
      expect(await claimable(kit, { nowMs: kit.nowMs + 1e12 })).toEqual([]);
    },
  },
  {
    name: 'an operation whose time is over is not hidden by newer ones, nor is a dead worker\'s, however many wait',
    run: async (kit) => {
      const { expect } = kit;
      const expired = await externalOperation(kit);
      kit.nowMs += 1;
      const orphaned = await startOperation(kit);
      await runOperation(kit, orphaned.operation, 'wrk_dead');
      for (let place = 0; place < 20; place += 1) {
        kit.nowMs += 1;
        await startOperation(kit);
      }
      expect(await claimable(kit, { nowMs: expired.operation.timeoutAtMs, deadWorkers: ['wrk_dead'], limit: 2 })).toEqual([expired.operation.id, orphaned.operation.id]);
    },
  },
  {
    name: 'the operations of dead workers are claimable, of living ones not',
    run: async (kit) => {
      const { expect } = kit;
      const [dead, alive, queued] = [await startOperation(kit), await startOperation(kit), await startOperation(kit)];
      await runOperation(kit, dead.operation, 'wrk_dead');
      await runOperation(kit, alive.operation, 'wrk_alive');
      expect(await claimable(kit)).toEqual([queued.operation.id]);
      expect(new Set(await claimable(kit, { deadWorkers: ['wrk_dead', 'wrk_unknown'] }))).toEqual(new Set([dead.operation.id, queued.operation.id]));
      const taken = await runOperation(kit, dead.operation, 'wrk_b', ['wrk_dead']);
      expect([taken.operation.crashes, taken.operation.attempts, await claimable(kit, { deadWorkers: ['wrk_dead'] })]).toEqual([1, 2, [queued.operation.id]]);
    },
  },
  {
    name: 'claimable are only operations of the agents asked for, each with its agent',
    run: async (kit) => {
      const { expect, store } = kit;
      await startOperation(kit);
      const other = await startOperation(kit, { agent: 'it\'s "odd"' });
      const dead = await startOperation(kit, { agent: 'third' });
      await runOperation(kit, dead.operation, 'wrk_dead');
      const query = { nowMs: kit.nowMs, deadWorkers: ['wrk_dead'], limit: 10 };
      expect(await store.findClaimableOperations({ ...query, agents: [other.operation.agent, 'none'] })).toEqual([{ tenant: 'acme', id: other.operation.id, agent: other.operation.agent }]);
      expect(await store.findClaimableOperations({ ...query, agents: [] })).toEqual([]);
      expect((await store.findClaimableOperations({ ...query, agents: ['suite', other.operation.agent, 'third'] })).length).toBe(3);
    },
  },
  {
    name: 'tenants\' operations are served in turn, so that no backlog of one tenant, however long, hides another\'s',
    run: async (kit) => {
      const { expect, store } = kit;
      for (let place = 0; place < 60; place += 1) {
        kit.nowMs += 10;
        await startOperation(kit, { tenant: 'busy' });
      }
      kit.nowMs += 1_000;
      const expired = await externalOperation(kit, { tenant: 'also calm' });
      kit.nowMs += 1_000;
      await startOperation(kit, { tenant: 'calm' });
      const find = async (limit: number, nowMs = kit.nowMs) => (await store.findClaimableOperations({ nowMs, deadWorkers: [], agents: ['suite'], limit })).map(({ tenant }) => tenant);
      expect([await find(2), await find(3), await find(4, expired.operation.timeoutAtMs)]).toEqual([['busy', 'calm'], ['busy', 'calm', 'busy'], ['busy', 'also calm', 'calm', 'busy']]);
      expect((await find(1_000, expired.operation.timeoutAtMs)).length).toBe(62);
      expect(new Set(await claimable(kit, { limit: 4 })).size).toBe(4);
    },
  },
  {
    name: 'no backlog of operations whose time is over hides another tenant\'s, nor does one that is of no agent asked for',
    run: async (kit) => {
      const { expect, store } = kit;
      for (let place = 0; place < 12; place += 1) await externalOperation(kit, { tenant: 'busy' });
      kit.nowMs += 1_000;
      const { operation } = await externalOperation(kit, { tenant: 'calm' });
      for (let place = 0; place < 4; place += 1) await startOperation(kit, { tenant: 'calm', agent: 'unknown' });
      kit.nowMs += 1_000;
      await startOperation(kit, { tenant: 'calm' });
      const find = async (limit: number, nowMs: number) => (await store.findClaimableOperations({ nowMs, deadWorkers: [], agents: ['suite'], limit })).map(({ tenant, agent }) => [tenant, agent]);
      expect(await find(2, operation.timeoutAtMs)).toEqual([['busy', 'suite'], ['calm', 'suite']]);
      for (let place = 0; place < 12; place += 1) await startOperation(kit, { tenant: 'busy' });
      expect(await find(2, kit.nowMs)).toEqual([['calm', 'suite'], ['busy', 'suite']]);
      expect((await store.findClaimableOperations({ nowMs: operation.timeoutAtMs, deadWorkers: [], agents: ['suite'], limit: 2 }))[1]?.id).toBe(operation.id);
    },
  },
  {
    name: 'a worker is told which operations it holds, with their fences',
    run: async (kit) => {
      const { expect } = kit;
      const [first, second] = [await startOperation(kit), await startOperation(kit, { tenant: 'other' })];
      for (const { operation } of [first, second]) await runOperation(kit, operation, 'wrk_dead');
      const taken = await runOperation(kit, first.operation, 'wrk_b', ['wrk_dead']);
      expect([await held(kit, 'wrk_dead'), await held(kit, 'wrk_b'), await held(kit, 'wrk_none')]).toEqual([[['other', second.operation.id, 1]], [['acme', first.operation.id, taken.lease.fence]], []]);
    },
  },
  {
    name: 'a dead worker is not forgotten while an operation names it',
    run: async (kit) => {
      const { expect, store } = kit;
      await store.registerWorker({ id: 'wrk_o', leaseMs: 1_000, agents: [] });
      const { operation } = await startOperation(kit);
      await runOperation(kit, operation, 'wrk_o');
      await store.removeDeadWorkers(['wrk_o']);
      // Its row is still there, as a renewal that comes in time shows.
      expect(await store.renewWorker('wrk_o', 1_500)).toEqual({ held: [], outdated: false });
      await runOperation(kit, operation, 'wrk_b', ['wrk_o']);
      await store.removeDeadWorkers(['wrk_o']);
      expect(await store.renewWorker('wrk_o', 1_500)).toBe('lost');
    },
  },
  {
    name: 'a worker that operations name and nobody announced is dead, once, until they name another',
    run: async (kit) => {
      const { expect, store } = kit;
      await store.registerWorker({ id: 'wrk_b', leaseMs: 9_000, agents: [] });
      const { work, operation } = await startOperation(kit, { mode: 'detach' });
      await runOperation(kit, operation, work.lease.worker);
      // The session and the operation name it.
      expect((await store.findDeadWorkers()).dead).toEqual([work.lease.worker]);
      await kit.claim(work.ref, 'wrk_b', [work.lease.worker]);
      expect((await store.findDeadWorkers()).dead).toEqual([work.lease.worker]);
      await runOperation(kit, operation, 'wrk_b', [work.lease.worker]);
      expect((await store.findDeadWorkers()).dead).toEqual([]);
    },
  },
  {
    name: 'deleting a session removes its operations, running ones too, and no other\'s',
    run: async (kit) => {
      const { expect, store } = kit;
      const bystander = await startOperation(kit);
      const { ref, operations: [first, second] } = await manyOperations(kit, 3);
      await runOperation(kit, first ?? ref);
      await finishOperation(kit, second ?? ref);
      await kit.update(ref, deleteTransition(kit.nowMs));
      expect(await Promise.all([first, second].map((each) => store.readOperation({ tenant: 'acme', id: each?.id ?? '' })))).toEqual([null, null]);
      expect([await store.listOperations(ref, { limit: 10 }), await held(kit, 'wrk_o')]).toEqual([{ items: [], nextCursor: null }, []]);
      expect(await claimable(kit, { deadWorkers: ['wrk_o'], nowMs: kit.nowMs + 1e12 })).toEqual([bystander.operation.id]);
      const late = await tryClaim(kit, first ?? ref, 'wrk_b', ['wrk_o']);
      expect(late.kind === 'refused' && [late.refusal.refused, late.operation]).toEqual(['operation_not_found', null]);
    },
  },
  {
    name: 'opening again finds operations as they were',
    when: ({ durable, reopens }) => durable && reopens,
    run: async (kit) => {
      const { expect } = kit;
      const { ref, operations: [first, second] } = await manyOperations(kit, 3);
      await runOperation(kit, first ?? ref);
      await finishOperation(kit, second ?? ref);
      const look = async () => [await kit.store.listOperations(ref, { limit: 10 }), await kit.tail(ref), await held(kit, 'wrk_o'), await claimable(kit)];
      const before = await look();
      await kit.reopen();
      expect(await look()).toEqual(before);
    },
  },
];
