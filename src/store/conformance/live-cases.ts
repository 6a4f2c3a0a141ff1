import { acceptStop } from '../../core/accept/stop.ts';
import type { CallResult } from '../../core/entry.ts';
import type { StreamSegment } from '../../core/stream-parts.ts';
import type { ChunkWrite } from '../store.ts';
import { callPart, committed, doneResult, keyOf, type ConformanceCase, type InWork, type Kit } from './kit.ts';

function segment(offset: number, text: string, part = 0): StreamSegment {
  return { part, type: 'text', offset, text };
}

function chunk({ ref, lease, attempt }: InWork, ordinal: number, segments: readonly StreamSegment[], overrides: Partial<ChunkWrite> = {}): ChunkWrite {
  return { ref, fence: lease.fence, attemptId: attempt.id, ordinal, segments, ...overrides };
}

/** A step with two calls of `pay`, both begun. */
async function payingTwice(kit: Kit): Promise<{ readonly work: InWork; readonly stepSeq: number }> {
  const work = await kit.inWork();
  const session = await kit.settle(work, [callPart(0, 'pay'), callPart(1, 'pay')], 'tool-calls');
  return { work, stepSeq: session.turn?.lastStep?.seq ?? 0 };
}

/** What the next claimant of the session is told of outcomes that are stored already. */
async function outcomesOf(kit: Kit, { ref }: InWork): Promise<readonly CallResult[]> {
  let seen: readonly CallResult[] = [];
  await kit.store.update({ key: keyOf(ref), reads: { outcomes: true }, transition: ({ outcomes, session }) => {
    seen = outcomes;
    return { session, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null };
  } });
  return seen;
}

