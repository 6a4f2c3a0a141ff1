import { acceptSend } from '../../core/accept/send.ts';
import { acceptQueueEdit } from '../../core/accept/queue.ts';
import { refuse } from '../../core/errors.ts';
import type { Entry, MessageContent } from '../../core/entry.ts';
import { limits } from '../../core/limits.ts';
import { codeOf, committed, hasPeers, keyOf, touching, type ConformanceCase, type Kit } from './kit.ts';

/** Sessions' seqs are dense, and each transition saw the one before it. */
async function expectSerial(kit: Kit, key: Parameters<Kit['tail']>[0], replies: readonly number[]): Promise<void> {
  const { expect } = kit;
  const { session, entries } = await kit.tail(key);
  expect(replies.toSorted((left, right) => left - right)).toEqual(replies.map((_reply, place) => place + 2));
  expect(entries.map(({ seq }) => seq)).toEqual(Array.from({ length: session.lastSeq }, (_, place) => place + 1));
  expect(session.lastSeq).toBe(replies.length + 1);
}

/** What `update` promises. */
export const updateCases: readonly ConformanceCase[] = [
  {
    name: 'a transition sees the session as last committed, and its change is what is read next',
    run: async (kit) => {
      const { expect, store } = kit;
      let before = await kit.create();
      const key = keyOf(before);
      for (const title of ['one', 'two', 'three']) {
        const { session, entries, reply } = await kit.update(key, (loaded) => {
          expect(loaded.session).toEqual(before);
          return touching(title, kit.nowMs)(loaded);
        });
        expect([reply, entries.map(({ seq }) => seq), session.title]).toEqual([before.lastSeq + 1, [session.lastSeq], title]);
        expect(await store.readSession(key)).toEqual(session);
        before = session;
      }
    },
  },
  {
    name: 'a refused transition changes nothing, and the refusal comes with the session as it is',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create({ text: 'hello' });
      const refusal = refuse('session_busy', 'no');
      const result = await store.update({ key: keyOf(session), transition: () => refusal });
      expect(result).toEqual({ kind: 'refused', refusal, session });
      expect((await kit.tail(session)).entries.length).toBe(2);
    },
  },
  {
    name: 'an unknown session is refused without running the transition',
    run: async (kit) => {
      const { expect, store } = kit;
      let runs = 0;
      const transition = (): ReturnType<typeof refuse> => { runs += 1; return refuse('session_busy', 'no'); };
      const results = [await store.update({ key: { tenant: 'acme', id: 'ses_unknown' }, transition }), await store.update({ key: { tenant: 'acme', id: 'crm-none' }, transition })];
      expect(results.map((result) => (result.kind === 'refused' ? [result.refusal.refused, result.session] : result.kind))).toEqual([['session_not_found', null], ['session_not_found', null]]);
      expect(runs).toBe(0);
    },
  },
  {
    name: 'a transition that throws changes nothing, rejects with its error, and hurts no other write of the same moment',
    run: async (kit) => {
      const { expect, store } = kit;
      const sessions = await Promise.all([0, 1, 2].map(() => kit.create()));
      const updates = sessions.map((session, place) => kit.update(session, (loaded) => {
        const change = touching('kept', kit.nowMs)(loaded);
        if (place === 1) throw Object.assign(new Error('boom'), { code: 'boom' });
        return change;
      }));
      const results = await Promise.allSettled(updates);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect(results[1]?.status === 'rejected' && (results[1].reason as { code: string }).code).toBe('boom');
      const titles = await Promise.all(sessions.map(async (session) => (await store.readSession(keyOf(session)))?.title));
      expect(titles).toEqual(['kept', null, 'kept']);
    },
  },
  {
    name: 'a write that the store itself cannot make changes nothing, and hurts no other write of the same moment',
    run: async (kit) => {
      const { expect, store } = kit;
      const [first, second, third] = [await kit.create(), await kit.create(), await kit.create()];
      // Its entry has a seq that the log has already.
      const impossible = store.update({ key: keyOf(second), transition: ({ session }) => ({
        session: { ...session, title: 'half' }, entries: [{ kind: 'title-set', title: 'half', by: 'person', seq: 1, v: 1, atMs: 1 }],
        dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null,
      }) });
      const results = await Promise.allSettled([kit.touch(first, 'kept'), impossible, kit.touch(third, 'kept')]);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect((await kit.tail(second)).session).toEqual(second);
      expect((await kit.tail(second)).entries.length).toBe(1);
    },
  },
  {
    name: '50 updates of one session at once all take place, one after the other',
    run: async (kit) => {
      const session = await kit.create();
      const results = await Promise.all(Array.from({ length: 50 }, (_, place) => kit.touch(session, `title ${place}`)));
      await expectSerial(kit, session, results.map(({ reply }) => reply));
    },
  },
  {
    name: '50 updates of one session from two processes at once all take place, one after the other',
    when: hasPeers,
    run: async (kit) => {
      const session = await kit.create();
      const stores = [kit.store, await kit.peer()];
      const results = await Promise.all(Array.from({ length: 50 }, (_, place) => kit.touch(session, `title ${place}`, stores[place % 2])));
      await expectSerial(kit, session, results.map(({ reply }) => reply));
    },
  },
  {
    name: 'of 40 messages sent to a busy session at once, exactly as many as the queue takes are queued',
    run: async (kit) => {
      await expectFullQueue(kit, [kit.store]);
    },
  },
  {
    name: 'of 40 messages sent from two processes at once, exactly as many as the queue takes are queued',
    when: hasPeers,
    run: async (kit) => {
      await expectFullQueue(kit, [kit.store, await kit.peer()]);
    },
  },
  {
    name: 'updates of many sessions at once do not mix',
    run: async (kit) => {
      const { expect } = kit;
      const sessions = await Promise.all(Array.from({ length: 12 }, () => kit.create()));
      await Promise.all(sessions.flatMap((session) => ['a', 'b', 'c'].map((title) => kit.touch(session, `${title} of ${session.id}`))));
      for (const session of sessions) {
        const { entries } = await kit.tail(session);
        expect(entries.length).toBe(4);
        expect(new Set(entries.slice(1).map((entry) => (entry.kind === 'title-set' ? entry.title : entry.kind)))).toEqual(new Set(['a', 'b', 'c'].map((title) => `${title} of ${session.id}`)));
      }
    },
  },
  {
    name: 'text of every kind comes back as it was written',
    run: async (kit) => {
      const { expect } = kit;
      const texts = ['', '😀👩‍👩‍👧 é ü ß', '\u2028\u2029\u0001\t"\\\'', '%_$1?:@', 'x'.repeat(500_000), '{"json": true}'];
      const session = await kit.create({ metadata: { texts, numbers: [0, -1.5, 1e21, 2 ** 53 - 1], nothing: null } });
      for (const text of texts) await kit.touch(session, text);
      const { session: read, entries } = await kit.tail(session);
      expect(read.metadata).toEqual({ texts, numbers: [0, -1.5, 1e21, 2 ** 53 - 1], nothing: null });
      expect(entries.flatMap((entry) => (entry.kind === 'title-set' ? [entry.title] : []))).toEqual(texts);
    },
  },
  {
    name: 'fields and kinds of a newer version are kept as they are',
    run: async (kit) => {
      const { expect } = kit;
      const session = await kit.create();
      const newer = [
        { kind: 'title-set', title: 'x', by: 'person', seq: 2, v: 9, atMs: 5, mood: { calm: true } },
        { kind: 'kind-of-tomorrow', seq: 3, v: 1, atMs: 6, some: ['thing'] },
      ] as unknown as readonly Entry[];
      await kit.update(session, (loaded) => ({
        session: { ...loaded.session, lastSeq: 3, fieldOfTomorrow: 7 } as never, entries: newer, dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null,
      }));
      const tail = await kit.tail(session);
      expect(tail.entries.slice(1)).toEqual(newer);
      expect((tail.session as unknown as { fieldOfTomorrow: number }).fieldOfTomorrow).toBe(7);
    },
  },
  {
    name: 'a queued message starts its turn with the content it was queued with, or last edited to',
    run: async (kit) => {
      const { expect } = kit;
      const work = await kit.inWork();
      const content: Omit<MessageContent, 'messageId'> = {
        parts: [{ type: 'text', text: 'queued 😀' }, { type: 'file', mediaType: 'image/png', data: 'aGk=', filename: 'a.png' }],
        actor: { type: 'user', id: 'u1' }, metadata: { from: 'phone' },
      };
      await kit.send(work.ref, 'ignored', { messageId: 'm1', ...content });
      await kit.send(work.ref, 'first text', { messageId: 'm2' });
      committed(await kit.command(work.ref, acceptQueueEdit('m2', { parts: [{ type: 'text', text: 'edited text' }] })));
      const second = kit.next(work, await kit.settle(work, [{ type: 'text', text: 'done' }]));
      const third = kit.next(work, await kit.settle(second, [{ type: 'text', text: 'and this' }]));
      await kit.settle(third, [{ type: 'text', text: 'and that' }]);
      const { entries } = await kit.tail(work.ref);
      const messages = entries.flatMap((entry) => (entry.kind === 'user-message' ? [entry] : []));
      expect(messages.slice(1).map(({ messageId, parts, actor, metadata }) => ({ messageId, parts, actor, metadata }))).toEqual([
        { messageId: 'm1', ...content }, { messageId: 'm2', parts: [{ type: 'text', text: 'edited text' }] },
      ]);
      expect(entries.some((entry) => 'contentFrom' in entry)).toBe(false);
    },
  },
  {
    name: 'the entries that an update returns are those that are read',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      await kit.send(work.ref, 'next', { messageId: 'm1' });
      const { lastSeq } = (await kit.tail(work.ref)).session;
      const stopped = committed(await kit.command(work.ref, acceptSend({ message: { messageId: 'm2', parts: [{ type: 'text', text: 'now' }] }, whenBusy: 'interrupt' })));
      expect(stopped.entries.length > 1).toBe(true);
      expect(await store.readEntries(keyOf(work.ref), { afterSeq: lastSeq, limit: 100 })).toEqual(stopped.entries);
      const finished = await kit.claimed(work.ref, 'wrk_b');
      const { session } = finished;
      const ended = await kit.update(work.ref, (loaded) => touching('x', kit.nowMs)(loaded));
      expect(await store.readEntries(keyOf(work.ref), { afterSeq: session.lastSeq, limit: 100 })).toEqual(ended.entries);
    },
  },
  {
    name: 'a broken content reference rejects and changes nothing',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      const code = await codeOf(store.update({ key: keyOf(session), transition: (loaded) => ({
        session: { ...loaded.session, lastSeq: 2 }, entries: [{ kind: 'user-message', turnId: 'turn_1', messageId: 'm1', parts: [], seq: 2, v: 1, atMs: 1, contentFrom: 77 }],
        dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null,
      }) }));
      expect(code).toBe('invariant_broken');
      expect(await store.readSession(keyOf(session))).toEqual(session);
    },
  },
];

async function expectFullQueue(kit: Kit, stores: readonly Kit['store'][]): Promise<void> {
  const { expect } = kit;
  const { ref } = await kit.inWork();
  const results = await Promise.all(Array.from({ length: 40 }, (_, place) => {
    const message = { messageId: `m${place}`, parts: [{ type: 'text' as const, text: `message ${place}` }] };
    return kit.command(ref, acceptSend({ message, whenBusy: 'queue' }), {}, stores[place % stores.length]);
  }));
  const { session, entries } = await kit.tail(ref);
  expect(results.filter(({ kind }) => kind === 'committed').length).toBe(limits.queueMessagesMax);
  expect(new Set(results.flatMap((result) => (result.kind === 'refused' ? [result.refusal.refused] : [])))).toEqual(new Set(['queue_full']));
  expect(session.queue.length).toBe(limits.queueMessagesMax);
  expect(entries.filter(({ kind }) => kind === 'message-queued').length).toBe(limits.queueMessagesMax);
}
