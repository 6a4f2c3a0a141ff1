import type { OpenAction } from './action.ts';
import { usageLimit, type Exhausted } from './budget.ts';
import type { CallResult, ErrorInfo } from './entry.ts';
import { invariant } from './errors.ts';
import type { LabelKind } from './label-entry.ts';
import { limits } from './limits.ts';
import { isInNode, transitionResult, type NodeRules } from './node.ts';
import { deniedCall, failedCall, unknownCall } from './call-result.ts';
import type { LastStep, OpenCall, Session, Turn } from './session.ts';

/** What `decide` has to know of the agent: its bounds and its tools' policies, as plain data. */
export interface AgentRules {
  readonly agent: string;
  readonly version: string;
  readonly maxSteps: number;
  readonly parallelCalls: number;
  readonly endAfterInactivityMs: number | null;
  /** Retention: default null, kept. */
  readonly deleteAfterRestMs?: number | null;
  /** What is made of a turn after its end, in the background. Default: nothing. */
  readonly labels?: readonly LabelKind[];
  readonly tools: ReadonlyMap<string, ToolRules>;
  /** Rules of the tools of MCP servers, by server: their tools are `server__tool`. */
  readonly servers?: ReadonlyMap<string, ToolRules>;
  /** Absent: the agent has no nodes. */
  readonly nodes?: NodeRules;
}

export interface ToolRules {
  /**
   * What happens to a call in flight when its worker dies (G6). `ask`: a person decides. `probe`: the tool finds out whether
   * it ran.
   */
  readonly recovery: 'rerun' | 'rerun-keyed' | 'report' | 'ask' | 'probe';
  /** It runs only when it is its step's one call. */
  readonly exclusive: boolean;
  /** Its success ends the turn. */
  readonly stopAfter: boolean;
  /** Only a principal with one of these roles decides what becomes of a call that may have run. */
  readonly actionRoles?: readonly string[];
  /** What it does is committed with its outcome: without one, nothing of it was kept. */
  readonly inTransaction?: true;
  /** How long an operation of it may take. Default: `limits.operationTimeoutMs`. */
  readonly operationTimeoutMs?: number;
}

/** The rules of a tool by name; undefined: the agent has no such tool. */
export function toolRules(rules: AgentRules, toolName: string): ToolRules | undefined {
  const own = rules.tools.get(toolName);
  if (own !== undefined) return own;
  const end = toolName.indexOf('__');
  return end < 0 ? undefined : rules.servers?.get(toolName.slice(0, end));
}

export type Decision =
  /** Nothing to do until somebody says something. */
  | { readonly kind: 'rest' }
  /** Nothing to do until then; no worker is held. */
  | { readonly kind: 'wait'; readonly untilMs: number }
  /** Nothing to do until an action is resolved or an operation ends; no worker is held. `known` are the outcomes there are, which are kept until then. */
  | { readonly kind: 'pause'; readonly known: readonly CallResult[] }
  /** Ask for what calls need from outside: `recovery` for those that may have run. */
  | { readonly kind: 'open-actions'; readonly stepSeq: number; readonly asked: readonly { readonly call: OpenCall; readonly recovery: boolean }[] }
  /** Nobody answered in time. */
  | { readonly kind: 'expire-actions'; readonly actions: readonly OpenAction[] }
  | { readonly kind: 'start-operations'; readonly stepSeq: number; readonly calls: readonly OpenCall[] }
  /** Run calls; those of `probe` may have run already, and their tools are asked first. */
  | { readonly kind: 'run-calls'; readonly stepSeq: number; readonly run: readonly OpenCall[]; readonly probe: readonly number[] }
  /** Each of the step's calls has its outcome. */
  | { readonly kind: 'answer-calls'; readonly stepSeq: number; readonly results: readonly CallResult[] }
  /** Give the model what came for the running turn: steered messages, results of detached operations. */
  | { readonly kind: 'deliver' }
  | { readonly kind: 'finish'; readonly reason: 'complete' | 'stop_after_tool' | 'max_steps' }
  | { readonly kind: 'fail'; readonly error: ErrorInfo }
  /** A budget does not allow the next generation: the turn fails, or waits for the budget's next period. */
  | { readonly kind: 'budget-exhausted'; readonly exhausted: Exhausted }
  /** The conversation is in no node that the agent has: it goes on in the first. */
  | { readonly kind: 'enter-first-node' }
  | { readonly kind: 'generate' }
  /** Put a summary in place of the history before it. */
  | { readonly kind: 'compact' };

/**
 * What to do next with a session, from committed facts alone, in the order of design section 5. `outcomes` are those of open
 * calls, stored ahead of their step. `exhausted` is the budget that is used up, if one is. What is delivered is delivered only where a generation follows that can answer
 * it; else the turn ends first and it opens the next one.
 */