/** What `appendChunkIfHeld` and `storeOutcomeIfHeld` promise. */
export const liveCases: readonly ConformanceCase[] = [
  {
    name: 'live output is read back in order, whole or after an ordinal',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      const texts = ['Hel', 'lo 😀 ', 'you', '!'];
      let offset = 0;
      for (const [ordinal, text] of texts.entries()) {
        expect(await store.appendChunkIfHeld(chunk(work, ordinal, [segment(offset, text), segment(ordinal, 'x', 1)]))).toBe('stored');
        offset += text.length;
      }
      const whole = await kit.tail(work.ref);
      expect(whole.chunks.flatMap(({ part, text }) => (part === 0 ? [text] : []))).toEqual(texts);
      expect(whole.ordinal).toBe(3);
      const { attempt: { id: attemptId } } = work;
      const rest = await store.readTail(work.ref, { afterSeq: whole.session.lastSeq, limit: 10, attemptId, afterOrdinal: 1 });
      expect([rest?.chunks.length, rest?.chunks[0]?.text, rest?.ordinal, rest?.complete]).toEqual([4, 'you', 3, true]);
      const nothing = await store.readTail(work.ref, { afterSeq: whole.session.lastSeq, limit: 10, attemptId, afterOrdinal: 3 });
      expect([nothing?.chunks, nothing?.ordinal]).toEqual([[], 3]);
      const another = await store.readTail(work.ref, { afterSeq: whole.session.lastSeq, limit: 10, attemptId: 'att_other', afterOrdinal: 3 });
      expect(another?.chunks).toEqual(whole.chunks);
    },
  },
  {
    name: 'without live output there is no ordinal',
    run: async (kit) => {
      const { expect } = kit;
      const work = await kit.inWork();
      expect([(await kit.tail(work.ref)).ordinal, (await kit.tail(work.ref)).chunks]).toEqual([-1, []]);
      const session = await kit.settle(work, [{ type: 'text', text: 'done' }]);
      expect((await kit.tail(session)).ordinal).toBe(-1);
    },
  },
  {
    name: 'live output of another fence or attempt, of an unknown session or another tenant is not stored',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      const wrong: readonly Partial<ChunkWrite>[] = [
        { fence: work.lease.fence - 1 }, { fence: work.lease.fence + 1 }, { attemptId: 'att_other' },
        { ref: { tenant: 'acme', id: 'ses_unknown' } }, { ref: { tenant: 'other', id: work.ref.id } },
      ];
      for (const overrides of wrong) expect(await store.appendChunkIfHeld(chunk(work, 0, [segment(0, 'x')], overrides))).toBe('fence-lost');
      expect((await kit.tail(work.ref)).chunks).toEqual([]);
    },
  },
  {
    name: 'after a stop, a takeover and the step\'s own commit no live output of the attempt is stored',
    run: async (kit) => {
      const { expect, store } = kit;
      const stopped = await kit.inWork();
      committed(await kit.command(stopped.ref, acceptStop({}), { reads: { chunks: true } }));
      const taken = await kit.inWork();
      await kit.claimed(taken.ref, 'wrk_b', ['wrk_a']);
      const settled = await kit.inWork();
      await kit.settle(settled, [{ type: 'text', text: 'done' }]);
      for (const work of [stopped, taken, settled]) {
        expect(await store.appendChunkIfHeld(chunk(work, 0, [segment(0, 'late')]))).toBe('fence-lost');
        expect((await kit.tail(work.ref)).chunks).toEqual([]);
      }
    },
  },
  {
    name: 'live output goes with its step\'s commit, and with its attempt\'s loss',
    run: async (kit) => {
      const { expect, store } = kit;
      const settled = await kit.inWork();
      const lost = await kit.inWork();
      for (const work of [settled, lost]) await store.appendChunkIfHeld(chunk(work, 0, [segment(0, 'so far')]));
      expect((await kit.tail(await kit.settle(settled, [{ type: 'text', text: 'so far so good' }]))).chunks).toEqual([]);
      const next = await kit.claimed(lost.ref, 'wrk_b', ['wrk_a']);
      const tail = await kit.tail(lost.ref);
      expect([tail.chunks, tail.session.turn?.attempt?.id]).toEqual([[], next.attempt.id]);
      await store.appendChunkIfHeld(chunk(next, 0, [segment(0, 'anew')]));
      expect((await kit.tail(lost.ref)).chunks).toEqual([segment(0, 'anew')]);
    },
  },
  {
    name: 'a change that drops live output or outcomes leaves none, though attempt and step stay what they are',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      const keeping = { entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null };
      await store.appendChunkIfHeld(chunk(work, 0, [segment(0, 'x')]));
      await kit.update(work.ref, ({ session }) => ({ ...keeping, session }));
      expect((await kit.tail(work.ref)).chunks.length).toBe(1);
      await kit.update(work.ref, ({ session }) => ({ ...keeping, session, dropsChunks: true }));
      expect((await kit.tail(work.ref)).chunks).toEqual([]);
      const paying = await payingTwice(kit);
      await store.storeOutcomeIfHeld({ ref: paying.work.ref, fence: paying.work.lease.fence, stepSeq: paying.stepSeq, result: doneResult(1, 'pay') });
      expect((await outcomesOf(kit, paying.work)).length).toBe(1);
      await kit.update(paying.work.ref, ({ session }) => ({ ...keeping, session, dropsOutcomes: true }));
      expect(await outcomesOf(kit, paying.work)).toEqual([]);
    },
  },
  {
    name: 'a transition is given the live output of the attempt in flight when it asks for it, and only then',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      await store.appendChunkIfHeld(chunk(work, 0, [segment(0, 'a')]));
      await store.appendChunkIfHeld(chunk(work, 1, [segment(1, 'b')]));
      const seen: (readonly StreamSegment[])[] = [];
      for (const reads of [{ chunks: true }, {}]) {
        const given = committed(await store.update({ key: keyOf(work.ref), reads, transition: ({ session, chunks }) => ({
          session, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: chunks,
        }) }));
        seen.push(given.reply);
      }
      expect(seen).toEqual([[segment(0, 'a'), segment(1, 'b')], []]);
    },
  },
  {
    name: 'a stop keeps every chunk that was stored before it, however close',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      let stored = 0;
      let stop: ReturnType<typeof kit.command> | null = null;
      // One after the other, as a worker writes them; the stop comes while they go on.
      for (let ordinal = 0; await store.appendChunkIfHeld(chunk(work, ordinal, [segment(ordinal, '.')])) === 'stored'; ordinal += 1) {
        stored += 1;
        if (stored === 10) stop = kit.command(work.ref, acceptStop({}), { reads: { chunks: true } });
      }
      if (stop === null) throw new Error('the stop comes before the chunks end');
      committed(await stop);
      const step = (await kit.tail(work.ref)).entries.find((entry) => entry.kind === 'assistant-step');
      const shown = step?.kind === 'assistant-step' ? step.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('') : '';
      expect(shown.length).toBe(stored);
    },
  },
  {
    name: 'an outcome is stored ahead of its step, and repeating it is harmless',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, stepSeq } = await payingTwice(kit);
      const outcome = { ref: work.ref, fence: work.lease.fence, stepSeq, result: doneResult(1, 'pay') };
      expect([await store.storeOutcomeIfHeld(outcome), await store.storeOutcomeIfHeld(outcome)]).toEqual(['stored', 'stored']);
      expect(await outcomesOf(kit, work)).toEqual([doneResult(1, 'pay')]);
      // The first outcome is the fact; a second one for the same call changes nothing.
      await store.storeOutcomeIfHeld({ ...outcome, result: doneResult(1, 'pay', 'another') });
      expect(await outcomesOf(kit, work)).toEqual([doneResult(1, 'pay')]);
    },
  },
  {
    name: 'an outcome of another fence, of an unknown session or another tenant is not stored',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, stepSeq } = await payingTwice(kit);
      const outcome = { ref: work.ref, fence: work.lease.fence, stepSeq, result: doneResult(0, 'pay') };
      for (const overrides of [{ fence: outcome.fence - 1 }, { fence: outcome.fence + 1 }, { ref: { tenant: 'acme', id: 'ses_unknown' } }, { ref: { tenant: 'other', id: work.ref.id } }]) {
        expect(await store.storeOutcomeIfHeld({ ...outcome, ...overrides })).toBe('fence-lost');
      }
      expect(await outcomesOf(kit, work)).toEqual([]);
    },
  },
  {
    name: 'a takeover finds the outcome that was stored, and the step\'s commit takes it away',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, stepSeq } = await payingTwice(kit);
      await store.storeOutcomeIfHeld({ ref: work.ref, fence: work.lease.fence, stepSeq, result: doneResult(1, 'pay', 'paid') });
      const { entries } = await kit.claim(work.ref, 'wrk_b', ['wrk_a']);
      const results = entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results : []));
      expect(results.map(({ index, outcome, output }) => [index, outcome, output])).toEqual([[0, 'unknown', undefined], [1, 'done', 'paid']]);
      expect(await outcomesOf(kit, work)).toEqual([]);
    },
  },
  {
    name: 'an outcome of an earlier step is never taken for one of a later step',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, stepSeq } = await payingTwice(kit);
      const late = { ref: work.ref, fence: work.lease.fence, stepSeq, result: doneResult(0, 'pay', 'of the first step') };
      const second = await kit.settleCalls(work, stepSeq, [doneResult(0, 'pay'), doneResult(1, 'pay')]);
      // It was on its way while its step's results were committed.
      await store.storeOutcomeIfHeld(late);
      const after = await kit.settle(kit.next(work, second), [callPart(0, 'pay')], 'tool-calls');
      expect(after.turn?.lastStep?.openCalls.length).toBe(1);
      expect(await outcomesOf(kit, work)).toEqual([]);
      const { entries } = await kit.claim(work.ref, 'wrk_b', ['wrk_a']);
      expect(entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ outcome }) => outcome) : []))).toEqual(['unknown']);
    },
  },
];
