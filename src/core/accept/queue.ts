import type { MessageContent } from '../entry.ts';
import { refuse, type Refusal } from '../errors.ts';
import { isAtRest, statusOf, type QueuedMessage, type Session } from '../session.ts';
import { refuseEnded, type Accept } from './transition.ts';

export interface QueueReply {
  readonly revision: number;
  readonly held: boolean;
  readonly messageIds: readonly string[];
}

/** Changes a waiting message's content; it keeps its place and its turn. */
export function acceptQueueEdit(messageId: string, content: Omit<MessageContent, 'messageId'>): Accept<QueueReply> {
  return (draft) => {
    const queued = find(draft.session, messageId);
    if ('refused' in queued) return queued;
    if (content.visibility === 'user') return refuse('invalid_request', 'visibility: a message that waits is to be answered; one that only the person sees does not wait');
    draft.append({ kind: 'queued-message-edited', turnId: queued.turnId, messageId, ...content });
    return queueReply(draft.session);
  };
}

/** Takes a waiting message out; its id stays used for good. */
export function acceptQueueDelete(messageId: string): Accept<QueueReply> {
  return (draft) => {
    const queued = find(draft.session, messageId);
    if ('refused' in queued) return queued;
    draft.append({ kind: 'message-unqueued', messageId, reason: 'deleted' });
    return queueReply(draft.session);
  };
}

/** Moves a waiting message to the front. */
export function acceptQueuePromote(messageId: string): Accept<QueueReply> {
  return (draft) => {
    const queued = find(draft.session, messageId);
    if ('refused' in queued) return queued;
    if (draft.session.queue[0]?.messageId !== messageId) draft.append({ kind: 'queued-message-moved', messageId });
    return queueReply(draft.session);
  };
}

/** Keeps waiting messages from starting when the turn ends. Harmless when held already. */
export function acceptQueueHold(): Accept<QueueReply> {
  return (draft) => {
    const ended = refuseEnded(draft.session, 'holding the queue');
    if (ended !== null) return ended;
    if (!draft.session.queueHeld) draft.append({ kind: 'queue-held' });
    return queueReply(draft.session);
  };
}

/** Lets the queue go on, and starts its first message if the session is at rest. Harmless when not held. */
export function acceptQueueRelease(): Accept<QueueReply> {
  return (draft) => {
    const ended = refuseEnded(draft.session, 'releasing the queue');
    if (ended !== null) return ended;
    // Let go while nothing may start, its messages would wait for nobody afterwards.
    if (draft.session.archived) return refuse('session_archived', 'the session is archived; unarchive it to release its queue', { status: statusOf(draft.session) });
    if (draft.session.queueHeld) draft.append({ kind: 'queue-released' });
    if (isAtRest(draft.session)) draft.startQueued();
    return queueReply(draft.session);
  };
}

function find(session: Session, messageId: string): QueuedMessage | Refusal {
  return session.queue.find((queued) => queued.messageId === messageId)
    ?? refuse('message_not_found', `no message ${messageId} waits in this session's queue`, { messageId, status: statusOf(session) });
}

function queueReply(session: Session): QueueReply {
  return { revision: session.revision, held: session.queueHeld, messageIds: session.queue.map(({ messageId }) => messageId) };
}
