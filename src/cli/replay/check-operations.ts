import type { CallResult } from '../../core/entry.ts';
import { canonicalJson, type JsonValue } from '../../core/json.ts';
import { isVisible } from '../../core/intervals.ts';
import { isLive } from '../../core/operation.ts';
import type { Session } from '../../core/session.ts';
import type { PlacedCall } from './call-log.ts';
import type { ConversationEvidence, Finding, RunEvidence } from './evidence.ts';
import { deliveredResult, isCutByKill, type ExpectedResult } from './expected-result.ts';
import { toolKind } from './tool-kind.ts';

export interface OperationsCheck {
  readonly findings: readonly Finding[];
  /** Operations that began. */
  readonly operations: number;
  /** Detached ones of which nobody knows how they ended, because a kill cut them. */
  readonly unknown: number;
}

/**
 * Holds operations against the recording: each call that runs as one started one, which ended once; what a detached one came to is in the conversation once (that of an
 * awaited one is its call's result, which the comparison of the transcript looks at); the store's rows say the same, and nothing of them goes on.
 */
export function checkOperations(calls: readonly PlacedCall[], session: Session, { operations }: Pick<ConversationEvidence, 'operations'>, run: RunEvidence): OperationsCheck {
  const findings: Finding[] = [];
  let unknown = 0;
  const begun = calls.filter(({ part, recorded }) => toolKind(part.toolName).background !== null && recorded.answer?.type !== 'deny');
  for (const call of calls) {
    if (!begun.includes(call)) findings.push(...noOperationFindings(call));
  }
  for (const call of begun) {
    const one = checkOperation(call, session, run);
    findings.push(...one.findings, ...rowFindings(call, session.id, operations, run));
    unknown += one.unknown;
  }
  const started = begun.flatMap(({ entries }) => entries.started.map(({ operationId }) => operationId));
  for (const { id } of operations) if (!started.includes(id)) findings.push({ count: 'duplicated', where: '', problem: `operation ${id} is of no recorded call`, found: id });
  if (session.operations.length > 0 || session.deliveries.length > 0) findings.push({ count: 'mismatches', where: '', problem: 'operations go on, or results wait, when all is over', found: JSON.stringify([session.operations, session.deliveries]) });
  return { findings, operations: started.length, unknown };
}

function noOperationFindings({ where, entries: { started, ended, delivered } }: PlacedCall): readonly Finding[] {
  const found = [...started, ...ended, ...delivered];
  return found.length === 0 ? [] : [{ count: 'mismatches', where, problem: 'an operation of a call that starts none', found: JSON.stringify(found) }];
}

function checkOperation(call: PlacedCall, session: Session, run: RunEvidence): Omit<OperationsCheck, 'operations'> {
  const { where, part, recorded, entries: { started, ended, delivered } } = call;
  const finding = (count: Finding['count'], problem: string, found: unknown): Finding => ({ count, where, problem, found: JSON.stringify(found) });
  const [start] = started;
  const [end] = ended;
  if (start === undefined || started.length > 1) return { unknown: 0, findings: [finding(start === undefined ? 'mismatches' : 'duplicated', `the call started ${started.length} operations`, started)] };
  if (end === undefined || ended.length > 1) return { unknown: 0, findings: [finding(end === undefined ? 'lost' : 'duplicated', `the operation has ended ${ended.length} times`, ended)] };
  const findings: Finding[] = [];
  const isCut = end.status === 'unknown' && isCutByKill(call, session.id, run);
  if (end.status !== 'succeeded' && !isCut) findings.push(finding('mismatches', 'the operation did not succeed, and no kill explains it', end));
  if (start.mode !== toolKind(part.toolName).background || [...ended, ...delivered].some(({ operationId }) => operationId !== start.operationId)) findings.push(finding('mismatches', 'the operation is not that of its call', [start, end, delivered]));
  if (start.mode === 'await') {
    if (delivered.length > 0) findings.push(finding('duplicated', 'the result of an awaited operation came to the conversation again', delivered));
    return { findings, unknown: 0 };
  }
  const [given] = delivered;
  if (given === undefined) findings.push(finding('lost', 'the result of the operation never came to the conversation', end));
  else if (delivered.length > 1) findings.push(finding('duplicated', `the result of the operation came to the conversation ${delivered.length} times`, delivered));
  else if (!isVisible(session.visible, given.seq) || given.seq < end.seq) findings.push(finding('mismatches', 'the result of the operation is not in the history after its end', given));
  const wanted: ExpectedResult = isCut ? { outcome: 'unknown', code: 'interrupted' } : deliveredResult(recorded);
  for (const result of [end.result, ...delivered.map((each) => each.result)]) {
    if (!isAs(result, wanted)) findings.push({ ...finding('mismatches', 'the result of the operation differs', result), recorded: JSON.stringify(wanted) });
  }
  return { findings, unknown: isCut ? 1 : 0 };
}

function isAs(result: CallResult | undefined, wanted: ExpectedResult): boolean {
  return result !== undefined && (Object.keys(wanted) as (keyof ExpectedResult)[]).every((field) => canonicalJson((result[field] ?? null) as JsonValue) === canonicalJson((wanted[field] ?? null) as JsonValue));
}

/** An operation's row, held against its end in the log and against what really ran. */
function rowFindings({ where, part, step, entries }: PlacedCall, sessionId: string, operations: ConversationEvidence['operations'], run: RunEvidence): readonly Finding[] {
  const row = operations.find(({ id }) => id === entries.started[0]?.operationId);
  const runs = run.runsOf(`${sessionId}/${step.seq}/${part.index}`);
  if (row !== undefined && !isLive(row) && row.status === entries.ended[0]?.status && row.attempts >= runs.length && (row.status !== 'succeeded' || runs.length > 0)) return [];
  return [{ count: 'mismatches', where, problem: 'the row of the operation does not say what its log and its runs say', found: JSON.stringify([row ?? null, runs]) }];
}
