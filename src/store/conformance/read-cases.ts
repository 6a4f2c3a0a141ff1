import { foldSegments } from '../../core/stream-parts.ts';
import type { Store } from '../store.ts';
import { hasPeers, keyOf, type ConformanceCase, type Kit } from './kit.ts';

/** A session with entries 1 to `count`. */
async function sessionOf(kit: Kit, count: number) {
  const session = await kit.create();
  for (let seq = 2; seq <= count; seq += 1) await kit.touch(session, `entry ${seq}`);
  return session;
}

/** What `readSession`, `readEntries` and `readTail` promise. */
export const readCases: readonly ConformanceCase[] = [
  {
    name: 'what is not there is null, or empty',
    run: async (kit) => {
      const { expect, store } = kit;
      for (const id of ['ses_unknown', 'crm-unknown', '', '%', 'ses_']) {
        expect(await store.readSession({ tenant: 'acme', id })).toBe(null);
        expect(await store.readTail({ tenant: 'acme', id }, { afterSeq: 0, limit: 10, attemptId: null, afterOrdinal: -1 })).toBe(null);
        expect(await store.readEntries({ tenant: 'acme', id }, { limit: 10 })).toEqual([]);
      }
    },
  },
  {
    name: 'entries are read in order, from anywhere, forwards and backwards',
    run: async (kit) => {
      const { expect, store } = kit;
      const key = keyOf(await sessionOf(kit, 12));
      const seqs = async (range: Parameters<Store['readEntries']>[1]) => (await store.readEntries(key, range)).map(({ seq }) => seq);
      expect(await seqs({ limit: 3 })).toEqual([1, 2, 3]);
      expect(await seqs({ afterSeq: 0, limit: 100 })).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
      expect(await seqs({ afterSeq: 10, limit: 100 })).toEqual([11, 12]);
      expect(await seqs({ afterSeq: 12, limit: 100 })).toEqual([]);
      expect(await seqs({ beforeSeq: 6, limit: 3 })).toEqual([3, 4, 5]);
      expect(await seqs({ beforeSeq: 3, limit: 100 })).toEqual([1, 2]);
      expect(await seqs({ beforeSeq: 1, limit: 100 })).toEqual([]);
      expect(await seqs({ beforeSeq: 1_000, limit: 2 })).toEqual([11, 12]);
      expect(await seqs({ afterSeq: 2, beforeSeq: 7, limit: 100 })).toEqual([3, 4, 5, 6]);
      expect(await seqs({ afterSeq: 2, beforeSeq: 7, limit: 2 })).toEqual([5, 6]);
    },
  },
  {
    name: 'the end of a session says whether it reaches to the end of the log',
    run: async (kit) => {
      const { expect, store } = kit;
      const key = keyOf(await sessionOf(kit, 10));
      const read = async (afterSeq: number, limit: number) => {
        const tail = await store.readTail(key, { afterSeq, limit, attemptId: null, afterOrdinal: -1 });
        return [tail?.entries.map(({ seq }) => seq), tail?.complete, tail?.session.lastSeq];
      };
      expect(await read(0, 4)).toEqual([[1, 2, 3, 4], false, 10]);
      expect(await read(4, 100)).toEqual([[5, 6, 7, 8, 9, 10], true, 10]);
      expect(await read(6, 4)).toEqual([[7, 8, 9, 10], true, 10]);
      expect(await read(10, 4)).toEqual([[], true, 10]);
      expect(await read(999, 4)).toEqual([[], true, 10]);
    },
  },
  {
    name: 'live output comes only with the end of the log',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      await store.appendChunkIfHeld({ ref: work.ref, fence: work.lease.fence, attemptId: work.attempt.id, ordinal: 0, segments: [{ part: 0, type: 'text', offset: 0, text: 'live' }] });
      const short = await store.readTail(work.ref, { afterSeq: 0, limit: 1, attemptId: null, afterOrdinal: -1 });
      expect([short?.complete, short?.chunks]).toEqual([false, []]);
      const whole = await store.readTail(work.ref, { afterSeq: 0, limit: 100, attemptId: null, afterOrdinal: -1 });
      expect([whole?.complete, whole?.chunks.map(({ text }) => text)]).toEqual([true, ['live']]);
    },
  },
  {
    name: 'the end of a session is one consistent read, whatever is written meanwhile',
    run: async (kit) => {
      await expectConsistentTail(kit, kit.store);
    },
  },
  {
    name: 'the end of a session is one consistent read, whatever another process writes meanwhile',
    when: hasPeers,
    run: async (kit) => {
      await expectConsistentTail(kit, await kit.peer());
    },
  },
  {
    name: 'an external id names its session in every verb that takes a key',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create({ externalId: 'crm 1/ü', text: 'hello' });
      const key = { tenant: 'acme', id: 'crm 1/ü' };
      expect(await store.readSession(key)).toEqual(session);
      expect(await store.readSession({ ...key, owner: 'ada' })).toEqual(session);
      expect((await kit.tail(key)).session).toEqual(session);
      expect((await kit.touch(key, 'by external id')).session.id).toBe(session.id);
    },
  },
  {
    name: 'an external id of two owners names a session only together with its owner',
    run: async (kit) => {
      const { expect, store } = kit;
      const adas = await kit.create({ externalId: 'crm-1' });
      const key = { tenant: 'acme', id: 'crm-1' };
      expect((await store.readSession(key))?.id).toBe(adas.id);
      const bobs = await kit.create({ owner: 'bob', externalId: 'crm-1' });
      expect(await store.readSession(key)).toBe(null);
      expect((await store.readSession({ ...key, owner: 'ada' }))?.id).toBe(adas.id);
      expect((await store.readSession({ ...key, owner: 'bob' }))?.id).toBe(bobs.id);
    },
  },
  {
    name: 'what begins with ses_ is a session id and never an external one',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      await kit.create({ externalId: 'ses_of-another-system' });
      const sesame = await kit.create({ externalId: 'sesame' });
      expect((await store.readSession(keyOf(session)))?.id).toBe(session.id);
      expect(await store.readSession({ tenant: 'acme', id: 'ses_of-another-system' })).toBe(null);
      expect((await store.readSession({ tenant: 'acme', id: 'sesame' }))?.id).toBe(sesame.id);
    },
  },
];

