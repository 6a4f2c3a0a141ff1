import { acceptStop } from '../../core/accept/stop.ts';
import { deleteTransition } from '../../core/accept/end.ts';
import { refuse } from '../../core/errors.ts';
import { cancelOperation, completeOperation, releaseOperation, reportProgress, type OperationTransition } from '../../core/operation-transitions.ts';
import { statusOf } from '../../core/session.ts';
import type { Operation } from '../../core/operation.ts';
import type { OperationKey, Store } from '../store.ts';
import { callPart, codeOf, committed, doneResult, hasPeers, keyOf, type ConformanceCase, type Kit } from './kit.ts';
import { changeOperation, externalOperation, finishOperation, operationOf, runOperation, settling, startOperation, tryClaim, tryOperation, type RunningOperation } from './operation-kit.ts';

const unchanged = { entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null };

/** One more step of progress than was reported, so that a lost update is seen. */
function progressing({ lease }: RunningOperation, kit: Kit): OperationTransition<number> {
  return (loaded) => {
    const steps = Number(loaded.operation.progress?.text ?? 0) + 1;
    const change = reportProgress(lease, { fraction: 0.5, text: String(steps), atMs: kit.nowMs })(loaded);
    return 'refused' in change ? change : { ...change, reply: steps };
  };
}

async function codeOfChange(kit: Kit, key: OperationKey, transition: OperationTransition<unknown>): Promise<string> {
  const result = await tryOperation(kit, key, transition, { session: true });
  return result.kind === 'refused' ? result.refusal.refused : result.kind;
}

/** The change of a session that a log with its first entry already cannot take. */
function impossibleEntry() {
  return { kind: 'title-set' as const, title: 'half', by: 'person' as const, seq: 1, v: 1, atMs: 1 };
}

