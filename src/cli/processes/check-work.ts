import type { CallResult, Entry, EntryOf, ToolCallPart } from '../../core/entry.ts';
import { countOf } from '../../core/usage.ts';
import { CallLog, type CallEntries } from '../replay/call-log.ts';
import type { RunEvidence } from '../replay/evidence.ts';
import type { ExecutionLine } from '../replay/execution-journal.ts';
import { toolKind } from '../replay/tool-kind.ts';
import type { HistoryFinding, LoggedSession } from './history-finding.ts';
import { rememberingTool } from './planned-agent.ts';

/** A call of the log with all that is known of it. */
interface WorkedCall {
  readonly callKey: string;
  readonly where: string;
  readonly part: ToolCallPart;
  readonly step: EntryOf<'assistant-step'>;
  readonly results: EntryOf<'tool-results'> | null;
  readonly entries: CallEntries;
  /** The begins of its real runs. */
  readonly runs: readonly ExecutionLine[];
}

/**
 * Holds a session's log against what really ran: whatever ran has its call, written before; a tool that may not run twice did not, and one that was denied, or stopped before it began, did not at all; a result comes from a run;
 * a call ended `unknown` only where its process was cut off; no generation began that the log does not count; and what a tool wrote of the state is there once if its call is done, else not. Also says how many calls ended `unknown`.
 */
export function checkWork({ session, entries }: LoggedSession, run: RunEvidence): { readonly findings: readonly HistoryFinding[]; readonly unknown: number } {
  const calls = workedCalls(session.id, entries, run);
  const known = new Set(calls.map(({ callKey }) => callKey));
  const strangers = run.callKeysOf(session.id).filter((callKey) => !known.has(callKey));
  const unknown = calls.filter((call) => outcomesOf(call).some(({ result }) => result.outcome === 'unknown')).length;
  return {
    unknown,
    findings: [
      ...strangers.map((callKey): HistoryFinding => ({ count: 'lost', where: session.id, problem: `a tool ran for a call that is not in the log`, found: callKey })),
      ...calls.flatMap((call) => [...repetitionFindings(call, run), ...outcomeFindings(call, run), ...consentFindings(call)]),
      ...stateFindings(calls, entries),
      ...generationFindings(session.id, entries, run),
    ],
  };
}

function workedCalls(sessionId: string, entries: readonly Entry[], run: RunEvidence): readonly WorkedCall[] {
  const log = new CallLog(entries);
  const results = new Map(entries.flatMap((entry) => (entry.kind === 'tool-results' ? [[entry.stepSeq, entry] as const] : [])));
  return entries.flatMap((step) => (step.kind !== 'assistant-step' || step.copied === true ? [] : step.parts.flatMap((part): WorkedCall[] => {
    if (part.type !== 'tool-call') return [];
    const callKey = `${sessionId}/${step.seq}/${part.index}`;
    return [{ callKey, where: `${callKey} (${part.toolName})`, part, step, results: results.get(step.seq) ?? null, entries: log.of(step.seq, part.index), runs: run.runsOf(callKey) }];
  })));
}

/** How a call ended: in its step's results, and by the operation that it began. */
function outcomesOf({ part, results, entries }: WorkedCall): readonly { readonly result: CallResult; readonly atMs: number }[] {
  const own = results?.results.find(({ index }) => index === part.index);
  return [
    ...(own === undefined || results === null ? [] : [{ result: own, atMs: results.atMs }]),
    ...entries.ended.flatMap(({ result, atMs }) => (result === undefined ? [] : [{ result, atMs }])),
  ];
}

function repetitionFindings({ part, where, entries: { opened, resolved }, runs }: WorkedCall, run: RunEvidence): readonly HistoryFinding[] {
  const { recovery } = toolKind(part.toolName);
  const found = JSON.stringify(runs);
  const recoveries = new Set(opened.flatMap(({ type, actionId }) => (type === 'recovery' ? [actionId] : [])));
  const letAgain = resolved.filter(({ actionId, resolution }) => resolution === 'approved' && recoveries.has(actionId)).length;
  const allowed = recovery === 'report' ? 1 : recovery === 'ask' ? 1 + letAgain : Number.POSITIVE_INFINITY;
  if (runs.length > allowed) return [{ count: 'duplicated', where, problem: `a tool that may run ${allowed === 1 ? 'once' : `${allowed} times`} ran ${runs.length} times`, found }];
  // A process that was stopped goes on for a moment before it finds out that another has taken over, and run the call already.
  if (runs.filter((each) => !run.isByPaused(each)).slice(0, -1).every((each) => run.isCutOffLater(each))) return [];
  return [{ count: 'duplicated', where, problem: 'the tool ran again, and the process of its first run was not cut off', found }];
}

