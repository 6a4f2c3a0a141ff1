import { callOfAction } from '../core/action.ts';
import type { CallResult, Entry } from '../core/entry.ts';
import { isLive, operationDueAtMs } from '../core/operation.ts';
import { openActions, type OpenCall, type Session } from '../core/session.ts';
import type { Columns, SessionRows } from '../store/administration.ts';
import type { Finding } from './finding.ts';

/** What a session's row and its work in hand refer to, besides its log. */
export type WorkRows = Pick<SessionRows, 'operations' | 'outcomes' | 'branches'>;
type OperationRow = WorkRows['operations'][number];

/** Looks whether what a session waits for is there, so that somebody or something can bring it on (G7). Pure. */
export function examineWork(session: Session, entries: readonly Entry[], rows: WorkRows): readonly Finding[] {
  const found = (code: string) => (message: string): Finding => ({ code, message, sessionId: session.id });
  return [
    ...rows.operations.flatMap(columnFindings).map(found('row_mismatch')),
    ...actionFindings(session, entries).map(found('action_without_call')),
    ...operationFindings(session, rows.operations).map(found('operation_mismatch')),
    ...outcomeFindings(session, rows.outcomes).map(found('outcome_missing')),
    ...stuckFindings(session).map(found('stuck')),
  ];
}

function columnFindings({ columns, operation }: OperationRow): readonly string[] {
  const { tenant, id, sessionId, owner, agent, status, worker, fence, key, createdAtMs } = operation;
  const expected: Columns = {
    tenant, id, session_id: sessionId, owner, agent, status, worker, fence, due_at_ms: operationDueAtMs(operation), live_key: isLive(operation) ? key : null, created_at_ms: createdAtMs,
  };
  return Object.entries(expected).flatMap(([name, value]) =>
    columns[name] === value ? [] : [`column ${name} of operation ${id} is ${JSON.stringify(columns[name] ?? null)}, its body says ${JSON.stringify(value)}`]);
}

/** Each open action decides an open call, which its step made. */
function actionFindings({ turn }: Session, entries: readonly Entry[]): readonly string[] {
  const step = entries.find((entry) => entry.seq === turn?.lastStep?.seq);
  return openActions(turn).flatMap(({ id, index }) => {
    const named = callOfAction(id);
    const isMade = step?.kind === 'assistant-step' && step.parts.some((part) => part.type === 'tool-call' && part.index === index);
    const isOpen = openCalls(turn).some((call) => call.index === index);
    if (named?.stepSeq === step?.seq && named?.index === index && isMade && isOpen) return [];
    return [`action ${id} waits, and there is no open call ${index} of the last step that it could decide`];
  });
}

/** Calls without an outcome. */
function openCalls(turn: Session['turn']): readonly OpenCall[] {
  return turn?.lastStep?.openCalls.filter(({ ended }) => ended !== true) ?? [];
}

/** What the session's row says of its operations, and what they say of themselves. */
function operationFindings(session: Session, rows: readonly OperationRow[]): readonly string[] {
  const live = new Map(rows.flatMap(({ operation }) => (isLive(operation) && operation.sessionId === session.id ? [[operation.id, operation] as const] : [])));
  const named = new Set(session.operations.map(({ id }) => id));
  return [
    ...session.operations.flatMap(({ id, stepSeq, index }) => {
      const operation = live.get(id);
      if (operation === undefined) return [`the session names operation ${id}, which does not live`];
      return operation.stepSeq === stepSeq && operation.index === index ? [] : [`the session names operation ${id} as that of call ${stepSeq}-${index}, which it is not`];
    }),
    ...[...live.keys()].flatMap((id) => (named.has(id) ? [] : [`operation ${id} lives, and its session does not name it`])),
  ];
}

function outcomeFindings({ turn }: Session, outcomes: readonly CallResult[]): readonly string[] {
  return (turn?.lastStep?.openCalls ?? []).flatMap(({ index, ended }) =>
    (ended === true && !outcomes.some((outcome) => outcome.index === index) ? [`call ${index} of the last step has ended, and its outcome is nowhere`] : []));
}

/** A call that nothing will ever bring on: its operation is no more, and has left it no outcome. A worker that is gone is none of this: others find what it left. */
function stuckFindings({ turn, operations }: Session): readonly string[] {
  return openCalls(turn).flatMap(({ index, operationId }) =>
    (operationId !== undefined && !operations.some(({ id }) => id === operationId) ? [`call ${index} of the last step waits for operation ${operationId}, which has ended`] : []));
}
