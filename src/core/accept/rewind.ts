import { isRefusal } from '../errors.ts';
import { movedNode, nextTurnSeq } from '../history.ts';
import { joined } from '../intervals.ts';
import type { Interval } from '../entry.ts';
import { deliveriesIn, findVisibleTurn, holdWaiting, marksOf, readyToMove, rewindBefore, type MoveOptions } from './move.ts';
import type { Accept } from './transition.ts';

export interface RewindCommand extends MoveOptions {
  /** The last turn that stays; null: none does. */
  readonly turnId: string | null;
}

export interface MoveReply {
  readonly revision: number;
  /** Turns that are no longer visible, or are so again. */
  readonly turns: number;
  /** What is no longer visible, for the list of effects. */
  readonly left: readonly Interval[];
}

/**
 * Shortens the visible history to a turn; what comes after it can be brought back by `redo` until the conversation goes on, and is a branch then. Reads the marks, and what the work in flight has come to. Where
 * nothing comes after it, nothing changes.
 */
export function acceptRewind({ turnId, ...options }: RewindCommand): Accept<MoveReply> {
  return (draft, { mintId }, loaded) => {
    const refused = readyToMove(draft, loaded, 'rewinding', options);
    if (refused !== null) return refused;
    const marks = marksOf(draft, loaded);
    const bounds = turnId === null ? null : findVisibleTurn(draft, marks, turnId);
    if (isRefusal(bounds)) return bounds;
    // What was written of the state between two turns stays with the first, as it does when the second is edited.
    const endSeq = bounds === null ? 0 : (bounds.endSeq ?? draft.session.lastSeq);
    const seq = nextTurnSeq(marks, draft.session.visible, endSeq) ?? draft.session.lastSeq + 1;
    const rewinding = rewindBefore(draft, loaded, seq, mintId('br'), options);
    if (isRefusal(rewinding)) return rewinding;
    const changesNothing = rewinding.turns === 0 && draft.session === loaded.session;
    if (!changesNothing) {
      holdWaiting(draft);
      draft.rest();
    }
    return { revision: draft.session.revision, turns: rewinding.turns, left: rewinding.intervals };
  };
}

/** Brings back what rewinding cut off. Where there is nothing to bring back, nothing changes. Reads the marks. */
export function acceptRedo(): Accept<MoveReply> {
  return (draft, _circumstances, loaded) => {
    const refused = readyToMove(draft, loaded, 'redoing', {});
    if (refused !== null) return refused;
    const { rewound, visible } = draft.session;
    if (rewound === null) return { revision: draft.session.revision, turns: 0, left: [] };
    const marks = marksOf(draft, loaded);
    const redone = joined(visible, rewound.intervals);
    draft.append({ kind: 'history-redone', turns: rewound.turns, deliveries: deliveriesIn(draft, marks, redone), ...movedNode(marks, redone) });
    draft.rest();
    return { revision: draft.session.revision, turns: rewound.turns, left: [] };
  };
}
