import { limits } from '../../../core/limits.ts';
import type { MakeCheck } from '../check.ts';

/** G15: a message that comes to a full queue is refused, and takes no other's place. */
export const nobodyIsEvicted: MakeCheck = (violated, { plan }) => ({
  committed({ ref, before, added }) {
    // In a queue with room, one that comes and one that is deleted may be of the same group of commits.
    if (before === null || before.queue.length < limits.queueMessagesMax) return;
    // Nor are they told apart in a full one, where many commits waited for the file.
    if (plan.faults.some(({ kind }) => kind === 'locked' || kind === 'pause')) return;
    const comes = added.find((entry) => entry.kind === 'message-queued');
    const goes = added.find((entry) => entry.kind === 'message-unqueued');
    if (comes?.kind === 'message-queued' && goes?.kind === 'message-unqueued') violated('G15', `${ref.id}: message ${comes.messageId} is queued, and ${goes.messageId} leaves the full queue for it (${goes.reason})`);
  },
});
