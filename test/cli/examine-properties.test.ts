import fc from 'fast-check';
import { expect, it } from 'vitest';
import { examineSession } from '../../src/examine/examine-session.ts';
import type { Entry, EntryOf } from '../../src/core/entry.ts';
import { isLive, operationDueAtMs, type Operation } from '../../src/core/operation.ts';
import { dueAtMs, statusOf, type Session } from '../../src/core/session.ts';
import { happen, happeningsOf, newborn } from '../support/random-history.ts';
import { callPart, PureSession } from '../support/pure-session.ts';
import { seedOf } from '../support/seed.ts';

function columnsOf(session: Session) {
  return {
    tenant: session.tenant, id: session.id, owner: session.owner, agent: session.agent, external_id: session.externalId, title_lower_case: session.title?.toLowerCase() ?? null, status: statusOf(session),
    archived: session.archived ? 1 : 0, active_at_ms: session.activeAtMs, due_at_ms: dueAtMs(session), worker: session.claim?.worker ?? null, fence: session.fence, attempt_id: session.turn?.attempt?.id ?? null,
  };
}

function rowOf(operation: Operation) {
  const { tenant, id, sessionId, owner, agent, status, worker, fence, key, createdAtMs } = operation;
  return { operation, columns: { tenant, id, session_id: sessionId, owner, agent, status, worker, fence, due_at_ms: operationDueAtMs(operation), live_key: isLive(operation) ? key : null, created_at_ms: createdAtMs } };
}

it('finds nothing wrong with a session, whatever happened to it', () => {
  fc.assert(fc.property(fc.nat(11), happeningsOf(100, 20), (kind, history) => {
    const pure = newborn(kind);
    for (const happening of history) {
      happen(pure, happening);
      const { session, log, operations } = pure;
      expect(examineSession({ columns: columnsOf(session), session }, log, { operations: [...operations.values()].filter(isLive).map(rowOf), outcomes: pure.storedOutcomes(), branches: [...pure.branches.values()] })).toEqual([]);
    }
  }), { seed: seedOf('the doctor'), numRuns: 60 });
});

it.each<[string, Partial<EntryOf<'history-compacted'>>, string]>([
  ['comes after it', { throughSeq: 99 }, 'entry 6 stands for the history up to entry 99, which is not before it'],
  ['is between calls and their results', { throughSeq: 3 }, 'entry 6 stands for the history up to entry 3, which comes between calls and their results (entry 4)'],
  ['does not hold what the summary keeps', { keeps: [3] }, 'entry 6 keeps entry 3, which is no message that it stands for'],
])('finds a summary of a history that %s', (_what, fault, message) => {
  const pure = new PureSession({ text: 'go' });
  pure.claim();
  pure.generated([callPart(0, 'look')]);
  pure.results();
  pure.send('note', 'queue', { visibility: 'user' });
  pure.settle({ kind: 'compacted', attempt: pure.attempt(), redactions: 0, compaction: { summary: 'so far', throughSeq: 4, keeps: [2], trigger: 'threshold', tokensBefore: 9, tokensAfter: 3, windowTokens: 10 } });
  const found = (log: readonly Entry[]) => examineSession({ columns: columnsOf(pure.session), session: pure.session }, log, { operations: [], outcomes: [], branches: [] });
  expect(found(pure.log)).toEqual([]);
  expect(found(pure.log.map((entry) => (entry.kind === 'history-compacted' ? { ...entry, ...fault } : entry)))).toEqual([{ code: 'compaction', message, sessionId: 'ses_1' }]);
});
