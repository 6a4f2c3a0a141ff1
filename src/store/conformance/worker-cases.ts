import { settleGeneration } from '../../core/settle.ts';
import type { ClaimableQuery } from '../store.ts';
import { attemptRecord, hasPeers, keyOf, suiteRules, type ConformanceCase, type Kit } from './kit.ts';

async function claimable(kit: Kit, query: Partial<ClaimableQuery> = {}): Promise<readonly string[]> {
  const found = await kit.store.findClaimable({ nowMs: kit.nowMs, deadWorkers: [], agents: ['suite'], limit: 100, ...query });
  return found.map(({ id }) => id);
}

/** A session whose generation failed and is tried again later; returns when. */
async function retrying(kit: Kit, options: Parameters<Kit['inWork']>[0] = {}) {
  const { ref, lease, attempt } = await kit.inWork(options);
  const outcome = { kind: 'failed' as const, attempt: attemptRecord(attempt), error: { code: 'overloaded', message: 'busy', retryable: true }, retryAfterMs: 30_000 };
  const { session } = await kit.update(ref, settleGeneration(lease, outcome, suiteRules, kit.circumstances));
  return { ref, atMs: session.turn?.retry?.atMs ?? 0 };
}

/** What the verbs of workers, and `findClaimable`, promise. */
export const workerCases: readonly ConformanceCase[] = [
  {
    name: 'a lease is renewed while it lasts, and lost once it has run out',
    run: async (kit) => {
      const { expect, store, nowMs } = kit;
      await store.registerWorker({ id: 'wrk_a', leaseMs: 1_000, agents: [] });
      const renewAt = (afterMs: number) => {
        kit.nowMs = nowMs + afterMs;
        return store.renewWorker('wrk_a', 1_000);
      };
      expect(await renewAt(900)).toEqual({ held: [], outdated: false });
      expect(await renewAt(1_800)).toEqual({ held: [], outdated: false });
      expect(await renewAt(2_800)).toBe('lost');
      // Not forgotten for that: a clock that was set back finds it as it was.
      expect(await renewAt(2_700)).toEqual({ held: [], outdated: false });
      expect(await store.renewWorker('wrk_unknown', 1_000)).toBe('lost');
    },
  },
  {
    name: 'a worker is told what it holds, with the fences',
    run: async (kit) => {
      const { expect, store } = kit;
      await store.registerWorker({ id: 'wrk_a', leaseMs: 1_000, agents: [] });
      const [first, second] = [await kit.inWork(), await kit.inWork({ tenant: 'other' })];
      await kit.inWork({}, 'wrk_b');
      const expected = [first, second].map(({ ref, lease }) => ({ ...ref, fence: lease.fence }));
      const held = async () => (await store.findHeld('wrk_a')).map(({ tenant, id, fence }) => ({ tenant, id, fence }));
      const sorted = <Item extends { readonly id: string }>(items: readonly Item[]) => items.toSorted((left, right) => left.id.localeCompare(right.id));
      expect(sorted(await held())).toEqual(sorted(expected));
      const renewed = await store.renewWorker('wrk_a', 2_000);
      expect(renewed === 'lost' ? renewed : sorted(renewed.held.map(({ tenant, id, fence }) => ({ tenant, id, fence })))).toEqual(sorted(expected));
      const taken = await kit.claimed(first.ref, 'wrk_b', ['wrk_a']);
      expect(await held()).toEqual(expected.slice(1));
      expect((await store.findHeld('wrk_b')).find(({ id }) => id === first.ref.id)?.fence).toBe(taken.lease.fence);
      await kit.settle(second, [{ type: 'text', text: 'done' }]);
      expect(await held()).toEqual([]);
    },
  },
  {
    name: 'a worker whose lease has run out is dead, until it is forgotten',
    run: async (kit) => {
      const { expect, store, nowMs } = kit;
      expect(await store.findDeadWorkers()).toEqual({ dead: [], nextEndMs: null });
      await store.registerWorker({ id: 'wrk_a', leaseMs: 1_000, agents: [] });
      await store.registerWorker({ id: 'wrk_b', leaseMs: 9_000, agents: [] });
      kit.nowMs = nowMs + 999;
      expect(await store.findDeadWorkers()).toEqual({ dead: [], nextEndMs: 1 });
      kit.nowMs = nowMs + 1_000;
      expect(await store.findDeadWorkers()).toEqual({ dead: ['wrk_a'], nextEndMs: 8_000 });
      await store.removeDeadWorkers(['wrk_a']);
      expect(await store.findDeadWorkers()).toEqual({ dead: [], nextEndMs: 8_000 });
      expect(await store.renewWorker('wrk_a', 5_000)).toBe('lost');
    },
  },
  {
    name: 'a dead worker is not forgotten while a session names it',
    run: async (kit) => {
      const { expect, store, nowMs } = kit;
      await store.registerWorker({ id: 'wrk_a', leaseMs: 1_000, agents: [] });
      const { ref } = await kit.inWork();
      kit.nowMs = nowMs + 2_000;
      await store.removeDeadWorkers(['wrk_a']);
      expect((await store.findDeadWorkers()).dead).toEqual(['wrk_a']);
      // Its row is still there, as a renewal that comes in time shows.
      kit.nowMs = nowMs;
      expect(await store.renewWorker('wrk_a', 1_500) === 'lost').toBe(false);
      await kit.claimed(ref, 'wrk_b', ['wrk_a']);
      kit.nowMs = nowMs + 2_000;
      await store.removeDeadWorkers(['wrk_a']);
      expect((await store.findDeadWorkers()).dead.includes('wrk_a')).toBe(false);
    },
  },
  {
    name: 'a worker that sessions name and nobody announced is dead',
    run: async (kit) => {
      const { expect, store } = kit;
      await kit.inWork({}, 'wrk_stray');
      await kit.inWork({}, 'wrk_stray');
      expect(await store.findDeadWorkers()).toEqual({ dead: ['wrk_stray'], nextEndMs: null });
    },
  },
  {
    name: 'a retired worker is gone, and is dead while a session still names it',
    run: async (kit) => {
      const { expect, store } = kit;
      await store.registerWorker({ id: 'wrk_a', leaseMs: 9_000, agents: [] });
      const { ref } = await kit.inWork();
      await store.retireWorker('wrk_a');
      expect((await store.findDeadWorkers()).dead).toEqual(['wrk_a']);
      expect(await store.renewWorker('wrk_a', 9_000)).toBe('lost');
      await kit.claimed(ref, 'wrk_b', ['wrk_a']);
      expect((await store.findDeadWorkers()).dead.includes('wrk_a')).toBe(false);
    },
  },
  {
    name: 'a worker whose process is gone is dead before its lease runs out',
    when: (traits) => traits.processLocks && traits.hasPeers,
    run: async (kit) => {
      const { expect, store } = kit;
      const peer = await kit.peer();
      await peer.registerWorker({ id: 'wrk_peer', leaseMs: 60_000, agents: [] });
      await store.registerWorker({ id: 'wrk_a', leaseMs: 60_000, agents: [] });
      expect([(await store.findDeadWorkers()).dead, (await peer.findDeadWorkers()).dead]).toEqual([[], []]);
      await peer.close();
      expect((await store.findDeadWorkers()).dead).toEqual(['wrk_peer']);
      await store.removeDeadWorkers(['wrk_peer']);
      expect((await store.findDeadWorkers()).dead).toEqual([]);
    },
  },
  {
    name: 'every process sees the same workers',
    when: hasPeers,
    run: async (kit) => {
      const { expect, store } = kit;
      const peer = await kit.peer();
      await peer.registerWorker({ id: 'wrk_peer', leaseMs: 1_000, agents: ['a', 'it\'s "odd"'] });
      const { ref } = await kit.inWork({}, 'wrk_peer');
      expect((await peer.findHeld('wrk_peer')).map(({ id }) => id)).toEqual([ref.id]);
      kit.nowMs += 1_000;
      expect([(await store.findDeadWorkers()).dead, (await peer.findDeadWorkers()).dead]).toEqual([['wrk_peer'], ['wrk_peer']]);
      expect((await store.listWorkers()).map(({ id, agents, isDead }) => ({ id, agents, isDead }))).toEqual([{ id: 'wrk_peer', agents: ['a', 'it\'s "odd"'], isDead: true }]);
    },
  },
  {
    name: 'the workers that are announced are listed with their agents and the version that they were made for',
    run: async (kit) => {
      const { expect, store } = kit;
      await store.registerWorker({ id: 'wrk_a', leaseMs: 1_000, agents: ['one', 'two'] });
      await store.registerWorker({ id: 'wrk_b', leaseMs: 5_000, agents: [] });
      kit.nowMs += 1_000;
      const listed = (await store.listWorkers()).toSorted((left, right) => left.id.localeCompare(right.id));
      expect(listed.map(({ id, agents, isDead }) => [id, agents, isDead])).toEqual([['wrk_a', ['one', 'two'], true], ['wrk_b', [], false]]);
      expect(listed.every(({ schemaVersion }) => Number.isInteger(schemaVersion) && schemaVersion > 0)).toBe(true);
    },
  },
  {
    name: 'claimable are the sessions that are due and nobody\'s, the oldest first',
    run: async (kit) => {
      const { expect } = kit;
      expect(await claimable(kit)).toEqual([]);
      await kit.create();
      const ready: string[] = [];
      for (let place = 0; place < 3; place += 1) {
        kit.nowMs += 10;
        ready.push((await kit.create({ text: 'x' })).id);
      }
      await kit.inWork();
      expect(await claimable(kit)).toEqual(ready);
      expect(await claimable(kit, { limit: 2 })).toEqual(ready.slice(0, 2));
    },
  },
  {
    name: 'a retry is claimable from its time on',
    run: async (kit) => {
      const { expect } = kit;
      const { ref, atMs } = await retrying(kit);
      expect(await claimable(kit, { nowMs: atMs - 1 })).toEqual([]);
      expect(await claimable(kit, { nowMs: atMs })).toEqual([ref.id]);
    },
  },
  {
    name: 'a retry that is due is not hidden by turns that began later, nor are they by it',
    run: async (kit) => {
      const { expect } = kit;
      const { ref, atMs } = await retrying(kit);
      const later: string[] = [];
      for (let place = 0; place < 30; place += 1) {
        kit.nowMs += 10;
        later.push((await kit.create({ text: 'x' })).id);
      }
      expect(await claimable(kit, { nowMs: atMs, limit: 3 })).toEqual([ref.id, ...later.slice(0, 2)]);
      expect(await claimable(kit, { nowMs: atMs - 1, limit: 3 })).toEqual(later.slice(0, 3));
    },
  },
  {
    name: 'a retry that is due is not hidden by newer turns, however many wait',
    run: async (kit) => {
      const { expect } = kit;
      const { ref, atMs } = await retrying(kit);
      for (let count = 0; count < 20; count += 1) {
        kit.nowMs += 1;
        await kit.create({ text: 'x' });
      }
      expect(await claimable(kit, { nowMs: atMs, limit: 1 })).toEqual([ref.id]);
    },
  },
  {
    name: 'a session that ends by inactivity is claimable from its time on',
    run: async (kit) => {
      const { expect } = kit;
      const session = await kit.create();
      await kit.update(session, (loaded) => ({ session: { ...loaded.session, endsAtMs: kit.nowMs + 500 }, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null }));
      expect(await claimable(kit, { nowMs: kit.nowMs + 499 })).toEqual([]);
      expect(await claimable(kit, { nowMs: kit.nowMs + 500 })).toEqual([session.id]);
      expect((await kit.claim(session, 'wrk_a').catch(() => null))?.session.ended).toBe(undefined);
      kit.nowMs += 500;
      expect((await kit.claim(session, 'wrk_a')).session.ended).toBe(true);
      expect(await claimable(kit, { nowMs: kit.nowMs + 1e9 })).toEqual([]);
    },
  },
  {
    name: 'the sessions of dead workers are claimable, of living ones not',
    run: async (kit) => {
      const { expect } = kit;
      const [first, second] = [await kit.inWork({}, 'wrk_dead'), await kit.inWork({}, 'wrk_dead')];
      await kit.inWork({}, 'wrk_alive');
      const due = await kit.create({ text: 'x' });
      expect(await claimable(kit)).toEqual([due.id]);
      expect(new Set(await claimable(kit, { deadWorkers: ['wrk_dead', 'wrk_unknown'] }))).toEqual(new Set([first.ref.id, second.ref.id, due.id]));
    },
  },
  {
    name: 'claimable are only sessions with the agents asked for, each with its agent',
    run: async (kit) => {
      const { expect, store } = kit;
      await kit.create({ text: 'x' });
      const other = await kit.create({ text: 'x', agent: 'it\'s "odd"' });
      await kit.claimed(keyOf(await kit.create({ text: 'x', agent: 'third' })), 'wrk_dead');
      const query = { nowMs: kit.nowMs, deadWorkers: ['wrk_dead'], limit: 10 };
      expect(await store.findClaimable({ ...query, agents: [other.agent, 'none'] })).toEqual([{ tenant: 'acme', id: other.id, agent: other.agent }]);
      expect(await store.findClaimable({ ...query, agents: [] })).toEqual([]);
      expect((await store.findClaimable({ ...query, agents: ['suite', other.agent, 'third'] })).length).toBe(3);
    },
  },
  {
    name: 'tenants are served in turn, so that one tenant\'s backlog does not hide another\'s session',
    run: async (kit) => {
      const { expect, store } = kit;
      for (let place = 0; place < 12; place += 1) await kit.create({ tenant: 'busy', text: 'x' });
      kit.nowMs += 1_000;
      await kit.create({ tenant: 'calm', text: 'x' });
      kit.nowMs += 1_000;
      const found = await store.findClaimable({ nowMs: kit.nowMs, deadWorkers: [], agents: ['suite'], limit: 3 });
      expect(found.map(({ tenant }) => tenant)).toEqual(['busy', 'calm', 'busy']);
    },
  },
  {
    name: 'no backlog of one tenant is so long that it hides another\'s session, nor another\'s retry',
    run: async (kit) => {
      const { expect, store } = kit;
      for (let place = 0; place < 200; place += 1) await kit.create({ tenant: 'busy', text: 'x' });
      kit.nowMs += 1_000;
      const calm = await kit.create({ tenant: 'calm', text: 'x' });
      kit.nowMs += 1_000;
      const { ref, atMs } = await retrying(kit, { tenant: 'also calm' });
      const find = (nowMs: number, limit: number) => store.findClaimable({ nowMs, deadWorkers: [], agents: ['suite'], limit });
      const found = await find(kit.nowMs, 2);
      expect(found.map(({ tenant }) => tenant)).toEqual(['busy', 'calm']);
      expect(found[1]?.id).toBe(calm.id);
      expect((await find(atMs, 3)).map(({ tenant }) => tenant)).toEqual(['busy', 'calm', 'also calm']);
      expect((await find(atMs, 3))[2]?.id).toBe(ref.id);
      // What a tenant with little leaves of its share, the one with much is given.
      expect((await find(atMs, 9)).map(({ tenant }) => tenant)).toEqual(['busy', 'calm', 'also calm', ...Array.from({ length: 6 }, () => 'busy')]);
      expect((await find(atMs, 1_000)).length).toBe(202);
      for (let place = 0; place < 2; place += 1) await kit.create({ tenant: 'calm', text: 'x' });
      expect((await find(kit.nowMs, 6)).map(({ tenant }) => tenant)).toEqual(['busy', 'calm', 'busy', 'calm', 'busy', 'calm']);
    },
  },
  {
    name: 'no backlog of retries of one tenant hides another\'s session or retry',
    run: async (kit) => {
      const { expect, store } = kit;
      for (let place = 0; place < 40; place += 1) await retrying(kit, { tenant: 'busy' });
      kit.nowMs += 1_000;
      const calm = await kit.create({ tenant: 'calm', text: 'x' });
      kit.nowMs += 60_000;
      const { ref, atMs } = await retrying(kit, { tenant: 'also calm' });
      const found = await store.findClaimable({ nowMs: atMs, deadWorkers: [], agents: ['suite'], limit: 3 });
      expect(found.map(({ tenant }) => tenant)).toEqual(['busy', 'calm', 'also calm']);
      expect(found.slice(1).map(({ id }) => id)).toEqual([calm.id, ref.id]);
    },
  },
  {
    name: 'of two claims of one session at once one takes it and the other is refused',
    run: async (kit) => {
      const { expect } = kit;
      const session = await kit.create({ text: 'x' });
      const claims = await Promise.allSettled(['wrk_a', 'wrk_b'].map((worker) => kit.claim(session, worker)));
      const taken = claims.flatMap((claim) => (claim.status === 'fulfilled' ? [claim.value] : []));
      expect(taken.length).toBe(1);
      expect((await kit.tail(session)).session).toEqual(taken[0]?.session);
    },
  },
];
