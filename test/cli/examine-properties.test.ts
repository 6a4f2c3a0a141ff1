import fc from 'fast-check';
import { expect, it } from 'vitest';
import { examineSession } from '../../src/cli/examine/examine-session.ts';
import { isLive, operationDueAtMs, type Operation } from '../../src/core/operation.ts';
import { dueAtMs, statusOf, type Session } from '../../src/core/session.ts';
import { happen, happeningsOf, newborn } from '../support/random-history.ts';
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
