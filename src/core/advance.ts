import { decide, type AgentRules } from './decide.ts';
import type { Circumstances, Draft } from './draft.ts';
import type { CallResult } from './entry.ts';
import { invariant } from './errors.ts';
import type { Attempt, OpenCall } from './session.ts';

/** The work that a commit leaves to the worker which holds the claim. */
export type Work =
  | { readonly kind: 'generate'; readonly turnId: string; readonly attempt: Attempt }
  | { readonly kind: 'run-calls'; readonly turnId: string; readonly stepSeq: number; readonly run: readonly OpenCall[]; readonly known: readonly CallResult[] };

/**
 * Takes a claimed session through everything that follows from its facts without work, up to the next thing that has
 * to be performed, which the same commit records as begun: the attempt's id, the calls dispatched. Releases the claim when
 * there is nothing to perform. So a turn with one tool call is four commits (design section 11).
 */
export function advance(draft: Draft, rules: AgentRules, outcomes: readonly CallResult[], { mintId }: Pick<Circumstances, 'mintId'>): Work | null {
  for (;;) {
    const decision = decide(draft.session, rules, outcomes, draft.nowMs);
    switch (decision.kind) {
      case 'rest':
        release(draft);
        return null;
      case 'wait':
        release(draft);
        return null;
      case 'finish':
        draft.endTurn(decision.reason);
        break;
      case 'fail':
        draft.endTurn('failed', { error: decision.error });
        break;
      case 'generate':
        return beginAttempt(draft, mintId);
      case 'answer-calls':
        if (decision.run.length > 0) return beginCalls(draft, rules, decision);
        appendResults(draft, decision.stepSeq, decision.known);
        break;
    }
  }
}

function release(draft: Draft): void {
  if (draft.session.claim !== null) draft.set({ claim: null });
}

function beginAttempt(draft: Draft, mintId: Circumstances['mintId']): Work {
  const turn = draft.session.turn;
  invariant(turn !== null, 'an attempt belongs to a turn');
  const attempt: Attempt = { id: mintId('att'), number: turn.stepAttempts + 1, startedAtMs: draft.nowMs };
  draft.set({ turn: { ...turn, attempt, retry: null } });
  return { kind: 'generate', turnId: turn.id, attempt };
}

/** Dispatches the first calls, as many as run side by side; the others are dispatched by later commits as places get free. */
function beginCalls(draft: Draft, rules: AgentRules, decision: { readonly stepSeq: number; readonly run: readonly OpenCall[]; readonly known: readonly CallResult[] }): Work {
  const turn = draft.session.turn;
  invariant(turn !== null, 'calls belong to a turn');
  dispatch(draft, rules, decision.run.slice(0, rules.parallelCalls).map((call) => call.index));
  return { kind: 'run-calls', turnId: turn.id, stepSeq: decision.stepSeq, run: decision.run, known: decision.known };
}

/** Records that calls begin, under the present fence. Calls of `rerun` tools need no record: they may run twice. */
export function dispatch(draft: Draft, rules: AgentRules, indexes: readonly number[]): void {
  const turn = draft.session.turn;
  const step = turn?.lastStep;
  invariant(turn !== null && step !== null && step !== undefined, 'calls belong to a step');
  const { fence } = draft.session;
  let changed = false;
  const openCalls = step.openCalls.map((call) => {
    if (!indexes.includes(call.index) || rules.tools.get(call.toolName)?.recovery === 'rerun') return call;
    changed = true;
    return { ...call, dispatchedFence: fence };
  });
  if (changed) draft.set({ turn: { ...turn, lastStep: { ...step, openCalls } } });
}

/** Answers a step's calls, in call order, each exactly once (G8). */
export function appendResults(draft: Draft, stepSeq: number, results: readonly CallResult[]): void {
  const turn = draft.session.turn;
  const step = turn?.lastStep;
  invariant(turn !== null && step !== null && step !== undefined && step.seq === stepSeq, `step ${stepSeq} is the one being answered`);
  const inOrder = step.openCalls.map((call) => {
    const result = results.find(({ index }) => index === call.index);
    invariant(result !== undefined, `call ${call.index} of step ${stepSeq} has a result`);
    return result;
  });
  draft.append({ kind: 'tool-results', turnId: turn.id, stepSeq, results: inOrder });
  draft.dropOutcomes();
}
