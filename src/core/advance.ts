import { actionIdOf, type OpenAction } from './action.ts';
import { expiredCall, failedCall } from './call-result.ts';
import { withWritesMade } from './call-writes.ts';
import { usageLimit, usageLimitError, type Exhausted } from './budget.ts';
import { decide, toolRules, type AgentRules, type Decision } from './decide.ts';
import type { Circumstances, Draft } from './draft.ts';
import type { CallResult } from './entry.ts';
import { invariant } from './errors.ts';
import { limits } from './limits.ts';
import { labelsAfter } from './labels.ts';
import { enterFirstNode, enterNode, finishTurn } from './node.ts';
import type { Operation } from './operation.ts';
import type { Attempt, LastStep, OpenCall, Turn } from './session.ts';
import { countOf, sumCounts } from './usage.ts';

/** The work that a commit leaves to the worker which holds the claim. */
export type Work =
  | { readonly kind: 'generate'; readonly turnId: string; readonly attempt: Attempt }
  | CallsWork;

export interface CallsWork {
  readonly kind: 'run-calls';
  readonly turnId: string;
  readonly stepSeq: number;
  readonly run: readonly OpenCall[];
  /** Indexes of calls that may have run already: their tools find out first. */
  readonly probe: readonly number[];
}

/** What a change needs besides the session: ids, and the operations that live under the keys of its calls. */
export interface Advancing extends Pick<Circumstances, 'mintId' | 'budgets'> {
  readonly keyedOperations?: readonly Operation[] | undefined;
}

/**
 * Takes a claimed session through everything that follows from its facts without work, up to the next thing that has
 * to be performed, which the same commit records as begun: the attempt's id, the calls dispatched. Releases the claim when
 * there is nothing to perform. So a turn with one tool call is four commits (design section 11).
 */
export function advance(draft: Draft, rules: AgentRules, advancing: Advancing): Work | null {
  for (let decisions = 0; ; decisions += 1) {
    invariant(decisions < limits.decisionsPerCommitMax, 'what follows from facts comes to an end');
    const decision = decide(draft.session, rules, draft.outcomes, draft.nowMs, exhaustedIn(draft, advancing));
    switch (decision.kind) {
      case 'pause':
        for (const result of decision.known) draft.keepOutcome(result);
        release(draft);
        return null;
      case 'rest':
      case 'wait':
        release(draft);
        return null;
      case 'finish':
        finishTurn(draft, rules.nodes, decision.reason, labelsAfter(draft.session, rules, decision.reason));
        break;
      case 'fail':
        draft.endTurn('failed', { error: decision.error });
        break;
      case 'budget-exhausted':
        if (!withoutBudget(draft, decision.exhausted)) break;
        release(draft);
        return null;
      case 'generate':
        return beginAttempt(draft, advancing.mintId);
      case 'compact':
        return beginAttempt(draft, advancing.mintId, 'compaction');
      case 'deliver':
        draft.deliver();
        break;
      case 'enter-first-node':
        enterFirstNode(draft, rules.nodes);
        break;
      case 'run-calls':
        return beginCalls(draft, rules, decision);
      case 'answer-calls':
        appendResults(draft, decision.stepSeq, decision.results);
        break;
      case 'open-actions':
      case 'expire-actions':
      case 'start-operations':
        openCallsUp(draft, rules, decision, advancing);
        break;
    }
  }
}

/** Asks, expires and starts what the open calls need, until what is left of them is to be run, or waits, or is done. */
export function prepareCalls(draft: Draft, rules: AgentRules, advancing: Advancing): Decision {
  for (;;) {
    const decision = decide(draft.session, rules, draft.outcomes, draft.nowMs);
    if (decision.kind !== 'open-actions' && decision.kind !== 'expire-actions' && decision.kind !== 'start-operations') return decision;
    openCallsUp(draft, rules, decision, advancing);
  }
}

function openCallsUp(draft: Draft, rules: AgentRules, decision: Extract<Decision, { kind: 'open-actions' | 'expire-actions' | 'start-operations' }>, advancing: Advancing): void {
  if (decision.kind === 'open-actions') for (const { call, recovery } of decision.asked) openAction(draft, rules, decision.stepSeq, call, recovery);
  else if (decision.kind === 'expire-actions') for (const action of decision.actions) expireAction(draft, action);
  else for (const call of decision.calls) startOperation(draft, rules, decision.stepSeq, call, advancing);
}

