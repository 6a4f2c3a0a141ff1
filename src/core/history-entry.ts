import type { Delivery } from './operation.ts';

/** The history was shortened. What was cut off can be brought back until the conversation goes on; then it is a branch. */
export interface HistoryRewound {
  readonly kind: 'history-rewound';
  /** The last turn that stays; null: none does. */
  readonly toTurnId: string | null;
  /** Id of the branch that it becomes. */
  readonly branchId: string;
  readonly fromTurnId: string;
  readonly turns: number;
  /** What was cut off. */
  readonly intervals: readonly Interval[];
  /** What the model is still to be given of results in the history that stays. */
  readonly deliveries: readonly Delivery[];
  /** The present node in it. Absent, here and in the other moves: no node was ever entered. */
  readonly node?: string | null;
}

/** What rewinding cut off is visible again. */
export interface HistoryRedone {
  readonly kind: 'history-redone';
  readonly turns: number;
  readonly deliveries: readonly Delivery[];
  readonly node?: string | null;
}

/** A discarded future is the present history again. What was visible in its place has been discarded in the same commit. */
export interface BranchRestored {
  readonly kind: 'branch-restored';
  readonly branchId: string;
  readonly turns: number;
  readonly visible: readonly Interval[];
  readonly deliveries: readonly Delivery[];
  readonly node?: string | null;
}

/** A part of the history that was left: it stays in the log and is listed. */
export interface BranchDiscarded {
  readonly kind: 'branch-discarded';
  readonly branchId: string;
  /** null: no turn is in it, only state. */
  readonly fromTurnId: string | null;
  readonly intervals: readonly Interval[];
  readonly turns: number;
  /** The history that it followed on. Older versions did not say: it is what is visible before it. */
  readonly before?: readonly Interval[];
  /** Results that were given in it and whose calls are not in it: the model is given them again. */
  readonly deliveries?: readonly Delivery[];
  /** The present node without it. Absent: the same as with it. */
  readonly node?: string | null;
}

/** A stretch of the log, both ends included. `toSeq: null` reaches to the log's end. */
export interface Interval {
  readonly fromSeq: number;
  readonly toSeq: number | null;
}
