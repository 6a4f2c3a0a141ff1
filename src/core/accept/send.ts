import type { Draft, Loaded } from '../draft.ts';
import type { MessageContent } from '../entry.ts';
import { refuse, type Refusal } from '../errors.ts';
import { limits } from '../limits.ts';
import { isAtRest, statusOf, type Session } from '../session.ts';
import { refuseMoreBranches } from './move.ts';
import { stopTurn } from './stop.ts';
import { refuseEnded, type Accept } from './transition.ts';

/**
 * What happens to a message sent while a turn runs: `queue` waits for its end, `steer` joins it before its next generation, `interrupt`
 * stops it and runs at once, `replace` does so and leaves the stopped turn as a branch, `reject` is refused.
 */
export type WhenBusy = 'queue' | 'steer' | 'interrupt' | 'replace' | 'reject';

export interface SendCommand {
  readonly message: MessageContent;
  readonly whenBusy: WhenBusy;
}

export interface SendReply {
  /** The turn that this message opens, now or when its time comes. */
  readonly turnId: string;
  readonly messageId: string;
  readonly revision: number;
  /** It waits for others to be done first. */
  readonly queued: boolean;
  /** It is to join this turn, which runs, before its next generation. If that ends first, the message opens its own turn, `turnId`. A note has joined it already, and `turnId` is the same. */
  readonly steers?: { readonly turnId: string };
  /** The message whose turn this send started, where that is not the sent one: after a failed turn the queue stays first in, first out. */
  readonly started?: { readonly turnId: string; readonly messageId: string };
}

/** A user message: starts a turn at rest, else does what `whenBusy` says. */
export function acceptSend({ message, whenBusy }: SendCommand): Accept<SendReply> {
  return (draft, { mintId }, loaded) => {
    const { session } = draft;
    const ended = refuseEnded(session, 'sending');
    if (ended !== null) return ended;
    if (session.archived) return refuse('session_archived', 'the session is archived; unarchive it to send', { status: statusOf(session) });
    const turnId = mintId('turn');
    const reply = (queued: boolean): SendReply => ({ turnId, messageId: message.messageId, revision: draft.session.revision, queued });
    if (message.visibility === 'user') return sendNote(draft, message, whenBusy, turnId);
    if (isAtRest(session)) {
      if (session.queue.length === 0 || session.queueHeld) {
        draft.startMessage(message, turnId);
        return reply(false);
      }
      // The first of the queue starts first: a queue that is full has room then, and one that waits for a send to go on does go on.
      draft.startQueued();
      const refused = enqueue(draft, message, turnId);
      if (refused !== null) return refused;
      const started = draft.session.turn;
      return { ...reply(true), ...(started?.messageId ? { started: { turnId: started.id, messageId: started.messageId } } : {}) };
    }
    switch (whenBusy) {
      case 'queue': {
        const refused = enqueue(draft, message, turnId);
        return refused ?? reply(true);
      }
      case 'steer': {
        const refused = enqueue(draft, message, turnId, true);
        return refused ?? { ...reply(true), steers: { turnId: session.turn?.id ?? turnId } };
      }
      case 'reject':
        return refuseBusy(session);
      case 'interrupt':
        stopTurn(draft, loaded, { startsNext: false });
        draft.startMessage(message, turnId);
        return reply(false);
      case 'replace': {
        const refused = replaceTurn(draft, loaded, mintId('br'));
        if (refused !== null) return refused;
        draft.startMessage(message, turnId);
        return reply(false);
      }
    }
  };
}

/** What only people see goes into the conversation at once. It changes nothing of what runs, so it cannot be told to. */
function sendNote(draft: Draft, message: MessageContent, whenBusy: WhenBusy, newTurnId: string): SendReply | Refusal {
  if (whenBusy !== 'queue' && whenBusy !== 'reject') return refuse('invalid_request', `visibility: a message that only the person sees changes nothing of a turn; whenBusy ${whenBusy} cannot be said of it`);
  if (whenBusy === 'reject' && !isAtRest(draft.session)) return refuseBusy(draft.session);
  // What waits goes on, as with any message.
  if (isAtRest(draft.session) && !draft.session.queueHeld) draft.startQueued();
  const joined = draft.session.turn?.id;
  draft.addNote(message, newTurnId);
  return { turnId: joined ?? newTurnId, messageId: message.messageId, revision: draft.session.revision, queued: false, ...(joined === undefined ? {} : { steers: { turnId: joined } }) };
}

function refuseBusy(session: Session): Refusal {
  return refuse('session_busy', 'a turn is running and the message asked to be rejected then', { status: statusOf(session), turnId: session.turn?.id });
}

function enqueue(draft: Draft, message: MessageContent, turnId: string, steer = false): Refusal | null {
  if (draft.session.queue.length >= limits.queueMessagesMax) {
    return refuse('queue_full', `${limits.queueMessagesMax} messages wait already; wait for one to start or delete one`, { max: limits.queueMessagesMax });
  }
  draft.append({ kind: 'message-queued', turnId, ...message, ...(steer ? { steer } : {}) });
  return null;
}

function replaceTurn(draft: Draft, loaded: Loaded, branchId: string): Refusal | null {
  const turn = draft.session.turn;
  if (turn === null) return null;
  const full = refuseMoreBranches(draft);
  if (full !== null) return full;
  stopTurn(draft, loaded, { startsNext: false });
  draft.discardFrom(turn.startedSeq, turn.id, 1, branchId, turn);
  return null;
}
