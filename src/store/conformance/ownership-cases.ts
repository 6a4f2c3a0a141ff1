import { acceptSettings } from '../../core/accept/settings.ts';
import { acceptTransfer } from '../../core/accept/transfer.ts';
import { deleteTransition } from '../../core/accept/end.ts';
import type { SessionKey } from '../store.ts';
import { committed, keyOf, type ConformanceCase, type Kit } from './kit.ts';
import { finishOperation, startOperation } from './operation-kit.ts';

/** Ada's session, with an external id, and every key by which others might try to reach it. */
async function adasSession(kit: Kit) {
  const work = await kit.inWork({ externalId: 'crm-1', title: 'secret' });
  const { id } = work.ref;
  const strangers: readonly SessionKey[] = [
    { tenant: 'acme', id, owner: 'bob' }, { tenant: 'acme', id: 'crm-1', owner: 'bob' }, { tenant: 'other', id }, { tenant: 'other', id: 'crm-1' },
    { tenant: 'other', id, owner: 'ada' }, { tenant: 'acme', id, owner: '' }, { tenant: '', id, owner: 'ada' },
  ];
  return { work, strangers };
}

/** G13: what is another's does not exist. */
export const ownershipCases: readonly ConformanceCase[] = [
  {
    name: 'another owner\'s or tenant\'s key finds nothing to read',
    run: async (kit) => {
      const { expect, store } = kit;
      const { strangers } = await adasSession(kit);
      for (const key of strangers) {
        expect(await store.readSession(key)).toBe(null);
        expect(await store.readTail(key, { afterSeq: 0, limit: 10, attemptId: null, afterOrdinal: -1 })).toBe(null);
        if (key.tenant !== 'acme') expect(await store.readEntries(key, { limit: 10 })).toEqual([]);
      }
    },
  },
  {
    name: 'another owner\'s or tenant\'s key changes nothing: refused as unknown, without running the transition',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, strangers } = await adasSession(kit);
      const before = await kit.tail(work.ref);
      let runs = 0;
      for (const key of strangers) {
        const result = await store.update({ key, transition: (loaded) => { runs += 1; return deleteTransition(kit.nowMs)(loaded); } });
        expect(result.kind === 'refused' && [result.refusal.refused, result.session]).toEqual(['session_not_found', null]);
      }
      expect(runs).toBe(0);
      expect(await kit.tail(work.ref)).toEqual(before);
    },
  },
  {
    name: 'the owner\'s own key finds and changes it',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work } = await adasSession(kit);
      for (const id of [work.ref.id, 'crm-1']) {
        const key = { tenant: 'acme', id, owner: 'ada' };
        expect((await store.readSession(key))?.id).toBe(work.ref.id);
        expect((await store.update({ key, transition: () => ({ session: work.session, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null }) })).kind).toBe('committed');
      }
    },
  },
  {
    name: 'another\'s idempotent reply is not given away',
    run: async (kit) => {
      const { expect } = kit;
      const { work, strangers } = await adasSession(kit);
      await kit.command(work.ref, acceptSettings({ title: 'told' }), { idempotency: [kit.key('k')] });
      for (const key of strangers) {
        const result = await kit.store.update({ key, idempotency: [kit.key('k')], transition: () => { throw new Error('not to be run'); } });
        expect(result.kind === 'refused' && result.refusal.refused).toBe('session_not_found');
      }
    },
  },
  {
    name: 'work of another tenant\'s session lands nowhere',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work } = await adasSession(kit);
      const ref = { tenant: 'other', id: work.ref.id };
      const { fence } = work.lease;
      expect(await store.appendChunkIfHeld({ ref, fence, attemptId: work.attempt.id, ordinal: 0, segments: [{ part: 0, type: 'text', offset: 0, text: 'x' }] })).toBe('fence-lost');
      expect(await store.storeOutcomeIfHeld({ ref, fence, stepSeq: 1, result: { index: 0, toolCallId: 'c', toolName: 'pay', outcome: 'done' } })).toBe('fence-lost');
      expect((await kit.tail(work.ref)).chunks).toEqual([]);
    },
  },
  {
    name: 'lists and counts hold only the tenant\'s and, where named, the owner\'s sessions',
    run: async (kit) => {
      const { expect, store } = kit;
      await adasSession(kit);
      await kit.create({ owner: 'bob', title: 'his' });
      await kit.create({ tenant: 'other', owner: 'ada', title: 'elsewhere' });
      const list = async (filter: { readonly tenant: string; readonly owner?: string }) => {
        const page = await store.listSessions({ ...filter, limit: 10, count: true });
        return [page.items.map(({ title }) => title), page.count];
      };
      expect(await list({ tenant: 'acme', owner: 'ada' })).toEqual([['secret'], 1]);
      expect(await list({ tenant: 'acme', owner: 'bob' })).toEqual([['his'], 1]);
      expect(await list({ tenant: 'acme', owner: 'eve' })).toEqual([[], 0]);
      expect(await list({ tenant: 'other' })).toEqual([['elsewhere'], 1]);
      expect(await list({ tenant: 'nobody' })).toEqual([[], 0]);
      expect((await store.listSessions({ tenant: 'acme', limit: 10, count: true })).count).toBe(2);
    },
  },
  {
    name: 'a session that is given to another owner is found as that one\'s, with its operations, and as the old one\'s no more',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, operation } = await startOperation(kit, { mode: 'detach', externalId: 'crm-7' });
      const ended = await startOperation(kit, { externalId: 'crm-8' });
      committed(await kit.command(work.ref, acceptTransfer('bob')));
      const seenBy = async (owner: string) => [
        (await store.readSession({ tenant: 'acme', id: 'crm-7', owner }))?.id ?? null, (await store.readSession({ ...keyOf(work.ref), owner }))?.owner ?? null,
        (await store.readOperation({ tenant: 'acme', id: operation.id, owner }))?.owner ?? null,
        (await store.listSessions({ tenant: 'acme', owner, limit: 10, count: true })).items.map(({ id }) => id),
      ];
      expect(await seenBy('bob')).toEqual([work.ref.id, 'bob', 'bob', [work.ref.id]]);
      expect(await seenBy('ada')).toEqual([null, null, null, [ended.work.ref.id]]);
      expect((await store.readOperation({ tenant: 'acme', id: ended.operation.id }))?.owner).toBe('ada');
      // Work in flight goes on: it is the session's, whoever owns it.
      expect((await finishOperation(kit, operation)).operation.status).toBe('succeeded');
    },
  },
  {
    name: 'a session is not given to an owner who has one of the same external id',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create({ externalId: 'crm-9' });
      const other = await kit.create({ owner: 'bob', externalId: 'crm-9' });
      const given = await kit.command(session, acceptTransfer('bob'));
      expect(given.kind === 'refused' && [given.refusal.refused, given.session?.owner]).toEqual(['external_id_taken', 'ada']);
      expect((await store.readSession({ tenant: 'acme', id: 'crm-9', owner: 'bob' }))?.id).toBe(other.id);
      committed(await kit.command(session, acceptTransfer('eve')));
    },
  },
  {
    name: 'two tenants may have one session id without meeting',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create({ title: 'acme\'s' });
      const twin = await store.create({
        ref: { tenant: 'other', id: session.id }, owner: 'ada',
        build: () => ({ session: { ...session, tenant: 'other', title: 'other\'s' }, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null }),
        replyToStore: () => null,
      });
      expect(twin.kind).toBe('created');
      await kit.touch({ tenant: 'other', id: session.id }, 'changed');
      expect((await store.readSession(keyOf(session)))?.title).toBe('acme\'s');
      expect((await store.readEntries({ tenant: 'other', id: session.id }, { limit: 10 })).length).toBe(1);
      await kit.update({ tenant: 'other', id: session.id }, deleteTransition(kit.nowMs));
      expect((await store.readSession(keyOf(session)))?.title).toBe('acme\'s');
      expect((await store.readEntries(keyOf(session), { limit: 10 })).length).toBe(1);
    },
  },
];
