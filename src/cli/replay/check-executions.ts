import type { Finding, RunEvidence } from './evidence.ts';
import type { LogStep, LogTurn } from './log-turns.ts';
import { recoveryOf } from './recording-tools.ts';

/**
 * Holds the log against the journal of what really ran: a tool that may not run twice ran at most once, another twice only if its process died, every
 * result comes from a run, every run has its call, and no generation began that the log does not count.
 */
export function checkExecutions(conversation: number, sessionId: string, turns: readonly LogTurn[], run: RunEvidence): readonly Finding[] {
  const findings: Finding[] = [];
  const calls = new Set<string>();
  for (const [turn, { steps }] of turns.entries()) {
    for (const [step, logged] of steps.entries()) {
      findings.push(...generationFindings({ conversation, turn, step }, logged, run));
      for (const { index, toolName } of logged.calls) {
        const callKey = `${sessionId}/${logged.seq}/${index}`;
        calls.add(callKey);
        findings.push(...runFindings({ conversation, turn, step }, { callKey, index, toolName }, logged, run));
      }
    }
  }
  for (const callKey of run.callKeysOf(sessionId)) {
    if (!calls.has(callKey)) findings.push({ count: 'lost', where: '', problem: 'a tool ran for a call that is not in the history', found: callKey });
  }
  return findings;
}

interface Place {
  readonly conversation: number;
  readonly turn: number;
  readonly step: number;
}

function generationFindings(place: Place, { attempts }: LogStep, run: RunEvidence): readonly Finding[] {
  const begun = run.generationsOf(place, 'begin').length;
  if (begun > 0 && begun <= attempts) return [];
  return [{
    count: 'mismatches', where: `turn ${place.turn}, step ${place.step}`,
    problem: begun === 0 ? 'a step that the model never generated' : 'the model was called more often than attempts are recorded', recorded: `${attempts} attempts`, found: `${begun} calls`,
  }];
}

function runFindings(place: Place, { callKey, index, toolName }: { readonly callKey: string; readonly index: number; readonly toolName: string }, step: LogStep, run: RunEvidence): readonly Finding[] {
  const where = `turn ${place.turn}, step ${place.step}, call ${index} (${toolName})`;
  const runs = run.runsOf(callKey);
  const findings: Finding[] = [];
  const result = step.results?.find((each) => each.index === index);
  if (runs.length === 0 && result?.outcome === 'done') findings.push({ count: 'mismatches', where, problem: 'a result without a run', found: callKey });
  if (runs.some((each) => each.turn !== place.turn || each.step !== place.step)) findings.push({ count: 'mismatches', where, problem: 'the tool was given another place of the conversation', found: JSON.stringify(runs) });
  if (runs.length > 1 && recoveryOf(toolName) === 'report') {
    findings.push({ count: 'duplicated', where, problem: 'a tool that may not run twice did', found: JSON.stringify(runs) });
  } else if (runs.slice(0, -1).some((each) => !run.diedLater(each))) {
    findings.push({ count: 'duplicated', where, problem: 'the tool ran again, and the process of its first run did not die', found: JSON.stringify(runs) });
  }
  return findings;
}
