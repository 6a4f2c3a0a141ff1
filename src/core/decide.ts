import type { CallResult, ErrorInfo } from './entry.ts';
import { limits } from './limits.ts';
import type { LastStep, OpenCall, Session, Turn } from './session.ts';

/** What `decide` has to know of the agent: its bounds and its tools' policies, as plain data. */
export interface AgentRules {
  readonly agent: string;
  readonly version: string;
  readonly maxSteps: number;
  readonly parallelCalls: number;
  readonly endAfterInactivityMs: number | null;
  readonly tools: ReadonlyMap<string, ToolRules>;
}

export interface ToolRules {
  /** What happens to a call in flight when its worker dies (G6). */
  readonly recovery: 'rerun' | 'rerun-keyed' | 'report';
  /** It runs only when it is its step's one call. */
  readonly exclusive: boolean;
  /** Its success ends the turn. */
  readonly stopAfter: boolean;
}

export type Decision =
  /** Nothing to do until somebody says something. */
  | { readonly kind: 'rest' }
  /** Nothing to do until then; no worker is held. */
  | { readonly kind: 'wait'; readonly untilMs: number }
  /** Answer the last step's calls: `known` outcomes need no work, the calls of `run` do. */
  | { readonly kind: 'answer-calls'; readonly stepSeq: number; readonly run: readonly OpenCall[]; readonly known: readonly CallResult[] }
  | { readonly kind: 'finish'; readonly reason: 'complete' | 'stop_after_tool' | 'max_steps' }
  | { readonly kind: 'fail'; readonly error: ErrorInfo }
  | { readonly kind: 'generate' };

/**
 * What to do next with a session, from committed facts alone, in the order of design section 5. `outcomes` are those stored
 * ahead of their step by a worker that has died since.
 */
export function decide(session: Session, rules: AgentRules, outcomes: readonly CallResult[], nowMs: number): Decision {
  const { turn } = session;
  if (turn === null) return { kind: 'rest' };
  const { lastStep } = turn;
  if (lastStep !== null && lastStep.openCalls.length > 0) return answerCalls(lastStep, session.fence, rules, outcomes);
  if (turn.stopAfterTool) return { kind: 'finish', reason: 'stop_after_tool' };
  if (lastStep !== null && lastStep.calls === 0) return finished(lastStep);
  if (turn.steps >= rules.maxSteps) return { kind: 'finish', reason: 'max_steps' };
  if (attemptsSpent(turn)) return { kind: 'fail', error: attemptsSpentError(turn) };
  if (turn.retry !== null && turn.retry.atMs > nowMs) return { kind: 'wait', untilMs: turn.retry.atMs };
  return { kind: 'generate' };
}

function finished(lastStep: LastStep): Decision {
  if (lastStep.finishReason !== 'content-filter') return { kind: 'finish', reason: 'complete' };
  return { kind: 'fail', error: { code: 'content_refused', message: 'the provider refused to answer (finish reason content-filter)', retryable: false } };
}

/** Whether a step may not be tried again: lost attempts count, so that a session which dies each time ends too. */
export function attemptsSpent(turn: Pick<Turn, 'stepAttempts' | 'failedAttempts'>): boolean {
  return turn.stepAttempts >= limits.attemptsPerStepMax || turn.failedAttempts >= limits.failedAttemptsPerTurnMax;
}

function attemptsSpentError(turn: Turn): ErrorInfo {
  return {
    code: 'attempts_spent',
    message: `${turn.stepAttempts} attempts of this step and ${turn.failedAttempts} of this turn failed or were lost`,
    retryable: false,
  };
}

/** An exclusive tool among others: nothing runs, every call is told which one it was. */
function answerCalls(step: LastStep, fence: number, rules: AgentRules, outcomes: readonly CallResult[]): Decision {
  const stepSeq = step.seq;
  const exclusive = step.calls > 1 ? step.openCalls.find((call) => rules.tools.get(call.toolName)?.exclusive === true) : undefined;
  if (exclusive !== undefined) {
    const errorText = `${exclusive.toolName} must be the only call of its step; nothing was run`;
    return { kind: 'answer-calls', stepSeq, run: [], known: step.openCalls.map((call) => failedCall(call, 'exclusive_tool', errorText)) };
  }
  const run: OpenCall[] = [];
  const known: CallResult[] = [];
  for (const call of step.openCalls) {
    const result = knownResult(call, fence, rules, outcomes);
    if (result === null) run.push(call);
    else known.push(result);
  }
  return { kind: 'answer-calls', stepSeq, run, known };
}

function knownResult(call: OpenCall, fence: number, rules: AgentRules, outcomes: readonly CallResult[]): CallResult | null {
  const stored = outcomes.find((outcome) => outcome.index === call.index);
  if (stored !== undefined) return stored;
  const tool = rules.tools.get(call.toolName);
  const interrupted = call.dispatchedFence !== undefined && call.dispatchedFence !== fence;
  if (interrupted && (tool?.recovery ?? 'report') === 'report') return unknownCall(call);
  if (call.problem !== undefined) return failedCall(call, tool === undefined ? 'unknown_tool' : 'invalid_input', call.problem);
  if (tool === undefined) return failedCall(call, 'tool_changed', `the tool ${call.toolName} is gone since the call was made; it did not run`);
  return null;
}

function failedCall(call: OpenCall, code: string, errorText: string): CallResult {
  return { index: call.index, toolCallId: call.toolCallId, toolName: call.toolName, outcome: 'failed', code, errorText };
}

/** The outcome of a call of which nobody knows whether it ran. */
export function unknownCall(call: OpenCall): CallResult {
  return {
    index: call.index, toolCallId: call.toolCallId, toolName: call.toolName, outcome: 'unknown', code: 'interrupted',
    errorText: 'The process that ran this call died before it reported. It may have run, wholly, in part or not at all. Find out before you run it again.',
  };
}