function outcomeFindings(call: WorkedCall, run: RunEvidence): readonly HistoryFinding[] {
  const { part, where, step, entries, runs } = call;
  const { asks, recovery, background } = toolKind(part.toolName);
  const isFromOutside = asks === 'client-tool' || asks === 'question' || entries.resolved.some(({ resolution }) => resolution === 'result');
  return outcomesOf(call).flatMap(({ result, atMs }): HistoryFinding[] => {
    const { outcome, mayHaveRun } = result;
    if (outcome === 'done' && runs.length === 0 && !isFromOutside && background !== 'detach') return [{ count: 'lost', where, problem: 'it is done, and nothing ran' }];
    // Where nothing ran, its process may have been cut off while the commit was under way that names the call.
    if (outcome === 'unknown' && !(runs.length === 0 ? run.anyCutOffBetween(step.attempt.startedAtMs, atMs) : runs.some((each) => run.isCutOff(each, atMs)))) return [{ count: 'lost', where, problem: 'it is unknown, and its process was not cut off', found: JSON.stringify(runs) }];
    const neverRan = outcome === 'denied' || outcome === 'expired' || (outcome === 'stopped' && mayHaveRun !== true && recovery === 'report');
    // Denied to run again, it may have run before.
    if (neverRan && runs.length > 0 && !entries.opened.some(({ type }) => type === 'recovery')) return [{ count: 'lost', where, problem: `it is ${outcome} and did not run, says the log, and it ran`, found: JSON.stringify(runs) }];
    return [];
  });
}

/** What nobody allowed does not run. */
function consentFindings({ part, where, entries: { opened, resolved }, runs }: WorkedCall): readonly HistoryFinding[] {
  const { asks } = toolKind(part.toolName);
  if (asks === null || runs.length === 0) return [];
  const asked = opened.find(({ type }) => type !== 'recovery');
  const decided = resolved.find(({ actionId }) => actionId === asked?.actionId);
  return decided?.resolution === 'approved' ? [] : [{ count: 'duplicated', where, problem: 'a tool ran that nobody had approved', found: decided?.resolution ?? 'no answer' }];
}

function stateFindings(calls: readonly WorkedCall[], entries: readonly Entry[]): readonly HistoryFinding[] {
  const written = new Map<string, number>();
  for (const entry of entries) if (entry.kind === 'state-changed' && entry.copied !== true && entry.by === 'tool') written.set(entry.key, Math.max((written.get(entry.key) ?? 0) + 1, Number(entry.value)));
  const remembering = calls.filter(({ part }) => part.toolName === rememberingTool);
  const done = new Set(remembering.filter((call) => outcomesOf(call).some(({ result }) => result.outcome === 'done')).map(({ callKey }) => callKey));
  return [
    ...[...done].filter((callKey) => !written.has(callKey)).map((callKey): HistoryFinding => ({ count: 'lost', where: callKey, problem: 'it is done, and what it wrote of the state is not there' })),
    ...[...written].filter(([callKey, times]) => times > 1 || !done.has(callKey)).map(([callKey, times]): HistoryFinding => ({ count: 'duplicated', where: callKey, problem: `it is ${done.has(callKey) ? 'done' : 'not done'}, and what it wrote of the state is there ${times} times` })),
  ];
}

/** Each generation that began is an attempt of the log, and each step that the model made was generated. */
function generationFindings(sessionId: string, entries: readonly Entry[], run: RunEvidence): readonly HistoryFinding[] {
  const attempts = entries.filter((entry) => countOf(entry) !== null && entry.kind !== 'late-usage').length;
  const steps = entries.filter((entry) => entry.kind === 'assistant-step' && entry.copied !== true).length;
  const begun = run.generationsIn(sessionId).length;
  if (begun > attempts) return [{ count: 'lost', where: sessionId, problem: `${begun} generations began, and ${attempts} attempts are recorded` }];
  return begun < steps ? [{ count: 'duplicated', where: sessionId, problem: `${steps} steps are in the log, and ${begun} generations began` }] : [];
}