/** A session goes through turns, each chunk of an attempt naming it; every write is read around: just before, meanwhile, and after. */
async function expectConsistentTail(kit: Kit, reader: Store): Promise<void> {
  const { expect, store } = kit;
  const ref = keyOf(await kit.create());
  let withChunks = 0;
  const look = async (afterSeq: number): Promise<void> => {
    const tail = await reader.readTail(ref, { afterSeq, limit: 10_000, attemptId: null, afterOrdinal: -1 });
    if (tail === null) throw new Error('the session is there all the while');
    expect(tail.entries.map(({ seq }) => seq)).toEqual(Array.from({ length: Math.max(0, tail.session.lastSeq - afterSeq) }, (_, place) => afterSeq + 1 + place));
    expect(tail.complete).toBe(true);
    const shown = foldSegments(tail.chunks).map(({ text }) => text).join('');
    if (shown !== '') withChunks += 1;
    expect(shown === '' || shown.startsWith(`${tail.session.turn?.attempt?.id}:`), `what is shown is of the attempt in flight: ${shown}`).toBe(true);
    expect(tail.chunks.length > 0).toBe(tail.ordinal >= 0);
  };
  const around = async <Result>(write: () => Promise<Result>): Promise<Result> => {
    const [result] = await Promise.all([write(), look(0), look(1), look(3)]);
    await look(0);
    return result;
  };
  for (let turn = 0; turn < 8; turn += 1) {
    await around(() => kit.send(ref, `message ${turn}`));
    const work = await around(() => kit.claimed(ref, 'wrk_a'));
    let text = '';
    for (const [ordinal, added] of [`${work.attempt.id}:`, 'so ', 'on'].entries()) {
      const segments = [{ part: 0, type: 'text' as const, offset: text.length, text: added }];
      await around(() => store.appendChunkIfHeld({ ref, fence: work.lease.fence, attemptId: work.attempt.id, ordinal, segments }));
      text += added;
    }
    await around(() => kit.settle(work, [{ type: 'text', text }]));
  }
  expect(withChunks >= 24, `live output was met ${withChunks} times`).toBe(true);
}
