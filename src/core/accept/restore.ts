import { isWrittenIn, movedNode, turnsIn } from '../history.ts';
import { refuse } from '../errors.ts';
import { closedAt, cutBefore, joined, leavesAt } from '../intervals.ts';
import { deliveriesIn, holdWaiting, leaveOperations, marksOf, readyToMove, type MoveOptions } from './move.ts';
import type { MoveReply } from './rewind.ts';
import type { Accept } from './transition.ts';

export interface RestoreCommand extends MoveOptions {
  readonly branchId: string;
}

/**
 * Makes a discarded future the present history again, as it was when it was left. What is visible in its place, and what rewinding had cut off, are branches then. Results of detached operations that came while
 * their calls were left are given to the model now, once. Reads the marks and the branch, and what the work in flight has come to.
 */
export function acceptRestore({ branchId, ...options }: RestoreCommand): Accept<MoveReply> {
  return (draft, { mintId }, loaded) => {
    const refused = readyToMove(draft, loaded, 'restoring', options);
    if (refused !== null) return refused;
    const branch = loaded.branch ?? null;
    if (branch === null) return refuse('branch_not_found', `the session has no branch ${branchId}; it may have been restored already`, { branchId });
    draft.fileRewound();
    const marks = marksOf(draft, loaded);
    const target = joined(branch.before, branch.intervals);
    const present = closedAt(draft.session.visible, draft.session.lastSeq);
    const leavesAtSeq = leavesAt(present, target);
    const { cut } = leavesAtSeq === null ? { cut: [] } : cutBefore(present, leavesAtSeq, draft.session.lastSeq);
    const left = turnsIn(marks, cut);
    const [fromTurnId = null] = left;
    const leaves = fromTurnId !== null || isWrittenIn(marks, cut);
    if (leavesAtSeq !== null && leaves) {
      leaveOperations(draft, cut, options.keepOperations);
      draft.discardFrom(leavesAtSeq, fromTurnId, left.length, mintId('br'));
    }
    draft.restoreBranch(branch, target, deliveriesIn(draft, marksOf(draft, loaded), target, () => mintId('turn')), movedNode(marks, target));
    holdWaiting(draft);
    draft.startDelivery();
    draft.rest();
    return { revision: draft.session.revision, turns: branch.turns, left: leaves ? cut : [] };
  };
}
