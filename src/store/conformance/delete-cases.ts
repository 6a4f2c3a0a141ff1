import { deleteTransition } from '../../core/accept/end.ts';
import { acceptRedact } from '../../core/accept/redact.ts';
import { acceptSettings } from '../../core/accept/settings.ts';
import { InvariantError, refuse } from '../../core/errors.ts';
import type { SessionRef, Store } from '../store.ts';
import { callPart, codeOf, committed, doneResult, keyOf, rejectionOf, type ConformanceCase, type Kit } from './kit.ts';
import { finishOperation, operationOf, startOperation } from './operation-kit.ts';

const everything = { limit: 100, olderThanMs: Number.MAX_SAFE_INTEGER };

/** A session that has a row in every place where a session can have one. */
async function richSession(kit: Kit) {
  const { store } = kit;
  const work = await kit.inWork({ externalId: 'crm-1', title: 'rich' });
  const session = await kit.settle(work, [{ type: 'text', text: 'both' }, callPart(0, 'pay'), callPart(1, 'pay')], 'tool-calls');
  const { ref, lease } = work;
  const stepSeq = session.turn?.lastStep?.seq ?? 0;
  await store.storeOutcomeIfHeld({ ref, fence: lease.fence, stepSeq, result: doneResult(1, 'pay') });
  committed(await kit.command(ref, acceptSettings({ title: 'rich indeed' }), { idempotency: [kit.key('k', { expiresAtMs: null })] }));
  return { ref, lease, stepSeq };
}

/** A session with stored live output. */
async function liveSession(kit: Kit) {
  const work = await kit.inWork({ externalId: 'crm-2' });
  await kit.store.appendChunkIfHeld({ ref: work.ref, fence: work.lease.fence, attemptId: work.attempt.id, ordinal: 0, segments: [{ part: 0, type: 'text', offset: 0, text: 'live' }] });
  return work;
}

async function expectNothingLeft(kit: Kit, ref: SessionRef, externalId: string): Promise<void> {
  const { expect, store } = kit;
  for (const id of [ref.id, externalId]) {
    expect(await store.readSession({ tenant: ref.tenant, id })).toBe(null);
    expect(await store.readTail({ tenant: ref.tenant, id }, { afterSeq: 0, limit: 10, attemptId: null, afterOrdinal: -1 })).toBe(null);
  }
  expect(await store.readEntries(ref, { limit: 10 })).toEqual([]);
  expect((await store.listSessions({ tenant: ref.tenant, limit: 10, count: true })).items.some(({ id }) => id === ref.id)).toBe(false);
  expect((await store.findHeld('wrk_a')).some(({ id }) => id === ref.id)).toBe(false);
  expect((await store.findClaimable({ nowMs: kit.nowMs + 1e9, deadWorkers: ['wrk_a'], agents: ['suite'], limit: 10 })).some(({ id }) => id === ref.id)).toBe(false);
  expect((await store.readOutbox(everything)).some(({ id }) => id === ref.id)).toBe(false);
}

