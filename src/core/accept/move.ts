import type { Draft, Loaded } from '../draft.ts';
import type { Interval } from '../entry.ts';
import { refuse, type Refusal } from '../errors.ts';
import { markOf, movedNode, turnBounds, turnsIn, undelivered, type Mark, type TurnBounds } from '../history.ts';
import { cutBefore, isVisible } from '../intervals.ts';
import { limits } from '../limits.ts';
import type { Delivery } from '../operation.ts';
import { isAtRest, statusOf } from '../session.ts';
import { stopTurn } from './stop.ts';
import { refuseEnded } from './transition.ts';

/** What every move through a session's history takes. */
export interface MoveOptions {
  /** End the running turn first; without it a busy session refuses. */
  readonly stop?: boolean;
  /** Let operations of the turns that are left go on; their results are kept with them. Else they are cancelled. */
  readonly keepOperations?: boolean;
}

/** Makes a session ready to be moved in: not ended, at rest. Returns a refusal, or null. */
export function readyToMove(draft: Draft, loaded: Loaded, what: string, { stop, keepOperations }: MoveOptions): Refusal | null {
  const ended = refuseEnded(draft.session, what);
  if (ended !== null) return ended;
  if (isAtRest(draft.session)) return null;
  if (stop !== true) {
    const status = statusOf(draft.session);
    return refuse('session_busy', `a turn is ${status}; stop it first, or say stop: true`, { status, turnId: draft.session.turn?.id });
  }
  stopTurn(draft, loaded, { startsNext: false, ...(keepOperations === undefined ? {} : { keepOperations }) });
  return null;
}

/** At rest after a stop, messages that waited for the turn to end were said of another future: they wait on until somebody releases them. */
export function holdWaiting(draft: Draft): void {
  const { queue, queueHeld } = draft.session;
  if (queue.length > 0 && !queueHeld) draft.append({ kind: 'queue-held' });
}

/** The marks of the history, with those that the draft has added. */
export function marksOf(draft: Draft, loaded: Loaded): readonly Mark[] {
  const added = draft.entries.flatMap((entry): readonly Mark[] => {
    const mark = markOf(entry);
    return mark === null ? [] : [{ seq: entry.seq, mark }];
  });
  return [...(loaded.marks ?? []), ...added];
}

/** Where a visible turn is. */
export function findVisibleTurn(draft: Draft, marks: readonly Mark[], turnId: string): TurnBounds | Refusal {
  const bounds = turnBounds(marks, turnId);
  if (bounds === null || !isVisible(draft.session.visible, bounds.beginSeq)) {
    return refuse('turn_not_found', `there is no turn ${turnId} in the visible history${bounds === null ? '' : '; it is in a branch: restore that first'}`, { turnId });
  }
  return bounds;
}

export interface Rewinding {
  /** Turns that are no longer visible. */
  readonly turns: number;
  /** What is no longer visible. */
  readonly intervals: readonly Interval[];
}

/** Shortens the history to what lies before a seq. Nothing is cut where no turn lies after it. */
export function rewindBefore(draft: Draft, loaded: Loaded, seq: number, branchId: string, { keepOperations }: MoveOptions): Rewinding | Refusal {
  const { kept, cut } = cutBefore(draft.session.visible, seq, draft.session.lastSeq);
  const marks = marksOf(draft, loaded);
  const turns = turnsIn(marks, cut);
  const [fromTurnId] = turns;
  if (fromTurnId === undefined) return { turns: 0, intervals: [] };
  const full = refuseMoreBranches(draft);
  if (full !== null) return full;
  leaveOperations(draft, cut, keepOperations);
  const deliveries = deliveriesIn(draft, marksOf(draft, loaded), kept);
  draft.append({ kind: 'history-rewound', toTurnId: turnsIn(marks, kept).at(-1) ?? null, branchId, fromTurnId, turns: turns.length, intervals: cut, deliveries, ...movedNode(marks, kept) });
  return { turns: turns.length, intervals: cut };
}

/** A rewinding may become a branch, and a future that is left is one. */
export function refuseMoreBranches(draft: Draft): Refusal | null {
  if (draft.session.branches < limits.branchesMax) return null;
  return refuse('branches_full', `the session has ${limits.branchesMax} branches, the most it may have`, { max: limits.branchesMax });
}

/** Cancels the operations that live of calls in a part of the history that is left. */
export function leaveOperations(draft: Draft, left: readonly Interval[], keepOperations: boolean | undefined): void {
  if (keepOperations === true) return;
  draft.cancelOperations(draft.session.operations.filter(({ stepSeq }) => isVisible(left, stepSeq)));
}

/** The results that wait for the model in a history. Those that waited already keep the turn that they are to open; others wait for the next message, but for those that came while their call was left. */
export function deliveriesIn(draft: Draft, marks: readonly Mark[], visible: readonly Interval[], mintTurnId: (() => string) | null = null): readonly Delivery[] {
  const waiting = new Map(draft.session.deliveries.map(({ operationId, turnId }) => [operationId, turnId]));
  return undelivered(marks, visible, (operationId) => (waiting.has(operationId) ? (waiting.get(operationId) ?? null) : (mintTurnId?.() ?? null)));
}
