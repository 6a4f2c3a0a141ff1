import { advance, appendResults, type Work } from './advance.ts';
import { unknownCall, type AgentRules } from './decide.ts';
import { Draft, type Circumstances, type Transition } from './draft.ts';
import type { CallResult } from './entry.ts';
import { refuse } from './errors.ts';
import { limits } from './limits.ts';
import { dueAtMs, type Session } from './session.ts';

export interface ClaimRequest {
  readonly worker: string;
  /** The worker has no other turn in hand and will take none until this one is done. */
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
  return ({ session, outcomes }) => {
    const crashed = session.claim !== null && request.isDead(session.claim.worker);
    if (session.claim !== null && !crashed) return refuse('not_claimable', `worker ${session.claim.worker} has the session`);
    const due = crashed ? 0 : dueAtMs(session);
    if (due === null || due > circumstances.nowMs) return refuse('not_claimable', 'the session has nothing to do now');
    const solo = needsSolo(session, crashed);
    if (solo && !request.solo) return refuse('not_claimable', 'the session crashed its workers and is taken alone', { solo: true });
    const draft = new Draft(session, circumstances.nowMs);
    if (session.turn === null) {
      draft.endSession('inactivity');
      return draft.done({ fence: draft.session.fence, work: null });
    }
    take(draft, request.worker, rules, solo, crashed);
    if (draft.session.crashes >= limits.crashesBeforeSolo + limits.soloCrashesMax) {
      park(draft, outcomes);
      // The turn is parked, not the session: the next one has all its tries.
      draft.set({ crashes: 0 });
    }
    const work = advance(draft, rules, outcomes, circumstances);
    return draft.done({ fence: draft.session.fence, work });
  };
}

/** Claims within the commit that made the session ready: accept and claim in one (design section 11). */
export function claimInPlace(draft: Draft, worker: string, rules: AgentRules, circumstances: Circumstances): Claimed {
  take(draft, worker, rules, false, false);
  const work = advance(draft, rules, [], circumstances);
  return { fence: draft.session.fence, work };
}

function take(draft: Draft, worker: string, rules: AgentRules, solo: boolean, crashed: boolean): void {
  const { session } = draft;
  draft.set({
    fence: session.fence + 1,
    claim: { worker, claimedAtMs: draft.nowMs, solo },
    crashes: crashed ? session.crashes + 1 : session.crashes,
    endAfterInactivityMs: rules.endAfterInactivityMs,
  });
  const { turn } = session;
  if (turn?.attempt) {
    draft.append({ kind: 'attempt-lost', turnId: turn.id, attempt: { ...turn.attempt, usage: null } });
    draft.dropChunks();
  }
}

/** Fails the turn; calls that it leaves are answered, since each call in a history has its result (G8). */
function park(draft: Draft, outcomes: readonly CallResult[]): void {
  const step = draft.session.turn?.lastStep;
  if (step && step.openCalls.length > 0) {
    appendResults(draft, step.seq, step.openCalls.map((call) => outcomes.find(({ index }) => index === call.index) ?? unknownCall(call)));
  }
  draft.endTurn('failed', { error: poisoned(draft.session.crashes) });
}

function poisoned(crashes: number): { code: string; message: string; retryable: boolean } {
  return { code: 'poisoned', message: `${crashes} workers in a row died with this turn, the last ${limits.soloCrashesMax} of them with nothing else in hand`, retryable: false };
}
