import { advance, appendResults, withdrawActions, type Advancing, type Work } from './advance.ts';
import { stoppedCall, unknownCall } from './call-result.ts';
import { toolRules, type AgentRules } from './decide.ts';
import type { CallResult } from './entry.ts';
import { Draft, type Circumstances, type Transition } from './draft.ts';
import { refuse } from './errors.ts';
import { loseAttempts } from './labels.ts';
import { limits } from './limits.ts';
import { awaitedOperations, dueAtMs, openActions, type OpenCall, type Session } from './session.ts';

export interface ClaimRequest {
  readonly worker: string;
  /** The worker takes it as one that runs alone: it takes nothing else until the session has got through a step (docs/decisions/0005). */
  readonly solo: boolean;
  /** Whether the worker that holds the session is dead: its lease ran out or its lock is free. */
  readonly isDead: (worker: string) => boolean;
}

export interface Claimed {
  readonly fence: number;
  readonly work: Work | null;
}

/** Whether only a worker with no other turn may take the session, after crashes in a row. */
export function needsSolo(session: Session, afterCrash: boolean): boolean {
  return session.crashes + (afterCrash ? 1 : 0) >= limits.crashesBeforeSolo;
}

/**
 * A worker takes a session that has work to do: raises the fence, records what died with the last claimant, and goes on to
 * the next thing to perform. Refused (`not_claimable`) when somebody live has it, when it is not due, or when it must be taken alone.
 */
export function claim(request: ClaimRequest, rules: AgentRules, circumstances: Circumstances): Transition<Claimed> {
  return ({ session, outcomes, keyedOperations, state }) => {
    const crashed = session.claim !== null && request.isDead(session.claim.worker);
    if (session.claim !== null && !crashed) return refuse('not_claimable', `worker ${session.claim.worker} has the session`);
    const due = crashed ? 0 : dueAtMs(session);
    if (due === null || due > circumstances.nowMs) return refuse('not_claimable', 'the session has nothing to do now');
    const solo = needsSolo(session, crashed);
    if (solo && !request.solo) return refuse('not_claimable', 'the session crashed its workers and is taken alone', { solo: true });
    const draft = new Draft(session, circumstances.nowMs, outcomes, state);
    if (session.turn === null) {
      if (session.deletesAtMs !== null && session.deletesAtMs <= circumstances.nowMs) {
        if (session.labelling !== null) loseAttempts(draft, session.labelling);
        draft.set({ fence: session.fence + 1, claim: null, deletesAtMs: null, endsAtMs: null });
        return draft.done({ fence: draft.session.fence, work: null }, true);
      }
      draft.endSession('inactivity');
      return draft.done({ fence: draft.session.fence, work: null });
    }
    take(draft, request.worker, rules, solo, crashed);
    if (draft.session.crashes >= limits.crashesBeforeSolo + limits.soloCrashesMax) {
      park(draft, rules);
      // The turn is parked, not the session: the next one has all its tries.
      draft.set({ crashes: 0 });
    }
    const work = advance(draft, rules, { mintId: circumstances.mintId, budgets: circumstances.budgets, keyedOperations });
    return draft.done({ fence: draft.session.fence, work });
  };
}

/** Claims within the commit that made the session ready: accept and claim in one (design section 11). */
export function claimInPlace(draft: Draft, worker: string, rules: AgentRules, advancing: Advancing): Claimed {
  take(draft, worker, rules, false, false);
  const work = advance(draft, rules, advancing);
  return { fence: draft.session.fence, work };
}

function take(draft: Draft, worker: string, rules: AgentRules, solo: boolean, crashed: boolean): void {
  const { session } = draft;
  draft.set({
    fence: session.fence + 1,
    claim: { worker, claimedAtMs: draft.nowMs, solo },
    crashes: crashed ? session.crashes + 1 : session.crashes,
    endAfterInactivityMs: rules.endAfterInactivityMs,
    deleteAfterRestMs: rules.deleteAfterRestMs ?? null,
  });
  const { turn } = session;
  if (turn?.attempt) {
    draft.append({ kind: 'attempt-lost', turnId: turn.id, attempt: { ...turn.attempt, usage: null } });
    draft.dropChunks();
  }
}

/** Fails the turn; calls that it leaves are answered, since each call in a history has its result (G8). */
function park(draft: Draft, rules: AgentRules): void {
  const asked = openActions(draft.session.turn);
  withdrawActions(draft);
  draft.cancelOperations(awaitedOperations(draft.session));
  const step = draft.session.turn?.lastStep;
  if (step && step.openCalls.length > 0) {
    appendResults(draft, step.seq, step.openCalls.map((call) => draft.outcomes.find(({ index }) => index === call.index) ?? abandonedCall(call, rules, asked.some(({ index }) => index === call.index))));
  }
  draft.endTurn('failed', { error: poisoned(draft.session.crashes) });
}

function poisoned(crashes: number): { code: string; message: string; retryable: boolean } {
  return { code: 'poisoned', message: `${crashes} workers in a row died with this turn, the last ${limits.soloCrashesMax} after it was set apart from others`, retryable: false };
}

/** Of a `rerun` tool no commit says whether its call had begun; of any other it had if one names it as dispatched. */
function abandonedCall(call: OpenCall, rules: AgentRules, asked: boolean): CallResult {
  const tool = toolRules(rules, call.toolName);
  const leavesNoTrace = tool?.recovery === 'rerun' && tool.inTransaction !== true;
  const mayHaveBegun = call.dispatchedFence !== undefined || call.mayHaveRun === true || (leavesNoTrace && call.problem === undefined && call.denied === undefined && !asked);
  return mayHaveBegun || call.operationId !== undefined ? unknownCall(call) : stoppedCall(call, false);
}
