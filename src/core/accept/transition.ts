import type { Advancing } from '../advance.ts';
import { claimInPlace, type Claimed } from '../claim.ts';
import type { AgentRules } from '../decide.ts';
import { Draft, type Circumstances, type Loaded, type Transition } from '../draft.ts';
import { isRefusal, refuse, type Refusal } from '../errors.ts';
import { statusOf, type Session } from '../session.ts';

/** What one command does to a session: changes the draft and says its reply, or refuses. */
export type Accept<Reply> = (draft: Draft, circumstances: Circumstances, loaded: Loaded) => Reply | Refusal;

/** A free place of a worker in the same process, so that a command and the claim it leads to are one commit. */
export interface WorkerSlot {
  readonly worker: string;
  readonly rulesOf: (session: Session) => AgentRules | undefined;
}

export interface AcceptOptions {
  /** The revision that the caller has seen; the command is refused if the session has moved on. */
  readonly expectedRevision?: number | undefined;
  readonly slot?: WorkerSlot | undefined;
  /** The stored outcomes of open calls are read with the session. Without them such calls are not gone on with in place: an ended one would run again. */
  readonly readsOutcomes?: boolean | undefined;
}

export interface Accepted<Reply> {
  readonly reply: Reply;
  /** Set when the slot was taken: the worker goes on from here. */
  readonly claimed: Claimed | null;
}

/** Makes a transition of a command: checks the revision, accepts, and claims in the same commit if a slot is offered and there is work. */
export function acceptTransition<Reply>(accept: Accept<Reply>, circumstances: Circumstances, options: AcceptOptions = {}): Transition<Accepted<Reply>> {
  return (loaded) => {
    const { session } = loaded;
    if (options.expectedRevision !== undefined && options.expectedRevision !== session.revision) {
      return refuse('revision_conflict', `the session is at revision ${session.revision}, not ${options.expectedRevision}: read it again and decide anew`, {
        expected: options.expectedRevision, actual: session.revision,
      });
    }
    const draft = new Draft(session, circumstances.nowMs, loaded.outcomes, loaded.state);
    const reply = accept(draft, circumstances, loaded);
    if (isRefusal(reply)) return reply;
    const goesOn = options.readsOutcomes === true || (draft.session.turn?.lastStep?.openCalls.length ?? 0) === 0;
    return draft.done({ reply, claimed: claimIfReady(draft, goesOn ? options.slot : undefined, { mintId: circumstances.mintId, budgets: circumstances.budgets, keyedOperations: loaded.keyedOperations }) });
  };
}

export function claimIfReady(draft: Draft, slot: WorkerSlot | undefined, advancing: Advancing): Claimed | null {
  const { session } = draft;
  if (slot === undefined || statusOf(session) !== 'ready' || session.crashes > 0 || session.turn?.retry) return null;
  // Whether there is some left of a budget, its worker finds out first.
  if (advancing.budgets?.isKnown(session) === false) return null;
  const rules = slot.rulesOf(session);
  return rules === undefined ? null : claimInPlace(draft, slot.worker, rules, advancing);
}

/** Refuses what an ended session does not take. */
export function refuseEnded(session: Session, what: string): Refusal | null {
  return session.ended ? refuse('session_ended', `the session has ended; ${what} is not possible any more`, { status: 'ended' }) : null;
}