export function decide(session: Session, rules: AgentRules, outcomes: readonly CallResult[], nowMs: number, exhausted: Exhausted | null = null): Decision {
  const { turn } = session;
  if (turn === null) return { kind: 'rest' };
  const { lastStep } = turn;
  if (lastStep !== null && lastStep.openCalls.length > 0) return decideCalls(turn, lastStep, session.fence, rules, outcomes, nowMs);
  if (turn.origin === 'compaction' && turn.compaction === null) return { kind: 'finish', reason: 'complete' };
  if (turn.stopAfterTool) return { kind: 'finish', reason: 'stop_after_tool' };
  const delivers = turn.origin !== 'compaction' && (session.deliveries.length > 0 || session.queue.some(({ steer }) => steer === true));
  if (lastStep !== null && lastStep.calls === 0 && !(delivers && turn.steps < rules.maxSteps && lastStep.finishReason !== 'content-filter')) return finished(lastStep);
  if (turn.steps >= rules.maxSteps) return { kind: 'finish', reason: 'max_steps' };
  if (attemptsSpent(turn)) return { kind: 'fail', error: attemptsSpentError(turn) };
  if (exhausted !== null) return { kind: 'budget-exhausted', exhausted };
  if (delivers) return { kind: 'deliver' };
  if (turn.retry !== null && turn.retry.atMs > nowMs && turn.retry.reason !== usageLimit) return { kind: 'wait', untilMs: turn.retry.atMs };
  if (!isInNode(rules.nodes, session.node)) return { kind: 'enter-first-node' };
  return { kind: turn.compaction === null ? 'generate' : 'compact' };
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

/** Where one open call stands. */
type CallState =
  | { readonly kind: 'known'; readonly result: CallResult }
  | { readonly kind: 'ask'; readonly recovery: boolean }
  | { readonly kind: 'expired'; readonly action: OpenAction }
  | { readonly kind: 'blocked' | 'start' | 'run' | 'probe' };

/** First what is asked and started, so that it goes on while siblings run; then what runs; at last the results, when all are in. */
function decideCalls(turn: Turn, step: LastStep, fence: number, rules: AgentRules, outcomes: readonly CallResult[], nowMs: number): Decision {
  const stepSeq = step.seq;
  // An exclusive tool among others: nothing runs, every call is told which one it was.
  const exclusive = step.calls > 1 ? step.openCalls.find((call) => toolRules(rules, call.toolName)?.exclusive === true) : undefined;
  if (exclusive !== undefined && outcomes.length === 0 && turn.actions.length === 0 && !step.openCalls.some(hasBegun)) {
    const errorText = `${exclusive.toolName} must be the only call of its step; nothing was run`;
    return { kind: 'answer-calls', stepSeq, results: step.openCalls.map((call) => failedCall(call, 'exclusive_tool', errorText)) };
  }
  const states = step.openCalls.map((call) => ({ call, state: callState(call, turn, fence, rules, outcomes, nowMs) }));
  const asked = states.flatMap(({ call, state }) => (state.kind === 'ask' ? [{ call, recovery: state.recovery }] : []));
  if (asked.length > 0) return { kind: 'open-actions', stepSeq, asked };
  const expired = states.flatMap(({ state }) => (state.kind === 'expired' ? [state.action] : []));
  if (expired.length > 0) return { kind: 'expire-actions', actions: expired };
  const start = states.flatMap(({ call, state }) => (state.kind === 'start' ? [call] : []));
  if (start.length > 0) return { kind: 'start-operations', stepSeq, calls: start };
  const run = states.flatMap(({ call, state }) => (state.kind === 'run' || state.kind === 'probe' ? [call] : []));
  if (run.length > 0) return { kind: 'run-calls', stepSeq, run, probe: states.flatMap(({ call, state }) => (state.kind === 'probe' ? [call.index] : [])) };
  const known = states.flatMap(({ call, state }) => (state.kind === 'known' ? [withStop(state.result, toolRules(rules, call.toolName))] : []));
  return known.length === states.length ? { kind: 'answer-calls', stepSeq, results: known } : { kind: 'pause', known };
}

/** A result from wherever it came ends the turn if its tool says so. */
function withStop(result: CallResult, tool: ToolRules | undefined): CallResult {
  return tool?.stopAfter === true && result.outcome === 'done' ? { ...result, stopsTurn: true } : result;
}

function hasBegun({ dispatchedFence, operationId, ended }: OpenCall): boolean {
  return dispatchedFence !== undefined || operationId !== undefined || ended === true;
}

function callState(call: OpenCall, turn: Turn, fence: number, rules: AgentRules, outcomes: readonly CallResult[], nowMs: number): CallState {
  const stored = outcomes.find((outcome) => outcome.index === call.index);
  if (stored !== undefined) return { kind: 'known', result: stored };
  // Decided without it, the call would run a second time (G6).
  invariant(call.ended !== true, `the stored outcome of call ${call.index} is read with its session`);
  const action = turn.actions.findLast(({ index }) => index === call.index);
  if (action !== undefined && action.resolved === undefined) {
    return action.expiresAtMs !== null && action.expiresAtMs <= nowMs ? { kind: 'expired', action } : { kind: 'blocked' };
  }
  const tool = toolRules(rules, call.toolName);
  if (call.dispatchedFence !== undefined && call.dispatchedFence !== fence) {
    switch (tool?.recovery ?? 'report') {
      case 'report':
        return { kind: 'known', result: unknownCall(call) };
      case 'ask':
        return { kind: 'ask', recovery: true };
      case 'probe':
        return { kind: 'probe' };
      case 'rerun':
      case 'rerun-keyed':
    }
  }
  if (call.problem !== undefined) return { kind: 'known', result: failedCall(call, tool === undefined ? 'unknown_tool' : 'invalid_input', call.problem) };
  if (call.denied !== undefined) return { kind: 'known', result: deniedCall(call, call.denied.reason, call.denied.code) };
  if (call.transition !== undefined) return { kind: 'known', result: transitionResult(call, call.transition) };
  if (call.needs !== undefined && action === undefined) return { kind: 'ask', recovery: false };
  if (call.operationId !== undefined) return { kind: 'blocked' };
  if (tool === undefined && call.mayHaveRun === true) return { kind: 'known', result: unknownCall(call) };
  if (tool === undefined) return { kind: 'known', result: failedCall(call, 'tool_changed', `the tool ${call.toolName} is gone since the call was made; it did not run`) };
  return call.operation === undefined ? { kind: 'run' } : { kind: 'start' };
}

