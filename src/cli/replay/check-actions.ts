import type { ActionResolution } from '../../core/action.ts';
import { canonicalJson } from '../../core/json.ts';
import { localPrincipal } from '../../create-holdfast.ts';
import type { PlacedCall } from './call-log.ts';
import type { ConversationEvidence, Finding, RunEvidence } from './evidence.ts';
import { isAskedForKill } from './expected-result.ts';
import type { RecordedAnswer } from './recording.ts';
import { toolKind } from './tool-kind.ts';

const resolutions: Readonly<Record<RecordedAnswer['type'], ActionResolution>> = { approve: 'approved', deny: 'denied', result: 'result', error: 'error', answer: 'answered' };

/**
 * Holds what was asked and answered against the recording: each call that needs something is asked about once, with its step, and answered once, as recorded; no other is; what
 * was acknowledged is in the log. A call of a tool with the recovery `ask` is asked about where a kill cut it.
 */
export function checkActions(calls: readonly PlacedCall[], sessionId: string, { answers, entries }: Pick<ConversationEvidence, 'answers' | 'entries'>, run: RunEvidence): readonly Finding[] {
  const findings = calls.flatMap((call) => [...askedFindings(call), ...recoveryFindings(call, sessionId, run)]);
  const resolved = new Set(entries.flatMap((entry) => (entry.kind === 'action-resolved' ? [entry.actionId] : [])));
  for (const [actionId, answer] of answers) {
    if (!resolved.has(actionId)) findings.push({ count: 'lost', where: '', problem: `the answer to ${actionId} was acknowledged and is not in the log`, recorded: JSON.stringify(answer) });
  }
  return findings;
}

function askedFindings({ where, part, step, recorded, entries }: PlacedCall): readonly Finding[] {
  const { asks } = toolKind(part.toolName);
  const mismatch = (problem: string, wanted: unknown, found: unknown): Finding => ({ count: 'mismatches', where, problem, recorded: JSON.stringify(wanted), found: JSON.stringify(found) });
  const opened = entries.opened.filter(({ type }) => type !== 'recovery');
  if (asks === null || recorded.answer === undefined) return opened.length === 0 ? [] : [mismatch('somebody was asked about a call that needs nothing', null, opened)];
  const [action] = opened;
  if (action === undefined || opened.length > 1 || action.type !== asks) return [mismatch('the call was not asked about once', asks, opened)];
  const findings: Finding[] = [];
  if (action.atMs !== step.atMs || action.toolCallId !== part.toolCallId || action.inputHash !== part.inputHash) findings.push(mismatch('the action is not that of its call, opened with its step', part, action));
  const resolved = entries.resolved.filter(({ actionId }) => actionId === action.actionId);
  const [resolution] = resolved;
  const { answer } = recorded;
  const input = answer.type === 'approve' ? answer.input : undefined;
  if (resolution === undefined || resolved.length > 1 || resolution.resolution !== resolutions[answer.type] || resolution.by !== localPrincipal.owner || canonicalJson(resolution.input ?? null) !== canonicalJson(input ?? null)) {
    findings.push(mismatch('the call was not answered once, as recorded', answer, resolved));
  }
  return findings;
}

/** Whether a call is to run again is asked only where it may have run, once for each kill. */
function recoveryFindings(call: PlacedCall, sessionId: string, run: RunEvidence): readonly Finding[] {
  const { where, entries } = call;
  const asked = entries.opened.filter(({ type }) => type === 'recovery');
  const findings: Finding[] = [];
  for (const action of asked) {
    if (!isAskedForKill(call, action, sessionId, run)) findings.push({ count: 'mismatches', where, problem: 'somebody was asked whether the call is to run again, and no kill explains it', found: JSON.stringify(action) });
    const { actionId } = action;
    const answers = entries.resolved.filter((resolved) => resolved.actionId === actionId);
    if (answers.length !== 1) findings.push({ count: 'mismatches', where, problem: `${actionId} was answered ${answers.length} times`, found: JSON.stringify(answers) });
  }
  return findings;
}
