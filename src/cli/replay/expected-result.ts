import type { CallResult } from '../../core/entry.ts';
import type { JsonValue } from '../../core/json.ts';
import type { PlacedCall } from './call-log.ts';
import type { RunEvidence } from './evidence.ts';
import { toolKind } from './tool-kind.ts';

/** What the log must say of how a call ended. */
export type ExpectedResult = Pick<CallResult, 'outcome'> & Partial<Pick<CallResult, 'code' | 'output' | 'errorText' | 'approvedInput'>>;

/** How a recorded call ends in its step, as it was answered; that a kill may have cut it is another matter. */
export function expectedResult({ recorded, entries: { opened, resolved, started } }: Pick<PlacedCall, 'recorded' | 'entries'>): ExpectedResult {
  const { name, answer, result } = recorded;
  const recovered = resolved.findLast(({ actionId }) => opened.some((action) => action.actionId === actionId && action.type === 'recovery'));
  if (recovered?.resolution === 'denied') return { outcome: 'unknown', code: 'interrupted' };
  if (recovered?.resolution === 'result') return { outcome: 'done', output: result };
  if (answer?.type === 'deny') return { outcome: 'denied', code: 'denied', errorText: textOf(result) };
  if (answer?.type === 'error') return { outcome: 'failed', code: 'client_error', errorText: textOf(result) };
  if (toolKind(name).background === 'detach') return { outcome: 'done', output: { operationId: started[0]?.operationId ?? null, status: 'started' } };
  return deliveredResult(recorded);
}

/** What a call that runs comes to: in its step, or of a detached operation later. */
export function deliveredResult({ answer, result }: Pick<PlacedCall['recorded'], 'answer' | 'result'>): ExpectedResult {
  return { outcome: 'done', output: result, ...(answer?.type === 'approve' && answer.input !== undefined ? { approvedInput: answer.input } : {}) };
}

function textOf(result: JsonValue): string {
  return typeof result === 'string' ? result : JSON.stringify(result);
}

/**
 * Whether a kill explains that nobody knows how a call ended: it cut the process that ran it, or that was about to. Which one was about to run what was approved, and what went on
 * as an operation, nobody wrote down: there it may have been any.
 */
export function isCutByKill({ part, place, step, entries }: Pick<PlacedCall, 'part' | 'place' | 'step' | 'entries'>, sessionId: string, run: RunEvidence): boolean {
  const { recovery, asks, background } = toolKind(part.toolName);
  if ((recovery !== 'report' && recovery !== 'ask') || asks === 'client-tool' || asks === 'question') return false;
  const endedAtMs = background === null ? step.resultsAtMs : (entries.ended.at(-1)?.atMs ?? step.resultsAtMs);
  const runs = run.runsOf(`${sessionId}/${step.seq}/${part.index}`);
  if (runs.length > 0) return runs.some((line) => run.isCutByKill(line, endedAtMs));
  const approved = entries.resolved.find(({ resolution }) => resolution === 'approved');
  const begunAtMs = background === null ? approved?.atMs : entries.started[0]?.atMs;
  if (begunAtMs !== undefined) return run.anyKilledBetween(begunAtMs, endedAtMs);
  return run.generationsOf(place, 'end').some((line) => run.isCutByKill(line, endedAtMs));
}
