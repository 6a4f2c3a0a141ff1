import fc from 'fast-check';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { examineSession } from '../../src/examine/examine-session.ts';
import { acceptRedact } from '../../src/core/accept/redact.ts';
import { acceptRestore } from '../../src/core/accept/restore.ts';
import { acceptRewind } from '../../src/core/accept/rewind.ts';
import { acceptSend } from '../../src/core/accept/send.ts';
import { acceptStop } from '../../src/core/accept/stop.ts';
import { acceptTransition, type Accept } from '../../src/core/accept/transition.ts';
import type { Transition } from '../../src/core/draft.ts';
import type { Entry } from '../../src/core/entry.ts';
import { cancelOperation } from '../../src/core/operation-transitions.ts';
import { dueAtMs, statusOf, type Session } from '../../src/core/session.ts';
import { foldTranscript } from '../../src/core/transcript.ts';
import type { Branch } from '../../src/core/history.ts';
import type { SessionRef, Store } from '../../src/store/store.ts';
import { foldLog } from '../support/log-fold.ts';
import { happen, happeningsOf, newborn } from '../support/random-history.ts';
import { callPart, PureSession, rulesWith, textPart } from '../support/pure-session.ts';
import { seedOf } from '../support/seed.ts';
import { openStore, postgresSchemas, sqliteFiles } from '../support/stores.ts';
import { exportLines, importAll } from './kit.ts';

const runs = { seed: seedOf('whole sessions'), numRuns: Number(process.env['HOLDFAST_EXCHANGE_RUNS'] ?? 25), endOnFailure: true };

/** Puts a session of plain memory into a store as it is. */
async function put(store: Store, pure: PureSession, ref: SessionRef): Promise<void> {
  const { externalId, owner } = pure.session;
  const result = await store.create({
    ref, owner, ...(externalId === null ? {} : { externalId }), replyToStore: () => null,
    build: () => ({
      session: { ...pure.session, ...ref }, entries: pure.log, dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null,
      operations: [...pure.operations.values()].map((operation) => ({ ...operation, tenant: ref.tenant, sessionId: ref.id })),
      ...(pure.branches.size === 0 ? {} : { branches: { filed: [...pure.branches.values()], restored: [] } }),
    }),
  });
  expect(result.kind).toBe('created');
}

interface Seen {
  readonly session: Session;
  readonly entries: readonly Entry[];
  readonly branches: readonly Branch[];
}

async function see(store: Store, ref: SessionRef): Promise<Seen> {
  const session = await store.readSession(ref);
  if (session === null) throw new Error(`there is no session ${ref.id}`);
  const entries: Entry[] = [];
  while (entries.length < session.lastSeq) entries.push(...await store.readEntries(ref, { afterSeq: entries.length, limit: 1_000 }));
  return { session, entries, branches: (await store.listBranches(ref, { limit: 1_000 })).items };
}

/** A command as the engine makes it, with ids and times that are the same wherever it is made, and however often its transition runs. */
async function command<Reply>(store: Store, ref: SessionRef, name: string, accept: Accept<Reply>, branchId?: string): Promise<string> {
  const transition: Transition<unknown> = (loaded) => {
    let minted = 0;
    return acceptTransition(accept, { nowMs: 9_000_000, mintId: (prefix) => `${prefix}_${name}${(minted += 1)}` })(loaded);
  };
  return (await store.update({ key: ref, transition, reads: { chunks: true, outcomes: true, marks: true, ...(branchId === undefined ? {} : { branchId }) } })).kind;
}

/** What a person may do next: send, rewind to the beginning, restore what was left. */
async function goOn(store: Store, ref: SessionRef): Promise<unknown> {
  const kinds = [
    await command(store, ref, 'a', acceptSend({ message: { messageId: 'msg_next', parts: [{ type: 'text', text: 'and then?' }] }, whenBusy: 'queue' })),
    await command(store, ref, 'b', acceptStop({})),
    await command(store, ref, 'c', acceptRewind({ turnId: null, stop: true })),
  ];
  const [branch] = (await store.listBranches(ref, { limit: 1 })).items;
  if (branch !== undefined) kinds.push(await command(store, ref, 'd', acceptRestore({ branchId: branch.id }), branch.id));
  const { session, entries, branches } = await see(store, ref);
  // Labels in the making are made where they were begun.
  return { kinds, session: { ...session, fence: 0, labelling: null }, entries, branches, transcript: foldTranscript(entries, session.visible) };
}