/** What deleting a session, `close` and opening again promise. */
export const deleteCases: readonly ConformanceCase[] = [
  {
    name: 'the key of a deletion outlives its session: the same request is given the first reply, another body is refused',
    run: async (kit) => {
      const { expect, store } = kit;
      const key = keyOf(await kit.create());
      const remove = (fingerprint: string) => store.update({
        key, idempotency: [kit.key('delete once', { fingerprint })], transition: deleteTransition(kit.nowMs), replyToStore: (reply) => ({ ...reply }),
      });
      expect((await remove('body')).kind).toBe('committed');
      const [again, other, unkeyed] = [await remove('body'), await remove('another body'), await store.update({ key, transition: deleteTransition(kit.nowMs) })];
      expect(again.kind === 'replayed' && again.reply).toEqual({ deleted: true });
      expect(other.kind === 'refused' && other.refusal.refused).toBe('idempotency_mismatch');
      expect(unkeyed.kind === 'refused' && unkeyed.refusal.refused).toBe('session_not_found');
    },
  },
  {
    name: 'deleting removes every row of a session and leaves the others',
    outboxKinds: ['assistant-step', 'session-created'],
    run: async (kit) => {
      const { expect, store } = kit;
      const bystander = await kit.inWork({ externalId: 'stays' });
      const before = await kit.tail(bystander.ref);
      const rich = await richSession(kit);
      const live = await liveSession(kit);
      for (const { ref } of [rich, live]) await kit.update(ref, deleteTransition(kit.nowMs));
      await expectNothingLeft(kit, rich.ref, 'crm-1');
      await expectNothingLeft(kit, live.ref, 'crm-2');
      expect(await kit.tail(bystander.ref)).toEqual(before);
      expect((await store.readOutbox(everything)).map(({ id }) => id)).toEqual([bystander.ref.id]);
    },
  },
  {
    name: 'a new session under the ids of a deleted one has nothing of it, even if it is at the same step and attempt',
    run: async (kit) => {
      const { expect, store } = kit;
      const [rich, live] = [await richSession(kit), await liveSession(kit)];
      const before = await Promise.all([rich, live].map(({ ref }) => kit.tail(ref)));
      for (const { session } of before) {
        await kit.update(session, deleteTransition(kit.nowMs));
        const again = await store.create({
          ref: keyOf(session), owner: 'ada', externalId: session.externalId ?? undefined,
          build: () => ({ session, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null }), replyToStore: () => null,
        });
        expect(again.kind).toBe('created');
        expect(await store.readEntries(keyOf(session), { limit: 10 })).toEqual([]);
        const tail = await store.readTail(keyOf(session), { afterSeq: session.lastSeq, limit: 10, attemptId: null, afterOrdinal: -1 });
        expect([tail?.chunks, tail?.ordinal]).toEqual([[], -1]);
      }
      let outcomes: readonly unknown[] = ['not read'];
      await store.update({ key: rich.ref, reads: { outcomes: true }, transition: (loaded) => { outcomes = loaded.outcomes; return refuse('session_busy', 'looked'); } });
      expect(outcomes).toEqual([]);
      expect((await kit.command(rich.ref, acceptSettings({ title: 'x' }), { idempotency: [kit.key('k')] })).kind).toBe('committed');
    },
  },
  {
    name: 'content that is removed is in no entry, whole result or operation any more, and everything else is as it was',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, operation } = await startOperation(kit, { mode: 'detach' });
      await finishOperation(kit, operation, doneResult(operation.index, operation.toolName, 'the secret'));
      await store.storeWholeResult({ ref: work.ref, id: 'res_1', body: '"the secret"' });
      const before = await kit.tail(work.ref);
      const ended = before.entries.find(({ kind }) => kind === 'operation-ended');
      if (ended?.kind !== 'operation-ended' || ended.result === undefined) throw new InvariantError('the operation has ended');
      const entry = { ...ended, result: { ...ended.result, wholeId: 'res_1' } };
      committed(await kit.command(work.ref, acceptRedact({ entries: [entry], by: 'operator' })));
      const after = await kit.tail(work.ref);
      expect(JSON.stringify(after.entries).includes('the secret')).toBe(false);
      expect(after.entries.filter(({ seq }) => seq !== ended.seq && seq <= before.session.lastSeq)).toEqual(before.entries.filter(({ seq }) => seq !== ended.seq));
      expect(after.entries.find(({ seq }) => seq === ended.seq)?.redacted).toEqual({ atMs: kit.nowMs, by: 'operator' });
      expect([await store.readWholeResult(work.ref, 'res_1'), JSON.stringify(await operationOf(kit, operation)).includes('the secret')]).toEqual([null, false]);
    },
  },
  {
    name: 'work in flight on a deleted session lands nowhere',
    run: async (kit) => {
      const { expect, store } = kit;
      const live = await liveSession(kit);
      await kit.update(live.ref, deleteTransition(kit.nowMs));
      const { ref, lease: { fence }, attempt } = live;
      expect(await store.appendChunkIfHeld({ ref, fence, attemptId: attempt.id, ordinal: 1, segments: [] })).toBe('fence-lost');
      expect(await store.storeOutcomeIfHeld({ ref, fence, stepSeq: 3, result: doneResult(0, 'pay') })).toBe('fence-lost');
      const again = await store.update({ key: ref, transition: deleteTransition(kit.nowMs) });
      expect(again.kind === 'refused' && again.refusal.refused).toBe('session_not_found');
    },
  },
  {
    name: 'closing is idempotent, and finishes what was asked for before',
    run: async (kit) => {
      const { expect, store } = kit;
      const sessions = await Promise.all(Array.from({ length: 5 }, () => kit.create()));
      const writes = sessions.map((session) => kit.touch(session, 'just before'));
      await Promise.all([store.close(), store.close()]);
      await store.close();
      expect((await Promise.allSettled(writes)).map(({ status }) => status)).toEqual(sessions.map(() => 'fulfilled'));
    },
  },
  {
    name: 'a closed store rejects every verb with store_closed, and listening does no harm',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      await store.close();
      const ref = keyOf(session);
      const verbs: readonly ((closed: Store) => Promise<unknown>)[] = [
        (closed) => closed.migrate(), () => kit.createResult(), () => kit.touch(session, 'x'),
        (closed) => closed.appendChunkIfHeld({ ref, fence: 0, attemptId: 'att_1', ordinal: 0, segments: [] }),
        (closed) => closed.storeOutcomeIfHeld({ ref, fence: 0, stepSeq: 1, result: doneResult(0, 'pay') }),
        (closed) => closed.storeWholeResult({ ref, id: 'res_1', body: '1' }), (closed) => closed.readWholeResult(ref, 'res_1'),
        (closed) => closed.updateOperation({ key: { tenant: 'acme', id: 'op_1' }, transition: () => refuse('fence_lost', 'not to be run') }),
        (closed) => closed.readOperation({ tenant: 'acme', id: 'op_1' }), (closed) => closed.listOperations(ref, { limit: 1 }), (closed) => closed.findHeldOperations('wrk_z'),
        (closed) => closed.findClaimableOperations({ nowMs: 1, deadWorkers: [], agents: ['suite'], limit: 1 }),
        (closed) => closed.readSession(ref), (closed) => closed.readEntries(ref, { limit: 1 }),
        (closed) => closed.readTail(ref, { afterSeq: 0, limit: 1, attemptId: null, afterOrdinal: -1 }),
        (closed) => closed.listSessions({ tenant: 'acme', limit: 1, count: false }), (closed) => closed.registerWorker({ id: 'wrk_z', leaseMs: 1, agents: [] }), (closed) => closed.listWorkers(),
        (closed) => closed.renewWorker('wrk_z', 1), (closed) => closed.findHeld('wrk_z'), (closed) => closed.retireWorker('wrk_z'),
        (closed) => closed.findDeadWorkers(), (closed) => closed.removeDeadWorkers(['wrk_z']),
        (closed) => closed.findClaimable({ nowMs: 1, deadWorkers: [], agents: ['suite'], limit: 1 }),
        (closed) => closed.readOutbox(everything), (closed) => closed.deleteOutbox([{ ...ref, seq: 1, kind: 'turn-ended' }]), (closed) => closed.sweep(1, 1),
      ];
      const codes = await Promise.all(verbs.map((verb) => codeOf(verb(store))));
      expect(codes).toEqual(verbs.map(() => 'store_closed'));
      expect((await rejectionOf(store.findHeld('wrk_z')) as Error).name).toBe('StoreError');
      store.onChange(() => null)();
    },
  },
  {
    name: 'opening again finds everything that was acknowledged',
    when: ({ durable, reopens }) => durable && reopens,
    outboxKinds: ['assistant-step'],
    run: async (kit) => {
      const { expect } = kit;
      const rich = await richSession(kit);
      const live = await liveSession(kit);
      await kit.store.registerWorker({ id: 'wrk_other', leaseMs: 10_000, agents: [] });
      const look = async () => ({
        rich: await kit.tail(rich.ref), live: await kit.tail(live.ref), list: await kit.store.listSessions({ tenant: 'acme', limit: 10, count: true }),
        held: await kit.store.findHeld('wrk_a'), outbox: await kit.store.readOutbox(everything),
      });
      const before = await look();
      await kit.reopen();
      expect(await look()).toEqual(before);
      expect((await kit.command(rich.ref, acceptSettings({ title: 'x' }), { idempotency: [kit.key('k')] })).kind).toBe('replayed');
      const { entries } = await kit.claim(rich.ref, 'wrk_b', ['wrk_a']);
      expect(entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ outcome }) => outcome) : []))).toEqual(['unknown', 'done']);
    },
  },
  {
    name: 'migrating again, and from several processes at once, changes nothing',
    when: ({ hasPeers }) => hasPeers,
    run: async (kit) => {
      const { expect } = kit;
      const session = await kit.create({ text: 'hello' });
      const peer = await kit.peer();
      await Promise.all([kit.store.migrate(), peer.migrate(), kit.store.migrate(), peer.migrate()]);
      expect((await kit.tail(session)).session).toEqual(session);
      expect((await kit.tail(session, peer)).session).toEqual(session);
    },
  },
];
