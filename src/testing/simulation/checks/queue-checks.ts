import { limits } from '../../../core/limits.ts';
import type { MakeCheck } from '../check.ts';

/** G15: a message that comes takes no other's place in the queue: a full queue refuses it. */
export const nobodyIsEvicted: MakeCheck = (violated) => ({
  committed({ ref, before, added }) {
    // Commits that come together are seen as one: only where the queue is full has a message that comes anything to do with one that goes.
    if (before === null || before.queue.length < limits.queueMessagesMax) return;
    const comes = added.find((entry) => entry.kind === 'message-queued');
    const goes = added.find((entry) => entry.kind === 'message-unqueued');
    if (comes?.kind === 'message-queued' && goes?.kind === 'message-unqueued') violated('G15', `${ref.id}: message ${comes.messageId} is queued, and ${goes.messageId} leaves the queue for it (${goes.reason})`);
  },
});
