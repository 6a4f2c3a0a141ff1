import { acceptSend } from '../../core/accept/send.ts';
import { acceptStop } from '../../core/accept/stop.ts';
import { refuse } from '../../core/errors.ts';
import { StoreError } from '../store-error.ts';
import type { ChangeHint, SessionRef, Store, StoreTransaction } from '../store.ts';
import { callPart, codeOf, committed, doneResult, keyOf, touching, type ConformanceCase, type InWork, type Kit, type Traits } from './kit.ts';

const hasTransactions = ({ transactions }: Traits): boolean => transactions;

/** Everything that the store says of a session. */
function hintsOf(store: Store, ref: SessionRef): readonly ChangeHint[] {
  const hints: ChangeHint[] = [];
  store.onChange((hint) => {
    if (hint.ref?.id === ref.id) hints.push(hint);
  });
  return hints;
}

async function paying(kit: Kit): Promise<{ readonly work: InWork; readonly stepSeq: number }> {
  const work = await kit.inWork();
  const session = await kit.settle(work, [callPart(0, 'look'), callPart(1, 'look')], 'tool-calls');
  return { work, stepSeq: session.turn?.lastStep?.seq ?? 0 };
}

async function titleOf(store: Store, ref: SessionRef): Promise<string | null | undefined> {
  return (await store.readSession(keyOf(ref)))?.title;
}

function titled(kit: Kit, ref: SessionRef, title: string, transaction: StoreTransaction) {
  return kit.store.update({ key: keyOf(ref), transition: touching(title, kit.nowMs), transaction });
}

/** On an engine whose transactions are serializable, one that lost is its caller's to run again. */
async function untilWon(run: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'transaction_conflict') throw error;
    }
  }
}

const thrown = new TypeError('no');