function findings({ session, entries, branches }: Seen, operations: readonly unknown[] = []): readonly unknown[] {
  const columns = {
    tenant: session.tenant, id: session.id, owner: session.owner, agent: session.agent, external_id: session.externalId, title_lower_case: session.title?.toLowerCase() ?? null, status: statusOf(session),
    archived: session.archived ? 1 : 0, active_at_ms: session.activeAtMs, due_at_ms: dueAtMs(session), worker: session.claim?.worker ?? null, fence: session.fence, attempt_id: session.turn?.attempt?.id ?? null,
  };
  return examineSession({ columns, session }, entries, { operations: operations as [], outcomes: [], branches });
}

/** Ends what a session has in hand, so that many are at rest. */
function rest(pure: PureSession): void {
  if (pure.session.turn !== null) pure.stop({ holdQueue: true });
  for (const { id } of pure.session.operations) pure.changeOperation(id, cancelOperation(pure.circumstances));
}

/** Nothing is in hand: the session is what its log says. */
function isAtRest({ session, entries }: Seen): boolean {
  return session.turn === null && session.operations.length === 0 && isDeepStrictEqual(besides(session), besides(foldLog(entries, session)));
}

/** All but what an import takes from the session's row, and who works on it. */
function besides({ fence: _f, claim: _c, crashes: _x, endsAtMs: _e, endAfterInactivityMs: _i, deleteAfterRestMs: _d, deletesAtMs: _t, updatedAtMs: _u, ...rest }: Session): object {
  return JSON.parse(JSON.stringify(rest)) as object;
}

describe.each([[sqliteFiles, postgresSchemas], [postgresSchemas, sqliteFiles]] as const)('whole sessions from $name to the other store', (from, to) => {
  it('are equal there when they were at rest, whatever had happened to them, and go on the same way; others are at rest there, and nothing of them is run again', async () => {
    const [origin, target] = [await openStore(await from.newUrl()), await openStore(await to.newUrl())];
    let run = 0;
    const counts = { atRest: 0, busy: 0 };
    await fc.assert(fc.asyncProperty(happeningsOf(120, 20), fc.nat(99), async (happenings, pick) => {
      const pure = newborn(pick);
      for (const happening of happenings) if (!pure.deleted) happen(pure, happening);
      if (pure.deleted) return;
      if (pick % 2 === 0) rest(pure);
      run += 1;
      const ref = { tenant: `t${run}`, id: `ses_${run}` };
      await put(origin, pure, ref);
      const before = await see(origin, ref);
      const lines = await exportLines(origin, ref);
      const [outcome, ...more] = await importAll(target, lines, { tenant: ref.tenant });
      expect([outcome?.status, outcome && 'error' in outcome ? outcome.error : '', more]).toEqual(['imported', '', []]);
      const after = await see(target, ref);
      expect(findings(after)).toEqual([]);
      expect((await importAll(target, lines, { tenant: ref.tenant }))[0]?.status).toBe('exists');
      expect((await target.findClaimable({ nowMs: 0, agents: ['pure'], limit: 1_000, deadWorkers: [] })).filter(({ tenant, id }) => tenant === ref.tenant && id === ref.id)).toEqual([]);
      if (isAtRest(before)) {
        counts.atRest += 1;
        expect(after).toEqual({ ...before, session: { ...before.session, fence: after.session.fence, claim: null, crashes: 0, labelling: null } });
        expect(after.session.fence).toBeGreaterThan(before.session.fence);
        expect(await exportLines(target, ref)).toEqual(lines);
        expect(await goOn(target, ref)).toEqual(await goOn(origin, ref));
      } else {
        counts.busy += 1;
        expect(after.entries.slice(0, before.entries.length)).toEqual(before.entries);
        expect([after.session.turn, after.session.operations, after.session.queue.length > 0 && before.session.turn !== null && !after.session.queueHeld]).toEqual([null, [], false]);
        expect(after.entries.slice(before.entries.length).filter(({ kind }) => kind === 'assistant-step' || kind === 'turn-started' || kind === 'user-message')).toEqual([]);
      }
    }), runs);
    console.log(`whole sessions: ${counts.atRest} at rest, ${counts.busy} busy`);
    expect(Math.min(counts.atRest, counts.busy)).toBeGreaterThan(0);
  }, 60_000);
});

