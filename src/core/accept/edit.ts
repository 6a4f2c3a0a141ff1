import type { MessageContent } from '../entry.ts';
import { isRefusal, refuse } from '../errors.ts';
import { findVisibleTurn, marksOf, readyToMove, rewindBefore, type MoveOptions } from './move.ts';
import type { MoveReply } from './rewind.ts';
import type { SendReply } from './send.ts';
import type { Accept } from './transition.ts';

export interface EditCommand extends MoveOptions {
  /** The turn that is left, with all after it. */
  readonly turnId: string;
  /** The message that is said in its place. */
  readonly message: MessageContent;
}

export type EditReply = SendReply & Pick<MoveReply, 'turns' | 'left'>;

/** Leaves a turn and all after it as a branch, and says something in its place: one commit. Unlike other moves it goes on at once, as an interrupting message does, and what waits follows. Reads the marks, and what the work in flight has come to. */
export function acceptEdit({ turnId, message, ...options }: EditCommand): Accept<EditReply> {
  return (draft, { mintId }, loaded) => {
    if (message.visibility === 'user') return refuse('invalid_request', 'visibility: nothing answers a message that only the person sees, so it cannot stand in another\'s place');
    const refused = readyToMove(draft, loaded, 'editing', options);
    if (refused !== null) return refused;
    if (draft.session.archived) return refuse('session_archived', 'the session is archived; unarchive it to send');
    const marks = marksOf(draft, loaded);
    const bounds = findVisibleTurn(draft, marks, turnId);
    if (isRefusal(bounds)) return bounds;
    const rewinding = rewindBefore(draft, loaded, bounds.beginSeq, mintId('br'), options);
    if (isRefusal(rewinding)) return rewinding;
    const newTurnId = mintId('turn');
    draft.startMessage(message, newTurnId);
    return { turnId: newTurnId, messageId: message.messageId, revision: draft.session.revision, queued: false, turns: rewinding.turns, left: rewinding.intervals };
  };
}
