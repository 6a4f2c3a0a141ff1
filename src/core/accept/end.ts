import { Draft, type Change, type Transition } from '../draft.ts';
import { refuse } from '../errors.ts';
import { loseAttempts } from '../labels.ts';
import { isAtRest, statusOf } from '../session.ts';
import { stopTurn } from './stop.ts';
import type { Accept } from './transition.ts';

export interface EndCommand {
  /** Stop a running turn first; without it a busy session refuses. */
  readonly stop?: boolean;
}

export interface EndReply {
  readonly revision: number;
  readonly status: 'ended';
}

/** Closes a session for good. Messages that still wait leave the queue. Repeating it is harmless. */
export function acceptEnd({ stop }: EndCommand): Accept<EndReply> {
  return (draft, _circumstances, loaded) => {
    if (!draft.session.ended) {
      if (!isAtRest(draft.session)) {
        if (stop !== true) return refuse('session_busy', 'a turn is running; stop it first, or say stop: true', { status: statusOf(draft.session) });
        stopTurn(draft, loaded, { startsNext: false });
      }
      draft.endSession('api');
    }
    return { revision: draft.session.revision, status: 'ended' };
  };
}

export interface DeleteReply {
  readonly deleted: true;
}

/** Removes everything of a session. Work in flight finds no session and lands nowhere (G4). */
export function deleteTransition(nowMs: number): Transition<DeleteReply> {
  return ({ session }): Change<DeleteReply> => {
    const draft = new Draft(session, nowMs);
    // What it was is gone with the session; that it was, and what is not known of its usage, stays counted.
    const { turn } = session;
    if (turn !== null && turn.attempt !== null) draft.append({ kind: 'attempt-stopped', turnId: turn.id, attempt: { ...turn.attempt, durationMs: draft.nowMs - turn.attempt.startedAtMs, usage: null } });
    if (session.labelling !== null) loseAttempts(draft, session.labelling);
    draft.set({ fence: session.fence + 1, claim: null, operations: [] });
    return draft.done({ deleted: true }, true);
  };
}