/** What this commit itself records is used as well. */
function exhaustedIn({ session, entries, nowMs }: Draft, { budgets }: Advancing): Exhausted | null {
  return budgets?.exhausted(session, sumCounts(entries.flatMap((entry) => countOf(entry) ?? [])), nowMs) ?? null;
}

/** Fails the turn, or lets it wait; returns whether it waits. Looked at again later, it says no second time that it does. */
function withoutBudget(draft: Draft, exhausted: Exhausted): boolean {
  const { turn } = draft.session;
  invariant(turn !== null, 'a generation belongs to a turn');
  const { whenExhausted, resetAtMs } = exhausted;
  const waits = whenExhausted === 'wait';
  const { retry } = turn;
  if (!waits || retry?.reason !== usageLimit || retry.atMs !== resetAtMs) {
    const { per, unit, period, limit, used } = exhausted;
    draft.append({
      kind: 'budget-exhausted', turnId: turn.id, per, unit, period, limit, used, resetAtMs, nextAttempt: turn.stepAttempts + 1,
      ...(waits ? { retry: { delayMs: resetAtMs - draft.nowMs, atMs: resetAtMs } } : {}),
    });
  }
  if (!waits) draft.endTurn('failed', { error: usageLimitError(exhausted) });
  else draft.lookAgainAt(Math.min(resetAtMs, draft.nowMs + limits.budgetLookMs));
  return waits;
}

function release(draft: Draft): void {
  if (draft.session.claim !== null) draft.set({ claim: null });
}

function beginAttempt(draft: Draft, mintId: Circumstances['mintId'], purpose?: Attempt['purpose']): Work {
  const turn = draft.session.turn;
  invariant(turn !== null, 'an attempt belongs to a turn');
  const attempt: Attempt = { id: mintId('att'), number: turn.stepAttempts + 1, startedAtMs: draft.nowMs, ...(purpose === undefined ? {} : { purpose }) };
  draft.set({ turn: { ...turn, attempt, retry: null } });
  return { kind: 'generate', turnId: turn.id, attempt };
}

/** Dispatches the first calls, as many as run side by side; the others are dispatched by later commits as places get free. */
function beginCalls(draft: Draft, rules: AgentRules, { stepSeq, run, probe }: Extract<Decision, { kind: 'run-calls' }>): Work {
  const { turn } = stepOf(draft);
  dispatch(draft, rules, run.slice(0, rules.parallelCalls).map((call) => call.index));
  return { kind: 'run-calls', turnId: turn.id, stepSeq, run, probe };
}

/** Records that calls begin, under the present fence. Calls of `rerun` tools need no record: they may run twice. */
export function dispatch(draft: Draft, rules: AgentRules, indexes: readonly number[]): void {
  const { turn, step } = stepOf(draft);
  const { fence } = draft.session;
  let changed = false;
  const openCalls = step.openCalls.map((call) => {
    if (!indexes.includes(call.index) || toolRules(rules, call.toolName)?.recovery === 'rerun') return call;
    changed = true;
    const again = call.dispatchedFence !== undefined && call.dispatchedFence !== fence;
    return { ...call, dispatchedFence: fence, ...(again ? { mayHaveRun: true as const } : {}) };
  });
  if (changed) draft.set({ turn: { ...turn, lastStep: { ...step, openCalls } } });
}

function openAction(draft: Draft, rules: AgentRules, stepSeq: number, call: OpenCall, recovery: boolean): void {
  const { turn } = stepOf(draft);
  const { index, toolCallId, toolName, needs, inputHash = '' } = call;
  const again = turn.actions.some((action) => action.index === index) ? draft.session.fence : undefined;
  const asked = { kind: 'action-opened', turnId: turn.id, actionId: actionIdOf(stepSeq, index, again), stepSeq, index, toolCallId, toolName, inputHash } as const;
  if (recovery || needs === undefined) {
    const roles = needs?.roles ?? toolRules(rules, toolName)?.actionRoles;
    draft.append({ ...asked, type: 'recovery', expiresAtMs: null, ...(roles === undefined ? {} : { roles }), reason: 'The process that ran this call died before it reported. It may have run.' });
    return;
  }
  const { type, expiresAfterMs, roles, reason } = needs;
  draft.append({
    ...asked, type, expiresAtMs: expiresAfterMs === undefined ? null : draft.nowMs + Math.ceil(expiresAfterMs),
    ...(roles === undefined ? {} : { roles }), ...(reason === undefined ? {} : { reason }),
  });
}

