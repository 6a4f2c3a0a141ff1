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
    const draft = new Draft(session, circumstances.nowMs);
    const reply = accept(draft, circumstances, loaded);
    if (isRefusal(reply)) return reply;
    return draft.done({ reply, claimed: claimIfReady(draft, options.slot, circumstances) });
  };
}

export function claimIfReady(draft: Draft, slot: WorkerSlot | undefined, circumstances: Circumstances): Claimed | null {
  const { session } = draft;
  if (slot === undefined || statusOf(session) !== 'ready' || session.crashes > 0 || session.turn?.retry) return null;
  const rules = slot.rulesOf(session);
  return rules === undefined ? null : claimInPlace(draft, slot.worker, rules, circumstances);
}

/** Refuses what an ended session does not take. */
export function refuseEnded(session: Session, what: string): Refusal | null {
  return session.ended ? refuse('session_ended', `the session has ended; ${what} is not possible any more`, { status: 'ended' }) : null;
}
