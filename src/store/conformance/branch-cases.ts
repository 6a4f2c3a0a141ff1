import { deleteTransition } from '../../core/accept/end.ts';
import { acceptRedact } from '../../core/accept/redact.ts';
import { acceptRestore } from '../../core/accept/restore.ts';
import { acceptRedo, acceptRewind } from '../../core/accept/rewind.ts';
import { invariant } from '../../core/errors.ts';
import { historyMarks, markOf, turnBeginMark, type Branch } from '../../core/history.ts';
import { settleGeneration } from '../../core/settle.ts';
import type { SessionRef, Store } from '../store.ts';
import { branchesOf, conversation, edited, loaded, move, moving, shown, visibleTexts } from './branch-kit.ts';
import { attemptRecord, callPart, committed, hasPeers, keyOf, suiteRules, type ConformanceCase, type Kit } from './kit.ts';
import { finishOperation, startOperation } from './operation-kit.ts';

/** Whether the branches that a store has are those that the session's log has discarded and not restored. */
async function expectBranchesOfLog(kit: Kit, ref: SessionRef, store: Store = kit.store): Promise<void> {
  const { entries, session } = await kit.tail(ref, store);
  const restored = new Set(entries.flatMap((entry) => (entry.kind === 'branch-restored' ? [entry.branchId] : [])));
  const discarded = entries.flatMap((entry) => (entry.kind === 'branch-discarded' && !restored.has(entry.branchId) ? [entry.branchId] : []));
  const branches = await branchesOf(kit, ref, {}, store);
  kit.expect(branches.map(({ id }) => id)).toEqual(discarded.toSorted().toReversed());
  kit.expect(session.branches).toBe(branches.length);
}