function expireAction(draft: Draft, { id: actionId, index, toolCallId, toolName }: OpenAction): void {
  const { turn, step } = stepOf(draft);
  draft.append({ kind: 'action-resolved', turnId: turn.id, actionId, stepSeq: step.seq, index, resolution: 'expired' });
  draft.keepOutcome(expiredCall({ index, toolCallId, toolName }));
}

/** Withdraws what the turn still asks, before it ends. */
export function withdrawActions(draft: Draft): void {
  const { turn } = draft.session;
  const stepSeq = turn?.lastStep?.seq;
  for (const { id: actionId, index, resolved } of turn?.actions ?? []) {
    if (resolved === undefined && turn && stepSeq !== undefined) draft.append({ kind: 'action-resolved', turnId: turn.id, actionId, stepSeq, index, resolution: 'withdrawn' });
  }
}

/** Starts a call's operation. One of the same key that lives already answers the call instead; so does a session that has as many as it may. */
function startOperation(draft: Draft, rules: AgentRules, stepSeq: number, call: OpenCall, { mintId, keyedOperations = [] }: Advancing): void {
  const { turn } = stepOf(draft);
  const { tenant, id: sessionId, owner, agent } = draft.session;
  const { index, toolCallId, toolName, operation } = call;
  invariant(operation !== undefined, `call ${index} runs as an operation`);
  const key = operation.key ?? null;
  const running = key === null ? undefined : [...keyedOperations, ...draft.operations].find((other) => other.key === key);
  if (running !== undefined) {
    draft.keepOutcome({ index, toolCallId, toolName, outcome: 'done', output: { operationId: running.id, status: 'in_progress' } });
    return;
  }
  if (draft.session.operations.length >= limits.operationsPerSessionMax) {
    draft.keepOutcome(failedCall(call, 'too_many_operations', `${limits.operationsPerSessionMax} operations of this session have not ended; wait for one, or cancel one`));
    return;
  }
  const id = mintId('op');
  const { mode } = operation;
  draft.startOperation({
    tenant, id, sessionId, owner, agent, turnId: turn.id, stepSeq, index, toolCallId, toolName, mode, key, inputSeq: call.inputSeq ?? null,
    status: 'queued', attempts: 0, crashes: 0, progress: null, fence: 0, worker: null, tokenHashes: [], external: false,
    timeoutAtMs: draft.nowMs + Math.ceil(toolRules(rules, toolName)?.operationTimeoutMs ?? limits.operationTimeoutMs),
    result: null, createdAtMs: draft.nowMs, startedAtMs: null, endedAtMs: null, updatedAtMs: draft.nowMs,
  });
  if (mode === 'detach') draft.keepOutcome({ index, toolCallId, toolName, outcome: 'done', output: { operationId: id, status: 'started' } });
}

/** Answers a step's calls, in call order, each exactly once (G8). */
export function appendResults(draft: Draft, stepSeq: number, results: readonly CallResult[]): void {
  const { turn, step } = stepOf(draft);
  invariant(step.seq === stepSeq, `step ${stepSeq} is the one being answered`);
  const inOrder = step.openCalls.map((call) => {
    const result = results.find(({ index }) => index === call.index);
    invariant(result !== undefined, `call ${call.index} of step ${stepSeq} has a result`);
    return result;
  });
  const { results: written, move } = withWritesMade(draft, stepSeq, inOrder);
  draft.append({ kind: 'tool-results', turnId: turn.id, stepSeq, results: written });
  draft.appendState();
  if (move !== null) enterNode(draft, move.to, { by: 'tool', callKey: move.callKey, ...(move.reason === undefined ? {} : { reason: move.reason }) });
  draft.dropOutcomes();
}

function stepOf(draft: Draft): { readonly turn: Turn; readonly step: LastStep } {
  const turn = draft.session.turn;
  const step = turn?.lastStep;
  invariant(turn !== null && step !== null && step !== undefined, 'calls belong to a step');
  return { turn, step };
}