/** What operations promise: their start and cancellation in their session's commit, and `updateOperation`. */
export const operationCases: readonly ConformanceCase[] = [
  {
    name: 'an operation begins in its session\'s commit, and is found as it began',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, session, operation } = await startOperation(kit, { key: 'index' });
      expect([operation.sessionId, operation.owner, operation.status, operation.fence, operation.key]).toEqual([work.ref.id, 'ada', 'queued', 0, 'index']);
      expect(session.operations.map(({ id }) => id)).toEqual([operation.id]);
      expect(statusOf(session)).toBe('waiting');
      expect(await store.readOperation({ tenant: 'acme', id: operation.id, owner: 'ada' })).toEqual(operation);
      expect((await kit.tail(work.ref)).operations).toEqual([operation]);
    },
  },
  {
    name: 'an operation may begin with its session',
    run: async (kit) => {
      const { expect, store } = kit;
      const { session, operation } = await startOperation(kit);
      const ref = { tenant: 'acme', id: kit.mint('ses') };
      const own: Operation = { ...operation, id: kit.mint('op'), sessionId: ref.id };
      await store.create({ ref, owner: 'ada', build: () => ({ ...unchanged, session: { ...session, ...ref }, operations: [own] }), replyToStore: () => null });
      expect(await store.readOperation({ tenant: 'acme', id: own.id })).toEqual(own);
    },
  },
  {
    name: 'a commit that is refused or fails starts and cancels no operation',
    run: async (kit) => {
      const { expect, store } = kit;
      const { session, operation } = await startOperation(kit);
      const other: Operation = { ...operation, id: kit.mint('op') };
      const key = keyOf(session);
      await store.update({ key, transition: () => refuse('session_busy', 'no') });
      const failing = store.update({ key, transition: () => ({ ...unchanged, session: { ...session, title: 'half' }, entries: [impossibleEntry()], operations: [other], cancels: [operation.id] }) });
      expect(await failing.then(() => 'committed', () => 'rejected')).toBe('rejected');
      expect(await store.readOperation({ tenant: 'acme', id: other.id })).toBe(null);
      expect(await operationOf(kit, operation)).toEqual(operation);
    },
  },
  {
    name: 'another owner\'s or tenant\'s operation does not exist: it is not read, not changed, and no transition runs',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, operation: { id } } = await startOperation(kit);
      const before = await operationOf(kit, { tenant: 'acme', id });
      const strangers: readonly OperationKey[] = [
        { tenant: 'acme', id, owner: 'bob' }, { tenant: 'acme', id, owner: '' }, { tenant: 'other', id }, { tenant: 'other', id, owner: 'ada' }, { tenant: 'acme', id: 'op_unknown' },
        { tenant: 'acme', id: work.ref.id },
      ];
      let runs = 0;
      for (const key of strangers) {
        expect(await store.readOperation(key)).toBe(null);
        const result = await store.updateOperation({ key, reads: { session: true }, transition: (loaded) => { runs += 1; return cancelOperation(kit.circumstances)(loaded); } });
        expect(result.kind === 'refused' && [result.refusal.refused, result.operation]).toEqual(['operation_not_found', null]);
      }
      expect(runs).toBe(0);
      expect(await operationOf(kit, { tenant: 'acme', id })).toEqual(before);
      const own = await store.updateOperation({ key: { tenant: 'acme', id, owner: 'ada' }, reads: { session: true }, transition: cancelOperation(kit.circumstances) });
      expect(own.kind === 'committed' && own.operation.status).toBe('cancelled');
    },
  },
  {
    name: 'two tenants may have one operation id and key without meeting',
    run: async (kit) => {
      const { expect, store } = kit;
      const { session, operation } = await startOperation(kit, { key: 'index' });
      const twin: Operation = { ...operation, tenant: 'other' };
      await store.create({ ref: { tenant: 'other', id: session.id }, owner: 'ada', build: () => ({ ...unchanged, session: { ...session, tenant: 'other' }, operations: [twin] }), replyToStore: () => null });
      await finishOperation(kit, twin);
      expect([(await operationOf(kit, twin)).status, (await operationOf(kit, operation)).status]).toEqual(['succeeded', 'queued']);
      await kit.update({ tenant: 'other', id: session.id }, deleteTransition(kit.nowMs));
      expect([await store.readOperation({ tenant: 'other', id: operation.id }), (await operationOf(kit, operation)).status]).toEqual([null, 'queued']);
    },
  },
  {
    name: 'a transition is given the session and the outcomes of its open calls when it asks for them, and only then',
    run: async (kit) => {
      const { expect, store } = kit;
      const work = await kit.inWork();
      const parts = [callPart(0, 'look', { operation: { mode: 'await' } }), callPart(1, 'look', { operation: { mode: 'await' } })];
      const { operations: [first, second] } = await kit.settle(work, parts, 'tool-calls');
      await finishOperation(kit, { tenant: 'acme', id: first?.id ?? '' });
      const seen: unknown[] = [];
      for (const reads of [{ session: true }, {}]) {
        await store.updateOperation({ key: { tenant: 'acme', id: second?.id ?? '' }, reads, transition: ({ operation, session, outcomes }) => {
          seen.push([operation.id, session, outcomes.map(({ index, output }) => [index, output])]);
          return refuse('fence_lost', 'looked');
        } });
      }
      expect(seen).toEqual([[second?.id, (await kit.tail(work.ref)).session, [[0, 'indexed']]], [second?.id, null, []]]);
    },
  },
  {
    name: 'a refused change of an operation changes nothing, and the refusal comes with the operation as it is',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, operation } = await startOperation(kit);
      const before = await kit.tail(work.ref);
      const refusal = refuse('fence_lost', 'no');
      expect(await store.updateOperation({ key: { tenant: 'acme', id: operation.id }, transition: () => refusal })).toEqual({ kind: 'refused', refusal, operation });
      expect(await kit.tail(work.ref)).toEqual(before);
    },
  },
  {
    name: 'a change of an operation that throws, or that the store cannot make, leaves the operation and its session as they were, and hurts no other write',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, operation } = await startOperation(kit);
      const running = await runOperation(kit, operation);
      const before = await kit.tail(work.ref);
      const key = { tenant: 'acme', id: operation.id };
      const thrown = store.updateOperation({ key, reads: { session: true }, transition: () => { throw Object.assign(new Error('boom'), { code: 'boom' }); } });
      const half = store.updateOperation({ key, reads: { session: true }, transition: (loaded) => {
        const change = settling(kit, running)(loaded);
        return 'refused' in change || change.session === null ? change : { ...change, session: { ...change.session, entries: [...change.session.entries, impossibleEntry()] } };
      } });
      const [code, halfDone, bystander] = await Promise.all([codeOf(thrown), half.then(() => 'committed', () => 'rejected'), kit.create()]);
      expect([code, halfDone, (await store.readSession(keyOf(bystander)))?.id]).toEqual(['boom', 'rejected', bystander.id]);
      expect(await kit.tail(work.ref)).toEqual(before);
      expect(await operationOf(kit, operation)).toEqual(running.operation);
      let outcomes: readonly unknown[] = ['not read'];
      await store.update({ key: work.ref, reads: { outcomes: true }, transition: (loaded) => { outcomes = loaded.outcomes; return refuse('session_busy', 'looked'); } });
      expect(outcomes).toEqual([]);
    },
  },
  {
    name: 'progress leaves its session\'s row as it is',
    run: async (kit) => {
      const { expect } = kit;
      const { work, operation } = await startOperation(kit);
      const running = await runOperation(kit, operation);
      const before = await kit.tail(work.ref);
      kit.nowMs += 5_000;
      const result = await changeOperation(kit, operation, reportProgress(running.lease, { fraction: 0.25, text: 'a quarter', atMs: kit.nowMs }));
      expect([result.session, result.entries, result.operation.progress]).toEqual([null, [], { fraction: 0.25, text: 'a quarter', atMs: kit.nowMs }]);
      const after = await kit.tail(work.ref);
      expect({ ...after, operations: [] }).toEqual({ ...before, operations: [] });
      expect(after.operations).toEqual([result.operation]);
      expect(await operationOf(kit, operation)).toEqual(result.operation);
    },
  },
  {
    name: '40 changes of one operation at once all take place, one after the other',
    run: async (kit) => {
      await expectSerialChanges(kit, [kit.store]);
    },
  },
  {
    name: '40 changes of one operation from two processes at once all take place, one after the other',
    when: hasPeers,
    run: async (kit) => {
      await expectSerialChanges(kit, [kit.store, await kit.peer()]);
    },
  },
  {
    name: 'of two claims of one operation at once one takes it and the other is refused',
    run: async (kit) => {
      const { expect } = kit;
      const { operation } = await startOperation(kit);
      const claims = await Promise.all(['wrk_a', 'wrk_b'].map((worker) => tryClaim(kit, operation, worker)));
      expect(claims.map((claim) => (claim.kind === 'refused' ? claim.refusal.refused : claim.kind)).toSorted()).toEqual(['committed', 'not_claimable']);
      const taken = claims.find(({ kind }) => kind === 'committed');
      expect(await operationOf(kit, operation)).toEqual(taken?.operation);
    },
  },
  {
    name: 'work under a fence that is lost lands nowhere: after a release, be it to the same worker again, a takeover, a completion from outside and an end',
    run: async (kit) => {
      const { expect } = kit;
      const released = await startOperation(kit);
      const stale: RunningOperation[] = [await runOperation(kit, released.operation)];
      await changeOperation(kit, released.operation, releaseOperation({ worker: 'wrk_o', fence: 1 }, true, kit.nowMs));
      const again = await startOperation(kit);
      stale.push(await runOperation(kit, again.operation));
      await changeOperation(kit, again.operation, releaseOperation({ worker: 'wrk_o', fence: 1 }, true, kit.nowMs));
      await runOperation(kit, again.operation);
      const taken = await startOperation(kit);
      stale.push(await runOperation(kit, taken.operation, 'wrk_dead'));
      await runOperation(kit, taken.operation, 'wrk_o', ['wrk_dead']);
      const completed = await startOperation(kit);
      const ran = await runOperation(kit, completed.operation);
      stale.push(ran);
      await changeOperation(kit, completed.operation, (loaded) => ({ operation: { ...loaded.operation, tokenHashes: ['h'] }, session: null, reply: null }));
      await changeOperation(kit, completed.operation, completeOperation('h', doneResult(0, 'look', 'from outside'), kit.circumstances), { session: true });
      const ended = await startOperation(kit);
      const last = await runOperation(kit, ended.operation);
      await changeOperation(kit, ended.operation, settling(kit, last), { session: true });
      stale.push(last);
      for (const running of stale) {
        const before = await operationOf(kit, running.operation);
        const session = await kit.tail({ tenant: 'acme', id: before.sessionId });
        expect([await codeOfChange(kit, before, reportProgress(running.lease, { fraction: 1, atMs: kit.nowMs })), await codeOfChange(kit, before, settling(kit, running))]).toEqual(['fence_lost', 'fence_lost']);
        expect(await operationOf(kit, before)).toEqual(before);
        expect(await kit.tail({ tenant: 'acme', id: before.sessionId })).toEqual(session);
      }
    },
  },
  {
    name: 'the end of an awaited operation, its entry and its call\'s outcome are one commit, and the next claim answers the call with it',
    run: async (kit) => {
      const { expect, store } = kit;
      const { work, session, operation } = await startOperation(kit);
      kit.nowMs += 10;
      const ended = await finishOperation(kit, operation);
      expect([ended.operation.status, ended.operation.result?.output, ended.operation.worker, ended.operation.endedAtMs]).toEqual(['succeeded', 'indexed', null, kit.nowMs]);
      expect(ended.entries.map(({ kind, seq }) => [kind, seq])).toEqual([['operation-ended', session.lastSeq + 1]]);
      const tail = await kit.tail(work.ref);
      expect([tail.session, tail.operations, tail.entries.slice(session.lastSeq)]).toEqual([ended.session, [], ended.entries]);
      expect(await operationOf(kit, operation)).toEqual(ended.operation);
      expect((await store.findClaimable({ nowMs: kit.nowMs, deadWorkers: [], agents: ['suite'], limit: 10 })).map(({ id }) => id)).toEqual([work.ref.id]);
      const { entries } = await kit.claim(work.ref, 'wrk_b');
      expect(entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ outcome, output }) => [outcome, output]) : []))).toEqual([['done', 'indexed']]);
    },
  },
  {
    name: 'the end of a detached operation is one commit with the turn that it opens, and the turn\'s first entry has its result',
    run: async (kit) => {
      const { expect } = kit;
      const { work, session, operation } = await startOperation(kit, { mode: 'detach' });
      await kit.settle(kit.next(work, session), [{ type: 'text', text: 'it runs' }]);
      const ended = await finishOperation(kit, operation);
      expect([ended.operation.status, ended.entries.map(({ kind }) => kind), ended.session?.turn?.origin]).toEqual(['succeeded', ['operation-ended', 'turn-started'], 'operation']);
      expect((await kit.tail(work.ref)).session).toEqual(ended.session);
      const { entries } = await kit.claim(work.ref, 'wrk_b');
      const given = entries.find((entry) => entry.kind === 'operation-result');
      expect(given?.kind === 'operation-result' && [given.operationId, given.toolCallId, given.result.outcome, given.result.output]).toEqual([operation.id, 'call_0', 'done', 'indexed']);
      expect(entries.some((entry) => 'contentFrom' in entry)).toBe(false);
    },
  },
  {
    name: 'a second completion from outside changes nothing and says what it came to',
    run: async (kit) => {
      const { expect } = kit;
      const { work, operation } = await externalOperation(kit);
      const complete = (output: string) => changeOperation(kit, operation, completeOperation('hash of a token', doneResult(0, 'look', output), kit.circumstances), { session: true });
      const first = await complete('first');
      const before = await kit.tail(work.ref);
      const second = await complete('second');
      expect([second.reply, second.operation, second.session, second.entries]).toEqual([first.reply, first.operation, null, []]);
      expect(await kit.tail(work.ref)).toEqual(before);
    },
  },
  {
    name: 'a stop cancels the operations that its turn waits for in its own commit, whoever runs them',
    run: async (kit) => {
      const { expect, store } = kit;
      const [queued, held, external] = [await startOperation(kit), await startOperation(kit), await externalOperation(kit)];
      const running = await runOperation(kit, held.operation);
      for (const { work, operation } of [queued, held, external]) {
        const { fence, attempts } = await operationOf(kit, operation);
        kit.nowMs += 10;
        committed(await kit.command(work.ref, acceptStop({}), { reads: { outcomes: true } }));
        const cancelled = await operationOf(kit, operation);
        expect([cancelled.status, cancelled.worker, cancelled.external, cancelled.fence, cancelled.endedAtMs]).toEqual(['cancelled', null, false, fence + 1, kit.nowMs]);
        expect([cancelled.result?.outcome, cancelled.result?.mayHaveRun]).toEqual(['stopped', attempts > 0 ? true : undefined]);
        expect((await kit.tail(work.ref)).operations).toEqual([]);
      }
      const before = await kit.tail(held.work.ref);
      expect(await codeOfChange(kit, held.operation, settling(kit, running))).toBe('fence_lost');
      expect(await kit.tail(held.work.ref)).toEqual(before);
      expect([await store.findHeldOperations('wrk_o'), await store.findClaimableOperations({ nowMs: kit.nowMs + 1e12, deadWorkers: ['wrk_o'], agents: ['suite'], limit: 10 })]).toEqual([[], []]);
    },
  },
  {
    name: 'cancelling an operation that has ended, or is unknown, leaves it as it is',
    run: async (kit) => {
      const { expect } = kit;
      const { work, operation } = await startOperation(kit, { mode: 'detach' });
      const { operation: ended } = await finishOperation(kit, operation);
      await kit.update(work.ref, ({ session }) => ({ ...unchanged, session, cancels: [operation.id, 'op_unknown'] }));
      expect(await operationOf(kit, operation)).toEqual(ended);
    },
  },
  {
    name: 'of a stop and an operation\'s end at once the first one counts, and the call has one outcome',
    run: async (kit) => {
      await expectOneEnd(kit, kit.store);
    },
  },
  {
    name: 'of a stop and an operation\'s end from two processes at once the first one counts, and the call has one outcome',
    when: hasPeers,
    run: async (kit) => {
      await expectOneEnd(kit, await kit.peer());
    },
  },
  {
    name: 'one that begins in the change which cancels another may have its key; one that begins and is cancelled in one change is cancelled',
    run: async (kit) => {
      const { expect } = kit;
      const { work, operation } = await startOperation(kit, { key: 'index' });
      const next: Operation = { ...operation, id: kit.mint('op') };
      const brief: Operation = { ...operation, id: kit.mint('op'), key: 'brief' };
      await kit.update(work.ref, ({ session }) => ({ ...unchanged, session, operations: [next, brief], cancels: [operation.id, brief.id] }));
      const statuses = await Promise.all([operation, next, brief].map(async (each) => (await operationOf(kit, each)).status));
      expect(statuses).toEqual(['cancelled', 'queued', 'cancelled']);
    },
  },
];

