import { deleteTransition } from '../../core/accept/end.ts';
import { acceptStop } from '../../core/accept/stop.ts';
import type { Entry, EntryKind } from '../../core/entry.ts';
import { refuse } from '../../core/errors.ts';
import type { SessionRef, Store } from '../store.ts';
import { reportProgress } from '../../core/operation-transitions.ts';
import { callPart, keyOf, type ConformanceCase, type Kit } from './kit.ts';
import { changeOperation, finishOperation, operationOf, runOperation, settling, startOperation } from './operation-kit.ts';

const everything = { limit: 100, olderThanMs: Number.MAX_SAFE_INTEGER };

/** Resolves when a hint comes that may be about the session; a hint may also say only that something changed somewhere. */
function hintOf(store: Store, ref: SessionRef): Promise<void> {
  return new Promise((resolve) => {
    const unsubscribe = store.onChange(({ ref: changed }) => {
      if (changed !== null && (changed.tenant !== ref.tenant || changed.id !== ref.id)) return;
      unsubscribe();
      resolve();
    });
  });
}

/** What the outbox and `onChange` promise. */
export const outboxCases: readonly ConformanceCase[] = [
  {
    name: 'entries of the asked-for kinds leave an event in their own commit, others none',
    outboxKinds: ['session-created', 'turn-ended'],
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create({ text: 'hello' });
      const created = { tenant: 'acme', id: session.id, seq: 1, kind: 'session-created' };
      expect(await store.readOutbox(everything)).toEqual([created]);
      await kit.touch(session, 'no event');
      kit.nowMs += 5;
      const ended = await kit.answer(keyOf(session), 'done');
      const events = await store.readOutbox(everything);
      expect(events).toEqual([created, { tenant: 'acme', id: session.id, seq: ended.lastSeq, kind: 'turn-ended' }]);
    },
  },
  {
    name: 'no event is left where no kind is asked for',
    run: async (kit) => {
      await kit.answer(keyOf(await kit.create({ text: 'hello' })), 'done');
      kit.expect(await kit.store.readOutbox(everything)).toEqual([]);
    },
  },
  {
    name: 'what is refused, fails or is replayed leaves no event',
    outboxKinds: ['session-created', 'title-set', 'user-message'],
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create({ idempotency: [kit.key('create')] });
      await store.deleteOutbox(await store.readOutbox(everything));
      await store.update({ key: keyOf(session), transition: () => refuse('session_busy', 'no') });
      await store.update({ key: keyOf(session), transition: () => { throw new Error('boom'); } }).catch(() => null);
      await kit.createResult({ idempotency: [kit.key('create')] });
      expect(await store.readOutbox(everything)).toEqual([]);
    },
  },
  {
    name: 'an action that is opened and an operation that ends leave their events, whichever commit they are of',
    outboxKinds: ['action-opened', 'operation-ended'],
    run: async (kit) => {
      const { expect, store } = kit;
      const asked = await kit.settle(await kit.inWork(), [callPart(0, 'pay', { needs: { type: 'approval' }, inputHash: 'h' })], 'tool-calls');
      const [ended, cancelled] = [await startOperation(kit), await startOperation(kit)];
      kit.nowMs += 5;
      const end = await finishOperation(kit, ended.operation);
      kit.nowMs += 5;
      const stop = await kit.command(cancelled.work.ref, acceptStop({}));
      const seqOf = (entries: readonly Entry[], kind: EntryKind) => entries.find((entry) => entry.kind === kind)?.seq;
      expect(await store.readOutbox(everything)).toEqual([
        { tenant: 'acme', id: asked.id, seq: seqOf((await kit.tail(asked)).entries, 'action-opened'), kind: 'action-opened' },
        { tenant: 'acme', id: ended.work.ref.id, seq: seqOf(end.entries, 'operation-ended'), kind: 'operation-ended' },
        { tenant: 'acme', id: cancelled.work.ref.id, seq: seqOf('entries' in stop ? stop.entries : [], 'operation-ended'), kind: 'operation-ended' },
      ]);
    },
  },
  {
    name: 'events are read by age and number, and are there until they are deleted',
    outboxKinds: ['title-set'],
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      const startMs = kit.nowMs;
      for (let place = 0; place < 5; place += 1) {
        kit.nowMs += 10;
        await kit.touch(session, `t${place}`);
      }
      const seqs = async (query: { readonly limit: number; readonly olderThanMs: number }) => (await store.readOutbox(query)).map(({ seq }) => seq);
      expect(await seqs({ limit: 100, olderThanMs: startMs + 9 })).toEqual([]);
      expect(await seqs({ limit: 100, olderThanMs: startMs + 30 })).toEqual([2, 3, 4]);
      expect(await seqs({ limit: 2, olderThanMs: startMs + 1_000 })).toEqual([2, 3]);
      await store.deleteOutbox((await store.readOutbox(everything)).slice(1, 3));
      expect(await seqs(everything)).toEqual([2, 5, 6]);
      await store.deleteOutbox(await store.readOutbox(everything));
      await store.deleteOutbox([{ tenant: 'acme', id: session.id, seq: 2, kind: 'title-set' }]);
      expect(await seqs(everything)).toEqual([]);
    },
  },
  {
    name: 'events survive what follows in their session, but not its deletion',
    outboxKinds: ['user-message'],
    run: async (kit) => {
      const { expect, store } = kit;
      const ref = keyOf(await kit.create({ text: 'hello' }));
      await kit.answer(ref, 'done');
      expect((await store.readOutbox(everything)).length).toBe(1);
      await kit.update(ref, deleteTransition(kit.nowMs));
      expect(await store.readOutbox(everything)).toEqual([]);
    },
  },
  {
    name: 'a hint follows every kind of commit, and what it is about can be read then',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      const { ref, lease, attempt } = work;
      const afterHint = async (write: () => Promise<unknown>, holds: () => Promise<boolean>) => {
        const hinted = hintOf(store, ref);
        await write();
        await hinted;
        return holds();
      };
      expect(await afterHint(() => kit.touch(ref, 'hinted'), async () => (await store.readSession(ref))?.title === 'hinted')).toBe(true);
      const chunk = { ref, fence: lease.fence, attemptId: attempt.id, ordinal: 0, segments: [{ part: 0, type: 'text', offset: 0, text: 'x' } as const] };
      expect(await afterHint(() => store.appendChunkIfHeld(chunk), async () => (await kit.tail(ref)).chunks.length === 1)).toBe(true);
      expect(await afterHint(() => kit.update(ref, deleteTransition(kit.nowMs)), async () => (await store.readSession(ref)) === null)).toBe(true);
    },
  },
  {
    name: 'a hint of its session follows every change of an operation, though it be progress alone',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, operation } = await startOperation(kit);
      const claimed = hintOf(store, work.ref);
      const running = await runOperation(kit, operation);
      await claimed;
      const progressed = hintOf(store, work.ref);
      await changeOperation(kit, operation, reportProgress(running.lease, { fraction: 0.5, atMs: kit.nowMs }));
      await progressed;
      expect((await kit.tail(work.ref)).operations[0]?.progress?.fraction).toBe(0.5);
      const ended = hintOf(store, work.ref);
      await store.updateOperation({ key: { tenant: 'acme', id: operation.id }, reads: { session: true }, transition: settling(kit, running) });
      await ended;
      expect([(await kit.tail(work.ref)).operations, (await operationOf(kit, operation)).status]).toEqual([[], 'succeeded']);
    },
  },
  {
    name: 'a hint never comes before its commit',
    run: async (kit) => {
      const { expect, store } = kit;
      const ref = keyOf(await kit.create());
      const seen: Promise<string | null | undefined>[] = [];
      const unsubscribe = store.onChange(({ ref: changed }) => {
        if (changed?.id === ref.id) seen.push(store.readSession(ref).then((session) => session?.title));
      });
      for (const title of ['a', 'b', 'c']) {
        const hinted = hintOf(store, ref);
        await kit.touch(ref, title);
        await hinted;
      }
      unsubscribe();
      // Each hint's reading finds at least the commit that it is about.
      const titles = await Promise.all(seen);
      expect(titles.every((title) => title !== null)).toBe(true);
    },
  },
  {
    name: 'who has unsubscribed hears nothing more',
    run: async (kit) => {
      const { expect, store } = kit;
      const ref = keyOf(await kit.create());
      let heard = 0;
      const unsubscribe = store.onChange(() => { heard += 1; });
      unsubscribe();
      unsubscribe();
      const other = hintOf(store, ref);
      await kit.touch(ref, 'x');
      await other;
      expect(heard).toBe(0);
    },
  },
  {
    name: 'a hint crosses processes',
    when: (traits) => traits.hasPeers && traits.hintsOfOthers,
    run: async (kit) => {
      const peer = await kit.peer();
      const ref = keyOf(await kit.create());
      // The first hint may be about something before; what counts is that one comes after the commit.
      await settledHints(kit, peer, ref);
      kit.expect((await peer.readSession(ref))?.title).toBe('seen from afar');
    },
  },
];

async function settledHints(kit: Kit, peer: Store, ref: SessionRef): Promise<void> {
  let committed = false;
  const hinted = new Promise<void>((resolve) => {
    const unsubscribe = peer.onChange(({ ref: changed, elsewhere }) => {
      if (!committed || !elsewhere || (changed !== null && changed.id !== ref.id)) return;
      unsubscribe();
      resolve();
    });
  });
  await kit.touch(ref, 'seen from afar');
  committed = true;
  await hinted;
}
