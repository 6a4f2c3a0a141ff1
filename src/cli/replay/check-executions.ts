import type { CallEntries, CallLog } from './call-log.ts';
import { whereOf } from './call-log.ts';
import type { Finding, RunEvidence } from './evidence.ts';
import type { ExecutionLine, WorkPlace } from './execution-journal.ts';
import type { LogStep, LogTurn } from './log-turns.ts';
import { toolKind } from './tool-kind.ts';

/** A conversation's log, as it is held against what really ran. */
export interface LoggedConversation {
  readonly sessionId: string;
  readonly turns: readonly LogTurn[];
  readonly places: ReadonlyMap<number, WorkPlace>;
  readonly calls: CallLog;
}

/**
 * Holds the log against the journal of what really ran: a tool that may not run twice ran at most once, another twice only if its process died, one that was denied or that
 * somebody else runs not at all, one that needs approval only after it; every result comes from a run, every run has its call, and no generation began that the log does not count.
 */
export function checkExecutions({ sessionId, turns, places, calls }: LoggedConversation, run: RunEvidence): readonly Finding[] {
  const findings: Finding[] = [];
  const known = new Set<string>();
  const steps = turns.flatMap((turn) => turn.steps);
  findings.push(...generationFindings(steps, places, run));
  for (const step of steps) {
    const place = places.get(step.seq);
    if (place === undefined) continue;
    for (const { index, toolName } of step.calls) {
      const callKey = `${sessionId}/${step.seq}/${index}`;
      known.add(callKey);
      findings.push(...runFindings({ callKey, index, toolName, place, step, entries: calls.of(step.seq, index) }, run));
    }
  }
  for (const callKey of run.callKeysOf(sessionId)) {
    if (!known.has(callKey)) findings.push({ count: 'lost', where: '', problem: 'a tool ran for a call that is not in the history', found: callKey });
  }
  return findings;
}

/** Several steps may be at one place: each that says nothing because all was said leaves the place as it is. */
function generationFindings(steps: readonly LogStep[], places: ReadonlyMap<number, WorkPlace>, run: RunEvidence): readonly Finding[] {
  const counts = new Map<string, { readonly place: WorkPlace; steps: number; attempts: number }>();
  for (const { seq, attempts } of steps) {
    const place = places.get(seq);
    if (place === undefined) continue;
    const name = `${place.turn}/${place.step}`;
    const count = counts.get(name) ?? { place, steps: 0, attempts: 0 };
    counts.set(name, { place, steps: count.steps + 1, attempts: count.attempts + attempts });
  }
  return [...counts.values()].flatMap(({ place, steps: committed, attempts }): Finding[] => {
    const begun = run.generationsOf(place, 'begin').length;
    if (begun >= committed && begun <= attempts) return [];
    return [{
      count: 'mismatches', where: `turn ${place.turn}, step ${place.step}`,
      problem: begun < committed ? 'a step that the model never generated' : 'the model was called more often than attempts are recorded', recorded: `${attempts} attempts`, found: `${begun} calls`,
    }];
  });
}

interface LoggedCall {
  readonly callKey: string;
  readonly index: number;
  readonly toolName: string;
  readonly place: WorkPlace;
  readonly step: LogStep;
  readonly entries: CallEntries;
}

function runFindings(call: LoggedCall, run: RunEvidence): readonly Finding[] {
  const { callKey, index, toolName, place, step, entries } = call;
  const where = whereOf(place, index, toolName);
  const { asks, background } = toolKind(toolName);
  const runs = run.runsOf(callKey);
  const findings: Finding[] = [];
  const isFromOutside = asks === 'client-tool' || asks === 'question' || entries.resolved.some(({ resolution }) => resolution === 'result');
  const result = step.results?.find((each) => each.index === index);
  if (runs.length === 0 && result?.outcome === 'done' && background !== 'detach' && !isFromOutside) findings.push({ count: 'mismatches', where, problem: 'a result without a run', found: callKey });
  if (runs.some((each) => each.turn !== place.turn || each.step !== place.step)) findings.push({ count: 'mismatches', where, problem: 'the tool was given another place of the conversation', found: JSON.stringify(runs) });
  return [...findings, ...consentFindings(call, where, runs), ...repetitionFindings(call, where, runs, run)];
}

/** What nobody allowed does not run. */
function consentFindings({ toolName, entries: { opened, resolved } }: LoggedCall, where: string, runs: readonly ExecutionLine[]): readonly Finding[] {
  const { asks } = toolKind(toolName);
  if (asks === null || runs.length === 0) return [];
  const asked = opened.find(({ type }) => type !== 'recovery');
  const decided = resolved.find(({ actionId }) => actionId === asked?.actionId);
  if (decided?.resolution === 'approved' && runs.every(({ atMs }) => atMs >= decided.atMs)) return [];
  const problem = decided?.resolution === 'approved' ? 'the tool ran before the call was approved' : 'a tool ran that nobody had approved';
  return [{ count: 'duplicated', where, problem, recorded: decided?.resolution ?? 'no answer', found: JSON.stringify(runs) }];
}

function repetitionFindings({ toolName, entries: { opened, resolved } }: LoggedCall, where: string, runs: readonly ExecutionLine[], run: RunEvidence): readonly Finding[] {
  const { recovery } = toolKind(toolName);
  const found = JSON.stringify(runs);
  const recoveries = new Set(opened.flatMap(({ type, actionId }) => (type === 'recovery' ? [actionId] : [])));
  const allowed = recovery === 'report' ? 1 : recovery === 'ask' ? 1 + resolved.filter(({ actionId, resolution }) => resolution === 'approved' && recoveries.has(actionId)).length : Number.POSITIVE_INFINITY;
  if (runs.length > allowed) return [{ count: 'duplicated', where, problem: recovery === 'ask' ? 'a tool ran again that nobody had let run again' : 'a tool that may not run twice did', found }];
  // A process that was stopped goes on for a moment before it finds out that another has taken over, and run the call already.
  if (runs.filter((each) => !run.isByPaused(each)).slice(0, -1).every((each) => run.isCutOffLater(each))) return [];
  return [{ count: 'duplicated', where, problem: 'the tool ran again, and the process of its first run did not die', found }];
}