/** A session of plain memory in one store, imported into another. */
async function moved(pure: PureSession): Promise<{ readonly before: Seen; readonly after: Seen; readonly target: Store; readonly warnings: readonly string[]; readonly ref: SessionRef }> {
  const [origin, target] = [await openStore(await sqliteFiles.newUrl()), await openStore(await sqliteFiles.newUrl())];
  const ref = { tenant: 'acme', id: 'ses_1' };
  await put(origin, pure, ref);
  const [outcome] = await importAll(target, await exportLines(origin, ref), { tenant: 'acme' });
  expect(outcome?.status).toBe('imported');
  return { before: await see(origin, ref), after: await see(target, ref), target, warnings: outcome?.warnings ?? [], ref };
}

function answer(pure: PureSession, text: string): string {
  pure.send(text);
  const turnId = pure.session.turn?.id ?? '';
  pure.claim();
  pure.generated([textPart(`re: ${text}`)]);
  return turnId;
}

describe('a whole session that is imported', () => {
  it('has the branches that its origin has, and not those that were restored there', async () => {
    const pure = new PureSession();
    const first = answer(pure, 'one');
    answer(pure, 'two');
    pure.command(acceptRewind({ turnId: first }));
    answer(pure, 'three');
    const restored = [...pure.branches.keys()][0] ?? '';
    pure.command(acceptRestore({ branchId: restored }), undefined, restored);
    pure.command(acceptRewind({ turnId: first }));
    const { before, after } = await moved(pure);
    expect([after.branches.length, after.session.branches, after.branches.some(({ id }) => id === restored)]).toEqual([1, 1, false]);
    expect([after.branches, after.session.rewound]).toEqual([before.branches, before.session.rewound]);
  });

  it('has the preview of its origin, where a message without a text came first and was redacted', async () => {
    const pure = new PureSession({ message: { messageId: 'msg_file', parts: [{ type: 'file', mediaType: 'image/png', url: 'https://example.com/a.png' }] } });
    pure.claim();
    pure.generated([textPart('a picture')]);
    answer(pure, 'what is it?');
    pure.command(acceptRedact({ entries: pure.entries('user-message').slice(0, 1), by: 'ada' }));
    const { before, after } = await moved(pure);
    expect([before.session.preview, after.session.preview]).toEqual(['what is it?', 'what is it?']);
  });

  it('ends by inactivity, and is deleted, when its origin would have been', async () => {
    const pure = new PureSession({ deleteAfterRestMs: 90_000 }, rulesWith({ endAfterInactivityMs: 60_000 }));
    answer(pure, 'one');
    const { before, after } = await moved(pure);
    expect(before.session.endsAtMs).toBe(pure.nowMs + 60_000);
    expect([after.session.endsAtMs, after.session.endAfterInactivityMs, after.session.deletesAtMs]).toEqual([before.session.endsAtMs, 60_000, before.session.deletesAtMs]);
  });

  it('says of calls that were open whether they may have run, withdraws what was asked, holds what waited, and leaves operations where they are', async () => {
    const pure = new PureSession({ text: 'go' }, rulesWith({ parallelCalls: 1 }));
    pure.claim();
    pure.generated([callPart(0, 'pay'), callPart(1, 'pay'), callPart(2, 'pay', { needs: { type: 'approval' }, inputHash: 'h' }), callPart(3, 'look', { operation: { mode: 'detach' } })]);
    pure.send('later');
    const begun = pure.session.turn?.lastStep?.openCalls.filter(({ dispatchedFence, operationId }) => dispatchedFence !== undefined || operationId !== undefined).map(({ index }) => index) ?? [];
    const { before, after, target, warnings, ref } = await moved(pure);
    const added = after.entries.slice(before.entries.length);
    const results = added.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results : []));
    expect([begun.length > 0 && begun.length < 4, results.map(({ outcome }) => outcome)]).toEqual([true, ['stopped', 'stopped', 'stopped', 'stopped']]);
    expect(results.filter(({ mayHaveRun }) => mayHaveRun === true).map(({ index }) => index)).toEqual(begun);
    expect(added.filter((entry) => entry.kind === 'action-resolved').map(({ resolution }) => resolution)).toEqual(['withdrawn']);
    expect([after.session.queueHeld, after.session.queue.length, after.session.lastTurn?.reason]).toEqual([true, 1, 'stopped']);
    const rows = (await target.listOperations(ref, { limit: 10 })).items;
    expect(pure.operations.size).toBe(1);
    expect([pure.operations.size, rows.map(({ status, worker }) => [status, worker])]).toEqual([rows.length, rows.map(() => ['cancelled', null])]);
    expect(warnings[0]).toMatch(/^turn turn_\d+ was open; it ended here as stopped/);
  });
});
