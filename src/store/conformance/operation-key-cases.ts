import { acceptResolve } from '../../core/accept/resolve.ts';
import { acceptStop } from '../../core/accept/stop.ts';
import { deleteTransition } from '../../core/accept/end.ts';
import { refuse } from '../../core/errors.ts';
import { cancelOperation } from '../../core/operation-transitions.ts';
import type { Operation } from '../../core/operation.ts';
import type { Session } from '../../core/session.ts';
import type { SessionKey, Store } from '../store.ts';
import { callPart, committed, hasPeers, keyOf, type ConformanceCase, type InWork, type Kit } from './kit.ts';
import { changeOperation, finishOperation, startOperation } from './operation-kit.ts';

/** The operations that a transition of the session is told of. */
async function keyedFor(kit: Kit, key: SessionKey, operationKeys?: readonly string[]): Promise<readonly string[]> {
  let seen: readonly Operation[] = [];
  await kit.store.update({ key: keyOf(key), ...(operationKeys === undefined ? {} : { reads: { operationKeys } }), transition: ({ keyedOperations = [] }) => {
    seen = keyedOperations;
    return refuse('session_busy', 'looked');
  } });
  return seen.map(({ id }) => id).toSorted();
}

/** A step with one detached operation under a key; the session as its commit leaves it. */
function startUnder(kit: Kit, work: InWork, key: string, store?: Store): Promise<Session> {
  return kit.settle(work, [callPart(0, 'look', { operation: { mode: 'detach', key } })], 'tool-calls', store);
}

/** What the detached call of each session was answered with: the id and whether that operation was started by it. */
async function answersOf(kit: Kit, works: readonly InWork[]): Promise<readonly { readonly operationId: unknown; readonly status: unknown }[]> {
  const tails = await Promise.all(works.map(({ ref }) => kit.tail(ref)));
  return tails.flatMap(({ entries }) => entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ output }) => output as { operationId: unknown; status: unknown }) : [])));
}

/** What keys of operations promise: while one lives, no other of its key starts. */
export const operationKeyCases: readonly ConformanceCase[] = [
  {
    name: 'a transition is told of the operations that live under the keys asked for, in its own tenant, and of no others',
    run: async (kit) => {
      const { expect } = kit;
      const [first, second] = [await startOperation(kit, { key: 'one' }), await startOperation(kit, { key: 'two', owner: 'bob' })];
      const elsewhere = await startOperation(kit, { key: 'one', tenant: 'other' });
      await startOperation(kit);
      const asking = await kit.create();
      expect(await keyedFor(kit, asking, ['one'])).toEqual([first.operation.id]);
      expect(await keyedFor(kit, asking, ['two', 'none', 'one', 'one'])).toEqual([first.operation.id, second.operation.id]);
      expect(await keyedFor(kit, asking, ['it\'s "odd"', ''])).toEqual([]);
      expect(await keyedFor(kit, elsewhere.work.ref, ['one'])).toEqual([elsewhere.operation.id]);
      expect(await keyedFor(kit, asking)).toEqual([]);
    },
  },
  {
    name: 'a transition is told unasked of the operations under the keys of its session\'s open calls',
    run: async (kit) => {
      const { expect } = kit;
      const running = await startOperation(kit, { key: 'index', mode: 'detach' });
      const work = await kit.inWork();
      // The call waits for an approval, so that its operation does not begin in the step's own commit.
      const asked = await kit.settle(work, [callPart(0, 'look', { operation: { mode: 'detach', key: 'index' }, needs: { type: 'approval' }, inputHash: 'h' })], 'tool-calls');
      expect(await keyedFor(kit, work.ref)).toEqual([running.operation.id]);
      const actionId = asked.turn?.actions[0]?.id ?? '';
      const answers = [{ actionId, answer: { type: 'approve' as const }, fingerprint: 'f' }];
      committed(await kit.command(work.ref, acceptResolve({ answers, by: 'ada', roles: [] }), { reads: { outcomes: true } }));
      const claimed = await kit.claim(work.ref, 'wrk_b');
      expect(await answersOf(kit, [work])).toEqual([{ operationId: running.operation.id, status: 'in_progress' }]);
      expect(claimed.session.operations).toEqual([]);
    },
  },
  {
    name: 'of two sessions that start an operation of one key at once, one starts it and the other is told of it',
    run: async (kit) => {
      await expectOneStart(kit, [kit.store]);
    },
  },
  {
    name: 'of two sessions that start an operation of one key from two processes at once, one starts it and the other is told of it',
    when: hasPeers,
    run: async (kit) => {
      await expectOneStart(kit, [kit.store, await kit.peer()]);
    },
  },
  {
    name: 'a change that starts a second operation under a key all the same is not committed, and nothing of it is kept',
    run: async (kit) => {
      const { expect, store } = kit;
      const first = await startOperation(kit, { key: 'index' });
      const second = await startOperation(kit);
      const twin: Operation = { ...second.operation, id: kit.mint('op'), key: 'index' };
      const starting = store.update({ key: second.work.ref, transition: ({ session }) => ({
        session: { ...session, title: 'half' }, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null, operations: [twin],
      }) });
      expect(await starting.then(() => 'committed', () => 'rejected')).toBe('rejected');
      expect([await store.readOperation({ tenant: 'acme', id: twin.id }), (await kit.tail(second.work.ref)).session]).toEqual([null, second.session]);
      expect(await keyedFor(kit, second.work.ref, ['index'])).toEqual([first.operation.id]);
    },
  },
  {
    name: 'the key is free again once its operation has ended, was cancelled, or is deleted with its session',
    run: async (kit) => {
      const { expect, store } = kit;
      const ways: readonly ((started: Awaited<ReturnType<typeof startOperation>>) => Promise<unknown>)[] = [
        ({ operation }) => finishOperation(kit, operation),
        ({ operation }) => changeOperation(kit, operation, cancelOperation(kit.circumstances), { session: true }),
        async ({ work }) => committed(await kit.command(work.ref, acceptStop({}), { reads: { outcomes: true } })),
        ({ work }) => kit.update(work.ref, deleteTransition(kit.nowMs)),
      ];
      const asking = await kit.create();
      for (const end of ways) {
        const started = await startOperation(kit, { key: 'index' });
        expect(await keyedFor(kit, asking, ['index'])).toEqual([started.operation.id]);
        await end(started);
        expect(await keyedFor(kit, asking, ['index'])).toEqual([]);
      }
      const last = await startOperation(kit, { key: 'index' });
      expect((await store.readOperation({ tenant: 'acme', id: last.operation.id }))?.status).toBe('queued');
    },
  },
];

async function expectOneStart(kit: Kit, stores: readonly Store[]): Promise<void> {
  const { expect } = kit;
  for (let round = 0; round < 8; round += 1) {
    const works = [await kit.inWork(), await kit.inWork()];
    const key = `index ${round}`;
    const sessions = await Promise.all(works.map((work, place) => startUnder(kit, work, key, stores[place % stores.length])));
    const started = sessions.flatMap(({ operations }) => operations.map(({ id }) => id));
    expect(started.length).toBe(1);
    const answers = await answersOf(kit, works);
    expect(answers.map(({ operationId }) => operationId)).toEqual([started[0], started[0]]);
    expect(answers.map(({ status }) => String(status)).toSorted()).toEqual(['in_progress', 'started']);
  }
}