async function expectSerialChanges(kit: Kit, stores: readonly Store[]): Promise<void> {
  const { expect } = kit;
  const { operation } = await startOperation(kit);
  const running = await runOperation(kit, operation);
  const results = await Promise.all(Array.from({ length: 40 }, (_, place) => tryOperation(kit, operation, progressing(running, kit), {}, stores[place % stores.length])));
  const steps = results.map((result) => (result.kind === 'committed' ? result.reply : Number.NaN));
  expect(steps.toSorted((left, right) => left - right)).toEqual(steps.map((_step, place) => place + 1));
  expect((await operationOf(kit, operation)).progress?.text).toBe('40');
}

/** Both orders are right; what is not is half of each. */
async function expectOneEnd(kit: Kit, other: Store): Promise<void> {
  const { expect } = kit;
  for (let round = 0; round < 10; round += 1) {
    const { work, operation } = await startOperation(kit);
    const running = await runOperation(kit, operation);
    const stop = () => kit.command(work.ref, acceptStop({}), { reads: { outcomes: true } }, other);
    const end = () => tryOperation(kit, operation, settling(kit, running), { session: true });
    if (round % 2 === 0) await Promise.all([stop(), end()]);
    else await Promise.all([end(), stop()]);
    const { status } = await operationOf(kit, operation);
    const { session, entries } = await kit.tail(work.ref);
    expect([entries.filter(({ kind }) => kind === 'operation-ended').length, session.operations, session.turn]).toEqual([1, [], null]);
    const outcomes = entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ outcome }) => outcome) : []));
    expect([status, ...outcomes]).toEqual(status === 'succeeded' ? ['succeeded', 'done'] : ['cancelled', 'stopped']);
  }
}
