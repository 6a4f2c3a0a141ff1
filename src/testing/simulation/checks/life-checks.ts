import { entryFormats } from '../../../core/entry-format.ts';
import { awaitedOperations, dueAtMs, openActions, statusOf } from '../../../core/session.ts';
import type { Check, MakeCheck } from '../check.ts';

/** G7: after each commit a session that is not at rest has a worker, a time at which one looks at it, or something open that somebody can see and resolve. */
export const neverStuck: MakeCheck = (violated) => ({
  committed({ ref, session }) {
    if (session === null) return;
    if (session.turn === null) return void (session.claim !== null && violated('G7', `${ref.id} is at rest, and ${session.claim.worker} has it`));
    const isLookedAfter = session.claim !== null || dueAtMs(session) !== null || openActions(session.turn).length > 0 || awaitedOperations(session).length > 0;
    if (!isLookedAfter) violated('G7', `${ref.id} is ${statusOf(session)}, and has no worker, no due time, no open action and no operation`);
  },
});

/** G3: the commit that ends a turn starts the next message that waits: at rest, messages wait only where somebody holds them, in an archive, or after a failure. */
export const queueGoesOn: MakeCheck = (violated) => ({
  committed({ ref, session }) {
    if (session === null || session.turn !== null || session.queue.length === 0) return;
    if (!session.queueHeld && !session.archived && session.lastTurn?.reason !== 'failed') violated('G3', `${ref.id} is at rest (${session.lastTurn?.reason}), and ${session.queue.length} messages wait`);
  },
});

/** G9: when a turn is over, nothing of it comes any more but what is kept beside the history. */
export const endedIsOver: MakeCheck = (violated): Check => {
  const over = new Map<string, Set<string>>();
  /** Of messages that were queued, the turn of each. */
  const waiting = new Map<string, string>();
  return {
    committed({ ref, before, session, added }) {
      if (before === null || session === null) over.delete(ref.id);
      if (session === null) return;
      const ended = over.get(ref.id) ?? new Set();
      over.set(ref.id, ended);
      for (const entry of added) {
        if (entry.kind === 'message-queued') waiting.set(entry.messageId, entry.turnId);
        // A message that was taken from the queue never has its turn.
        else if (entry.kind === 'message-unqueued') ended.add(waiting.get(entry.messageId) ?? '');
        else if (entry.kind === 'turn-ended' && !ended.has(entry.turnId)) ended.add(entry.turnId);
        else if (entryFormats[entry.kind]?.place === 'timeline' && 'turnId' in entry && entry.turnId !== undefined && ended.has(entry.turnId)) {
          violated('G9', `${ref.id}: ${entry.kind} (${entry.seq}) is of turn ${entry.turnId}, which is over`);
        }
      }
    },
    /** What an acknowledged stop says it has stopped is over at that time. */
    answered({ request, status, body }) {
      const id = /^\/v1\/sessions\/(ses_[^/?]+)\/stop$/.exec(request.path)?.[1];
      if (id === undefined || status >= 300) return;
      const { stopped, turnId } = body as { readonly stopped: boolean; readonly turnId: string | null };
      if (stopped && turnId !== null && over.get(id)?.has(turnId) === false) violated('G9', `${request.id}: turn ${turnId} of ${id} was stopped, and is not over`);
    },
  };
};