/** What `transaction` promises, and the writes that take one. */
export const transactionCases: readonly ConformanceCase[] = [
  {
    name: 'what is written in a transaction is seen by nobody before its end, and told of after it as of changes elsewhere that may leave work',
    when: hasTransactions,
    run: async (kit) => {
      const { expect, store } = kit;
      const [one, two] = [keyOf(await kit.create()), keyOf(await kit.create())];
      const hints = [one, two].map((ref) => hintsOf(store, ref));
      const answer = await store.transaction(async (transaction) => {
        await titled(kit, one, 'first', transaction);
        await titled(kit, two, 'second', transaction);
        expect([await titleOf(store, one), await titleOf(store, two)]).toEqual([null, null]);
        expect(hints).toEqual([[], []]);
        return 'answer';
      });
      expect([answer, await titleOf(store, one), await titleOf(store, two)]).toEqual(['answer', 'first', 'second']);
      expect(hints).toEqual([[{ ref: one, elsewhere: true, leavesWork: true }], [{ ref: two, elsewhere: true, leavesWork: true }]]);
    },
  },
  {
    name: 'what is written in a transaction whose work rejects is nowhere, and nobody is told',
    when: hasTransactions,
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, stepSeq } = await paying(kit);
      const hints = hintsOf(store, work.ref);
      const idempotency = [kit.key('once')];
      let rejected: unknown;
      try {
        await store.transaction(async (transaction) => {
          await kit.command(work.ref, acceptSend({ message: { messageId: 'm', parts: [] }, whenBusy: 'queue' }), { idempotency, transaction });
          await store.storeOutcomeIfHeld({ ref: work.ref, fence: work.lease.fence, stepSeq, result: doneResult(0, 'look'), transaction });
          await store.storeWholeResult({ ref: work.ref, id: 'res_1', body: '1', transaction });
          throw thrown;
        });
      } catch (error) {
        rejected = error;
      }
      store.announce();
      expect([rejected === thrown, hints.length, await store.readWholeResult(work.ref, 'res_1')]).toEqual([true, 0, null]);
      const { session } = await kit.tail(work.ref);
      expect([session.queue.length, session.lastSeq]).toEqual([0, stepSeq]);
      // Its key is free, and its outcome has to be given anew.
      expect((await kit.command(work.ref, acceptSend({ message: { messageId: 'm', parts: [] }, whenBusy: 'queue' }), { idempotency })).kind).toBe('committed');
      expect((await kit.settleCalls(work, stepSeq, [doneResult(0, 'look', 'again'), doneResult(1, 'look')])).turn?.lastStep?.openCalls.length ?? 0).toBe(0);
    },
  },
  {
    name: 'an outcome and a whole result land with their transaction, and the step takes up the outcome',
    when: hasTransactions,
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, stepSeq } = await paying(kit);
      const { ref, lease: { fence } } = work;
      expect(await store.transaction(async (transaction) => [
        await store.storeWholeResult({ ref, id: 'res_1', body: '"whole"', transaction }),
        await store.storeOutcomeIfHeld({ ref, fence, stepSeq, result: doneResult(0, 'look', 'in the transaction'), transaction }),
      ])).toEqual(['stored', 'stored']);
      expect(await store.readWholeResult(ref, 'res_1')).toBe('"whole"');
      await kit.settleCalls(work, stepSeq, [doneResult(1, 'look', 'beside it')]);
      const results = (await kit.tail(ref)).entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ output }) => output) : []));
      expect(results).toEqual(['in the transaction', 'beside it']);
    },
  },
  {
    name: 'an outcome in a transaction is refused once the fence is another, and what goes with it is the work\'s to reject',
    when: hasTransactions,
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, stepSeq } = await paying(kit);
      committed(await kit.command(work.ref, acceptStop({}), { reads: { chunks: true, outcomes: true } }));
      const { ref, lease: { fence } } = work;
      expect(await store.transaction((transaction) => store.storeOutcomeIfHeld({ ref, fence, stepSeq, result: doneResult(0, 'look'), transaction }))).toBe('fence-lost');
    },
  },
  {
    name: 'changes in one transaction each see the one before, also when they are asked for at once, and a refused one changes nothing',
    when: hasTransactions,
    run: async (kit) => {
      const { expect, store } = kit;
      const ref = keyOf(await kit.create({ text: 'hello' }));
      await store.transaction(async (transaction) => {
        const send = (messageId: string) => kit.command(ref, acceptSend({ message: { messageId, parts: [] }, whenBusy: 'queue' }), { transaction });
        expect((await Promise.all(['a', 'b', 'c'].map(send))).map(({ kind }) => kind)).toEqual(['committed', 'committed', 'committed']);
        expect((await store.update({ key: ref, transition: () => refuse('session_busy', 'no'), transaction })).kind).toBe('refused');
        expect((await store.update({ key: { ...ref, id: 'ses_unknown' }, transition: touching('x', kit.nowMs), transaction })).kind).toBe('refused');
        await send('d');
      });
      expect((await kit.tail(ref)).session.queue.map(({ messageId }) => messageId)).toEqual(['a', 'b', 'c', 'd']);
    },
  },
  {
    name: 'a transaction that is over takes nothing more',
    when: hasTransactions,
    run: async (kit) => {
      const { expect, store } = kit;
      const ref = keyOf(await kit.create());
      const kept: StoreTransaction[] = [];
      await store.transaction(async (transaction) => void kept.push(transaction));
      for (const transaction of kept) expect(await codeOf(titled(kit, ref, 'late', transaction))).toBe('transaction_misused');
      expect(await titleOf(store, ref)).toBe(null);
    },
  },
  {
    name: 'more transactions than may be open at once follow each other, and leave room for other commits',
    when: hasTransactions,
    run: async (kit) => {
      const { expect, store } = kit;
      const refs = await Promise.all(Array.from({ length: 12 }, async () => keyOf(await kit.create())));
      const beside = keyOf(await kit.create());
      const within = refs.map((ref, place) => untilWon(() => store.transaction(async (transaction) => void await titled(kit, ref, `in ${place}`, transaction))));
      await Promise.all([...within, ...refs.map((_ref, place) => kit.touch(beside, `beside ${place}`))]);
      expect(await Promise.all(refs.map((ref) => titleOf(store, ref)))).toEqual(refs.map((_ref, place) => `in ${place}`));
    },
  },
  {
    name: 'a session may be announced at any time, as changed elsewhere',
    when: hasTransactions,
    run: async (kit) => {
      const { expect, store } = kit;
      const ref = keyOf(await kit.create());
      const hints = hintsOf(store, ref);
      store.announce(ref);
      store.announce({ ...ref, id: 'ses_unknown' });
      store.announce();
      expect(hints).toEqual([{ ref, elsewhere: true, leavesWork: true }]);
    },
  },
  {
    name: 'a store without transactions says so before the work is called, and announces nothing',
    when: (traits) => !traits.transactions,
    run: async (kit) => {
      const { expect, store } = kit;
      const ref = keyOf(await kit.create());
      const hints = hintsOf(store, ref);
      let ran = false;
      expect(await codeOf(store.transaction(async () => { ran = true; }))).toBe('store_unsupported');
      store.announce(ref);
      store.announce();
      expect([ran, hints]).toEqual([false, []]);
    },
  },
];
