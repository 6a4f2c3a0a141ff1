import type { CallResult } from '../../core/entry.ts';
import type { JsonValue } from '../../core/json.ts';
import type { CallEntries, PlacedCall } from './call-log.ts';
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

type CutCall = Pick<PlacedCall, 'part' | 'place' | 'step' | 'entries'>;

/** Whether a kill explains that nobody knows how a call ended. */
export function isCutByKill(call: CutCall, sessionId: string, run: RunEvidence): boolean {
  const { recovery, asks, background } = toolKind(call.part.toolName);
  if (recovery !== 'report' || asks === 'client-tool' || asks === 'question') return false;
  const { step, entries } = call;
  return isCut(call, sessionId, run, 0, background === null ? step.resultsAtMs : (entries.ended.at(-1)?.atMs ?? step.resultsAtMs));
}

/** Whether a kill explains that somebody was asked, by this entry, whether a call is to run again: since it was last decided that it runs. */
export function isAskedForKill(call: CutCall, asked: CallEntries['opened'][number], sessionId: string, run: RunEvidence): boolean {
  const { opened, resolved } = call.entries;
  const recoveries = new Set(opened.flatMap(({ type, actionId }) => (type === 'recovery' ? [actionId] : [])));
  const decided = resolved.findLast(({ actionId, seq }) => recoveries.has(actionId) && seq < asked.seq);
  return toolKind(call.part.toolName).recovery === 'ask' && isCut(call, sessionId, run, decided?.atMs ?? 0, asked.atMs);
}

/**
 * Whether a kill cut the process that ran the call in that time, or that was about to. Which one was about to run what somebody had let run, and what went on as an operation,
 * nobody wrote down: there it may have been any.
 */
function isCut({ part, place, step, entries: { resolved, started } }: CutCall, sessionId: string, run: RunEvidence, fromMs: number, untilMs: number): boolean {
  const runs = run.runsOf(`${sessionId}/${step.seq}/${part.index}`).filter(({ atMs }) => atMs >= fromMs && atMs <= untilMs);
  if (runs.length > 0) return runs.some((line) => run.isCutOff(line, untilMs));
  const approved = resolved.findLast(({ resolution, atMs }) => resolution === 'approved' && atMs <= untilMs);
  const begunAtMs = toolKind(part.toolName).background === null ? approved?.atMs : started[0]?.atMs;
  if (begunAtMs !== undefined) return run.anyCutOffBetween(begunAtMs, untilMs);
  return run.generationsOf(place, 'end').some((line) => run.isCutOff(line, untilMs));
}