/** What entries that are found by their mark, and discarded futures, promise. */
export const branchCases: readonly ConformanceCase[] = [
  {
    name: 'an entry is found by its mark, the last one that has it; a mark that none has, of another session or tenant, finds nothing',
    run: async (kit) => {
      const { expect, store } = kit;
      const { ref, turnIds: [first = ''] } = await conversation(kit, 2);
      const { entries } = await kit.tail(ref);
      for (const entry of entries) {
        const mark = markOf(entry);
        if (mark !== null) expect(await store.readMarked(ref, mark)).toEqual(entries.findLast((other) => markOf(other) === mark));
      }
      expect(entries.some((entry) => entry.kind === 'user-message' && markOf(entry) === turnBeginMark(first))).toBe(true);
      const { ref: other } = await conversation(kit, 1);
      for (const elsewhere of [other, { tenant: 'other', id: ref.id }, { tenant: 'acme', id: 'ses_unknown' }]) expect(await store.readMarked(elsewhere, turnBeginMark(first))).toBe(null);
      for (const mark of ['h.b:turn_unknown', 'h.b:', 'h.', '', '%']) expect(await store.readMarked(ref, mark)).toBe(null);
    },
  },
  {
    name: 'an entry that waited is found by the mark of what it became',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      const { turnId, messageId } = await kit.send(work.ref, 'and then?');
      expect(await store.readMarked(work.ref, turnBeginMark(turnId))).toBe(null);
      await kit.settle(work, [{ type: 'text', text: 'done' }]);
      const found = await store.readMarked(work.ref, turnBeginMark(turnId));
      expect(found?.kind === 'user-message' && [found.messageId, found.parts]).toEqual([messageId, [{ type: 'text', text: 'and then?' }]]);
    },
  },
  {
    name: 'a transition that asks for them is given the marks of the history, in the order of the log; one that does not is given none',
    run: async (kit) => {
      const { expect } = kit;
      const { work, operation } = await startOperation(kit, { mode: 'detach' });
      const { session } = await finishOperation(kit, operation);
      invariant(session !== null, 'the session hears of its operation');
      // The model is given the result, and answers.
      const given = await kit.settle(kit.next(work, session), [{ type: 'text', text: 'it runs' }]);
      await kit.settle(kit.next(work, given), [{ type: 'text', text: 'done' }]);
      await kit.touch(work.ref, 'not of the history');
      await kit.send(work.ref, 'goes on');
      await kit.send(work.ref, 'waits, and is no mark of the history');
      const { entries } = await kit.tail(work.ref);
      const marks = entries.flatMap((entry) => (markOf(entry)?.startsWith(historyMarks.from) === true ? [{ seq: entry.seq, mark: markOf(entry) }] : []));
      expect(marks.map(({ mark }) => mark?.slice(0, 4))).toEqual(['h.b:', 'h.o:', 'h.d:', 'h.e:', 'h.b:']);
      expect((await loaded(kit, work.ref, { marks: true })).marks).toEqual(marks);
      expect((await loaded(kit, work.ref)).marks).toEqual(undefined);
    },
  },
  {
    name: 'a transition that names entries is given those of its session that there are, as they are in the log now; one that names none is given none',
    run: async (kit) => {
      const { expect } = kit;
      const { ref } = await conversation(kit, 2);
      const { ref: other } = await conversation(kit, 1);
      const { entries: [, said] } = await kit.tail(ref);
      invariant(said !== undefined, 'something was said');
      committed(await kit.command(ref, acceptRedact({ entries: [said], by: 'operator' })));
      const { entries } = await kit.tail(ref);
      expect((await loaded(kit, ref, { entries: [2, 3, 1_000] })).entries?.toSorted((left, right) => left.seq - right.seq)).toEqual(entries.slice(1, 3));
      expect((await loaded(kit, other, { entries: [2] })).entries).toEqual((await kit.tail(other)).entries.slice(1, 2));
      expect((await loaded(kit, ref)).entries).toBe(undefined);
    },
  },
  {
    name: 'a branch is listed from the commit on that discards it, the latest first, a page at a time, and gone with the one that restores it',
    run: async (kit) => {
      const { expect, store } = kit;
      const { ref, turnIds: [, second = ''] } = await conversation(kit, 2);
      const filed: Branch[] = [];
      let turnId = second;
      for (let round = 1; round <= 5; round += 1) {
        kit.nowMs += 1_000;
        const session = await move(kit, ref, edited(kit, turnId, `instead ${round}`));
        const [latest] = await branchesOf(kit, ref, { limit: 1 });
        invariant(latest !== undefined, 'a branch is filed');
        expect([latest.fromTurnId, latest.turns, latest.discardedAtMs, session.branches]).toEqual([turnId, 1, kit.nowMs, round]);
        filed.unshift(latest);
        turnId = session.turn?.id ?? '';
      }
      await expectBranchesOfLog(kit, ref);
      const pages = [await store.listBranches(ref, { limit: 2 })];
      for (let before = pages[0]?.nextCursor ?? null; before !== null; before = pages.at(-1)?.nextCursor ?? null) pages.push(await store.listBranches(ref, { limit: 2, before }));
      expect(pages.map(({ items }) => items.length)).toEqual([2, 2, 1]);
      expect(pages.flatMap(({ items }) => items)).toEqual(filed);
      await move(kit, ref, acceptRestore({ branchId: filed[2]?.id ?? '', stop: true }), filed[2]?.id);
      expect((await branchesOf(kit, ref)).some(({ id }) => id === filed[2]?.id)).toBe(false);
      expect(await shown(kit, ref)).toEqual(['message 1', 'instead 2']);
      await expectBranchesOfLog(kit, ref);
    },
  },
  {
    name: 'a transition that names a branch is given it as it was filed; null where the session has none of that id',
    run: async (kit) => {
      const { expect } = kit;
      const { ref, turnIds: [first = ''] } = await conversation(kit, 2);
      await move(kit, ref, edited(kit, first, 'instead'));
      const [branch] = await branchesOf(kit, ref);
      expect([branch?.fromTurnId, branch?.turns, branch?.before]).toEqual([first, 2, [{ fromSeq: 1, toSeq: 1 }]]);
      expect((await loaded(kit, ref, { branchId: branch?.id ?? '' })).branch).toEqual(branch);
      expect((await loaded(kit, ref)).branch).toBe(undefined);
      const { ref: other } = await conversation(kit, 1);
      for (const [elsewhere, branchId] of [[other, branch?.id ?? ''], [ref, 'br_unknown'], [ref, '']] as const) expect((await loaded(kit, elsewhere, { branchId })).branch).toBe(null);
    },
  },
  {
    name: 'a commit that is refused or fails files and restores no branch',
    run: async (kit) => {
      const { expect, store } = kit;
      const { ref, turnIds: [, second = ''] } = await conversation(kit, 2);
      const session = await move(kit, ref, edited(kit, second, 'instead'));
      const before = await branchesOf(kit, ref);
      const [branch] = before;
      invariant(branch !== undefined, 'a branch is filed');
      const half = { kind: 'title-set' as const, title: 'half', by: 'person' as const, seq: 1, v: 1, atMs: 1 };
      const branches = { filed: [{ ...branch, id: 'br_half' }], restored: [branch.id] };
      const unchanged = { dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null };
      const failing = store.update({ key: ref, transition: () => ({ ...unchanged, session: { ...session, title: 'half' }, entries: [half], branches }) });
      expect(await failing.then(() => 'committed', () => 'rejected')).toBe('rejected');
      expect([await branchesOf(kit, ref), (await kit.tail(ref)).session.title]).toEqual([before, null]);
      const refused = await kit.command(ref, acceptRestore({ branchId: branch.id }), { reads: { ...moving, branchId: branch.id } });
      expect(refused.kind === 'refused' && refused.refusal.refused).toBe('session_busy');
      expect(await branchesOf(kit, ref)).toEqual(before);
    },
  },
  {
    name: 'branches of another session or tenant are not listed, and an unknown session has none',
    run: async (kit) => {
      const { expect, store } = kit;
      const { ref, turnIds: [first = ''] } = await conversation(kit, 1);
      await move(kit, ref, edited(kit, first, 'instead'));
      const { ref: other } = await conversation(kit, 1);
      for (const elsewhere of [other, { tenant: 'other', id: ref.id }, { tenant: 'acme', id: 'ses_unknown' }]) expect(await store.listBranches(elsewhere, { limit: 10 })).toEqual({ items: [], nextCursor: null });
    },
  },
  {
    name: 'deleting a session removes its branches and its marks, and leaves those of others',
    run: async (kit) => {
      const { expect, store } = kit;
      const gone = await conversation(kit, 1);
      const stays = await conversation(kit, 1);
      for (const { ref, turnIds: [first = ''] } of [gone, stays]) await move(kit, ref, edited(kit, first, 'instead'));
      committed(await store.update({ key: gone.ref, transition: deleteTransition(kit.nowMs) }));
      expect([(await branchesOf(kit, gone.ref)).length, (await branchesOf(kit, stays.ref)).length]).toEqual([0, 1]);
      const marks = async ({ ref, turnIds: [first = ''] }: typeof gone) => (await store.readMarked(ref, turnBeginMark(first)))?.kind ?? null;
      expect([await marks(gone), await marks(stays)]).toEqual([null, 'user-message']);
    },
  },
  {
    name: 'a store that is opened again has its branches, its marks, and what redo brings back',
    when: ({ reopens, durable }) => reopens && durable,
    run: async (kit) => {
      const { expect } = kit;
      const { ref, turnIds: [first = '', second = ''] } = await conversation(kit, 2);
      await move(kit, ref, edited(kit, second, 'instead'));
      await kit.answer(ref, 'so be it');
      await move(kit, ref, acceptRewind({ turnId: first }));
      const [branches, { marks }] = [await branchesOf(kit, ref), await loaded(kit, ref, { marks: true })];
      await kit.reopen();
      expect([await branchesOf(kit, ref), (await loaded(kit, ref, { marks: true })).marks]).toEqual([branches, marks]);
      expect(await shown(kit, ref)).toEqual(['message 1']);
      await move(kit, ref, acceptRedo());
      expect(await shown(kit, ref)).toEqual(['message 1', 'instead']);
      await move(kit, ref, acceptRestore({ branchId: branches[0]?.id ?? '' }), branches[0]?.id);
      expect(await shown(kit, ref)).toEqual(['message 1', 'message 2']);
    },
  },
  {
    name: 'of two that restore one branch at once, one does and the other finds none',
    when: hasPeers,
    run: async (kit) => {
      const { expect, store } = kit;
      const peer = await kit.peer();
      for (let round = 0; round < 5; round += 1) {
        const { ref, turnIds: [first = ''] } = await conversation(kit, 1);
        await move(kit, ref, edited(kit, first, 'instead'));
        await kit.answer(ref, 'so be it');
        const [branch] = await branchesOf(kit, ref);
        const branchId = branch?.id ?? '';
        const results = await Promise.all([store, peer, store].map((one) => kit.command(ref, acceptRestore({ branchId }), { reads: { ...moving, branchId } }, one)));
        expect(results.map((result) => (result.kind === 'refused' ? result.refusal.refused : result.kind)).toSorted()).toEqual(['branch_not_found', 'branch_not_found', 'committed']);
        expect(await shown(kit, ref, peer)).toEqual(['message 1']);
        await expectBranchesOfLog(kit, ref, peer);
      }
    },
  },
  {
    name: 'a rewind and the commit of the generation that it stops have one order: what came first is left, and what comes after it lands nowhere',
    when: hasPeers,
    run: async (kit) => {
      const { expect, store } = kit;
      const peer = await kit.peer();
      for (let round = 0; round < 12; round += 1) {
        const { ref, turnIds: [first = ''] } = await conversation(kit, 1);
        await kit.send(ref, 'and then?');
        const work = await kit.claimed(ref, 'wrk_a');
        const outcome = { kind: 'generated' as const, attempt: attemptRecord(work.attempt), parts: [{ type: 'text' as const, text: 'late' }, callPart(0, 'pay')], finishReason: 'tool-calls' as const, warnings: [] };
        const settle = () => peer.update({ key: keyOf(ref), transition: settleGeneration(work.lease, outcome, suiteRules, kit.circumstances) });
        const rewind = () => kit.command(ref, acceptRewind({ turnId: first, stop: true }), { reads: moving }, store);
        const early = round % 2 === 0 ? settle() : null;
        const rewinding = rewind();
        const [settled, rewound] = await Promise.all([early ?? settle(), rewinding]);
        expect(rewound.kind).toBe('committed');
        const lost = settled.kind === 'refused' ? settled.refusal.refused : settled.kind;
        expect(['committed', 'fence_lost'].includes(lost)).toBe(true);
        const { entries, session } = await kit.tail(ref);
        expect([visibleTexts(entries, session), session.turn, session.claim, session.rewound?.turns]).toEqual([['message 1'], null, null, 1]);
        expect(entries.some((entry) => entry.kind === 'assistant-step' && entry.attempt.id === work.attempt.id)).toBe(lost === 'committed');
        expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_entry, place) => place + 1));
      }
    },
  },
];
