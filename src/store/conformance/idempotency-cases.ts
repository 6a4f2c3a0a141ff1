import { deleteTransition } from '../../core/accept/end.ts';
import { acceptSend } from '../../core/accept/send.ts';
import { acceptSettings } from '../../core/accept/settings.ts';
import { refuse } from '../../core/errors.ts';
import type { Idempotency } from '../store.ts';
import { committed, hasPeers, keyOf, type ConformanceCase, type Kit } from './kit.ts';

const dayMs = 86_400_000;

/** A send with keys; the message is another one each time, so that a second effect would be seen. */
function sendWith(kit: Kit, key: Parameters<Kit['tail']>[0], idempotency: readonly Idempotency[], store = kit.store) {
  const message = { messageId: kit.mint('msg'), parts: [{ type: 'text' as const, text: 'hello' }] };
  return kit.command(key, acceptSend({ message, whenBusy: 'queue' }), { idempotency }, store);
}

/** What keys promise on `update` (G2), and `sweep`. */
export const idempotencyCases: readonly ConformanceCase[] = [
  {
    name: 'a repetition with the same key and body gives the first reply and its status, and has no effect',
    run: async (kit) => {
      const { expect } = kit;
      const session = await kit.create();
      const first = committed(await sendWith(kit, session, [kit.key('k')]));
      const before = await kit.tail(session);
      for (let time = 0; time < 3; time += 1) {
        expect(await sendWith(kit, session, [kit.key('k')])).toEqual({ kind: 'replayed', reply: first.reply.reply, httpStatus: 202 });
      }
      expect(await kit.tail(session)).toEqual(before);
    },
  },
  {
    name: 'a repetition with another body is refused with the key\'s own refusal, and has no effect',
    run: async (kit) => {
      const { expect } = kit;
      const session = await kit.create();
      committed(await sendWith(kit, session, [kit.key('k')]));
      const before = await kit.tail(session);
      const mismatch = refuse('message_id_taken', 'mine', { of: 'key' });
      expect(await sendWith(kit, session, [kit.key('k', { fingerprint: 'body-2', mismatch })])).toEqual({ kind: 'refused', refusal: mismatch, session: before.session });
      expect(await kit.tail(session)).toEqual(before);
    },
  },
  {
    name: 'a key that does not replay refuses every repetition',
    run: async (kit) => {
      const { expect } = kit;
      const session = await kit.create();
      committed(await sendWith(kit, session, [kit.key('m', { replays: false })]));
      const again = await sendWith(kit, session, [kit.key('m', { replays: false })]);
      expect(again.kind === 'refused' && again.refusal.refused).toBe('idempotency_mismatch');
    },
  },
  {
    name: 'of several keys the first that is known decides, and all are stored with the commit',
    run: async (kit) => {
      const { expect } = kit;
      const session = await kit.create();
      const request = kit.key('request');
      const message = kit.key('message', { replays: false, expiresAtMs: null, mismatch: refuse('message_id_taken', 'taken') });
      committed(await sendWith(kit, session, [request, message]));
      expect((await sendWith(kit, session, [request, message])).kind).toBe('replayed');
      const other = await sendWith(kit, session, [kit.key('request-2'), message]);
      expect(other.kind === 'refused' && other.refusal.refused).toBe('message_id_taken');
      expect((await sendWith(kit, session, [{ ...message, replays: true }])).kind).toBe('replayed');
      committed(await sendWith(kit, session, [kit.key('request-2')]));
    },
  },
  {
    name: 'a key is looked at before the transition runs',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      committed(await sendWith(kit, session, [kit.key('k')]));
      let runs = 0;
      const again = await store.update({ key: keyOf(session), idempotency: [kit.key('k')], transition: () => { runs += 1; return refuse('revision_conflict', 'late'); } });
      expect([again.kind, runs]).toEqual(['replayed', 0]);
    },
  },
  {
    name: 'a refusal is not stored: the same key works afterwards, with any body',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      const refused = await store.update({ key: keyOf(session), idempotency: [kit.key('k')], transition: () => refuse('session_busy', 'not now') });
      expect(refused.kind).toBe('refused');
      committed(await sendWith(kit, session, [kit.key('k', { fingerprint: 'body-2' })]));
    },
  },
  {
    name: 'a commit that fails stores no key',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      const failed = store.update({ key: keyOf(session), idempotency: [kit.key('k')], transition: () => { throw new Error('boom'); } });
      expect(await failed.then(() => 'committed', () => 'rejected')).toBe('rejected');
      committed(await sendWith(kit, session, [kit.key('k', { fingerprint: 'body-2' })]));
    },
  },
  {
    name: 'of many repetitions at once one has the effect and all have its reply',
    run: async (kit) => {
      await expectOneEffect(kit, [kit.store]);
    },
  },
  {
    name: 'of many repetitions from two processes at once one has the effect and all have its reply',
    when: hasPeers,
    run: async (kit) => {
      await expectOneEffect(kit, [kit.store, await kit.peer()]);
    },
  },
  {
    name: 'a key is its session\'s own, and its tenant\'s',
    run: async (kit) => {
      const { expect } = kit;
      const results = [];
      for (const session of [await kit.create(), await kit.create(), await kit.create({ tenant: 'other' })]) results.push((await sendWith(kit, session, [kit.key('k')])).kind);
      expect(results).toEqual(['committed', 'committed', 'committed']);
    },
  },
  {
    name: 'a key of the tenant stands for its first session, with whatever session it comes again, and outlives it',
    run: async (kit) => {
      const { expect } = kit;
      const [session, other] = [await kit.create(), await kit.create()];
      const key = kit.key('k', { ofTenant: true });
      const first = committed(await sendWith(kit, session, [key]));
      const replayed = { kind: 'replayed', reply: first.reply.reply, httpStatus: 202 };
      expect([await sendWith(kit, session, [key]), await sendWith(kit, other, [key])]).toEqual([replayed, replayed]);
      // The same text as a session's own key is another key.
      expect((await sendWith(kit, session, [kit.key('k')])).kind).toBe('committed');
      committed(await kit.update(session, deleteTransition(kit.nowMs)));
      expect([await sendWith(kit, session, [key]), await sendWith(kit, other, [key])]).toEqual([replayed, replayed]);
    },
  },
  {
    name: 'a key of a session is found under its external id as well',
    run: async (kit) => {
      const { expect } = kit;
      const session = await kit.create({ externalId: 'crm-1' });
      const first = committed(await sendWith(kit, session, [kit.key('k')]));
      expect(await sendWith(kit, { tenant: 'acme', id: 'crm-1' }, [kit.key('k')])).toEqual({ kind: 'replayed', reply: first.reply.reply, httpStatus: 202 });
    },
  },
  {
    name: 'an expired key is swept once its turn is over, and not before',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      committed(await kit.command(work.ref, acceptSettings({ title: 'x' }), { idempotency: [kit.key('k', { expiresAtMs: kit.nowMs + dayMs })] }));
      kit.nowMs += 2 * dayMs;
      expect(await store.sweep(kit.nowMs, 100)).toBe(0);
      expect((await kit.command(work.ref, acceptSettings({ title: 'x' }), { idempotency: [kit.key('k')] })).kind).toBe('replayed');
      await kit.settle(work, [{ type: 'text', text: 'done' }]);
      expect(await store.sweep(kit.nowMs, 100)).toBe(1);
      expect((await kit.command(work.ref, acceptSettings({ title: 'y' }), { idempotency: [kit.key('k')] })).kind).toBe('committed');
    },
  },
  {
    name: 'the expired key of a creation is kept while the new session\'s turn is open',
    run: async (kit) => {
      const { expect, store } = kit;
      const created = await kit.createResult({ text: 'hello', idempotency: [kit.key('create', { expiresAtMs: kit.nowMs + dayMs })] });
      kit.nowMs += 2 * dayMs;
      expect(await store.sweep(kit.nowMs, 100)).toBe(0);
      expect((await kit.createResult({ text: 'hello', idempotency: [kit.key('create')] })).kind).toBe('replayed');
      if (created.kind === 'created') await kit.answer(created.session, 'done');
      expect(await store.sweep(kit.nowMs, 100)).toBe(1);
    },
  },
  {
    name: 'sweeping takes only what has expired, never a key that is for good, and at most as many as asked',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      for (let place = 0; place < 5; place += 1) committed(await sendWith(kit, await kit.create(), [kit.key(`old-${place}`, { expiresAtMs: kit.nowMs + 10 })]).then(async (result) => {
        await kit.answer(committed(result).session, 'done');
        return result;
      }));
      const change = (keys: readonly Idempotency[]) => kit.command(session, acceptSettings({ title: 'x' }), { idempotency: keys });
      committed(await change([kit.key('young', { expiresAtMs: kit.nowMs + dayMs }), kit.key('for good', { expiresAtMs: null })]));
      kit.nowMs += 1_000;
      expect([await store.sweep(kit.nowMs, 3), await store.sweep(kit.nowMs, 3), await store.sweep(kit.nowMs, 3)]).toEqual([3, 2, 0]);
      expect([(await change([kit.key('young')])).kind, (await change([kit.key('for good')])).kind]).toEqual(['replayed', 'replayed']);
      kit.nowMs += 400 * dayMs;
      await store.sweep(kit.nowMs, 100);
      expect([(await change([kit.key('for good')])).kind, (await change([kit.key('young')])).kind]).toEqual(['replayed', 'committed']);
    },
  },
];

async function expectOneEffect(kit: Kit, stores: readonly Kit['store'][]): Promise<void> {
  const { expect } = kit;
  const session = await kit.create();
  const results = await Promise.all(Array.from({ length: 30 }, (_, place) => sendWith(kit, session, [kit.key('k')], stores[place % stores.length])));
  const replies = results.map((result) => JSON.stringify(result.kind === 'committed' ? result.reply.reply : result.kind === 'replayed' ? result.reply : result));
  expect(results.filter(({ kind }) => kind === 'committed').length).toBe(1);
  expect(results.filter(({ kind }) => kind === 'replayed').length).toBe(29);
  expect(new Set(replies.map((reply) => (JSON.parse(reply) as { messageId: string }).messageId)).size).toBe(1);
  expect((await kit.tail(session)).entries.filter(({ kind }) => kind === 'user-message').length).toBe(1);
}
