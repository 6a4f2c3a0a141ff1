import type { Entry, Interval } from './entry.ts';
import { isVisible } from './intervals.ts';
import type { Delivery, OperationEnded } from './operation.ts';

/** A discarded future of a session: what was visible after a point of its history, until the conversation went another way (G10). */
export interface Branch {
  readonly id: string;
  readonly discardedAtMs: number;
  /** The first turn in it; null: nothing but state was written in it. */
  readonly fromTurnId: string | null;
  readonly turns: number;
  /** The history that it followed on. */
  readonly before: readonly Interval[];
  /** The history that it is. */
  readonly intervals: readonly Interval[];
}

/** What a rewinding cut off, as long as it can be brought back by `redo`: the conversation has not gone on. */
export interface Rewound {
  /** Of the branch that it becomes. */
  readonly branchId: string;
  readonly fromTurnId: string;
  readonly turns: number;
  readonly intervals: readonly Interval[];
}

/**
 * A name under which an entry is found without reading the log: where turns begin and end, and what became of results that are delivered apart from their calls. The store keeps it beside the entry.
 */
export interface Mark {
  readonly seq: number;
  readonly mark: string;
}

/** The marks from a name on up to before another. */
export interface MarkRange {
  readonly from: string;
  readonly before: string;
}

/** Marks of the history sort between these two. */
export const historyMarks: MarkRange = { from: 'h.', before: 'h/' };

/** A message as it waited, by its own id: not a mark of the history. */
const queued = 'q:';
/** What was made of a turn beside the history: the session's title, and the turn's summary. */
const titles = 'l.t:';
const summaries = 'l.s:';
const begins = 'h.b:';
const ends = 'h.e:';
/** A detached operation has ended with something that the model is to hear of: its id, and the step of its call. One that was cancelled because its turn was left has nothing. */
const resultKnown = 'h.o:';
/** The model was given an operation's result. */
const resultGiven = 'h.d:';

/** The history before it was compacted: as somebody asked, in a turn of its own, or in the middle of a turn. */
const compactedAsked = 'h.c:';
const compactedWithin = 'h.c+';

/** A key of the conversation's state was set, or deleted. */
const stateSet = 'h.s+';
const stateDeleted = 'h.s-';

/** A node was entered. */
const nodeEntered = 'h.n:';

/** Marks of the conversation's state sort between these two. */
export const stateMarks: MarkRange = { from: stateSet, before: 'h.s.' };

/** Where the marks of one key are: those that set it, and those that delete it. `from` is the mark itself. */
export function stateMarksOfKey(key: string): readonly MarkRange[] {
  // No key has a NUL, so nothing sorts between a key and itself with the next character after it.
  return [stateSet, stateDeleted].map((kind) => ({ from: kind + key, before: `${kind}${key}\u0001` }));
}

/** What a mark says of the conversation's state; null: it is no mark of it. */
export function stateMarkOf(mark: string): { readonly key: string; readonly isSet: boolean } | null {
  const isSet = mark.startsWith(stateSet);
  return isSet || mark.startsWith(stateDeleted) ? { key: mark.slice(stateSet.length), isSet } : null;
}

/** The mark of an entry; null: it has none. */
export function markOf(entry: Entry): string | null {
  switch (entry.kind) {
    case 'user-message':
      return entry.steered === true ? null : begins + entry.turnId;
    case 'message-queued':
      return queued + entry.messageId;
    case 'turn-started':
      return begins + entry.turnId;
    case 'turn-ended':
      return ends + entry.turnId;
    case 'operation-ended':
      return entry.mode === 'detach' && entry.result !== undefined ? knownMark(entry) : null;
    case 'operation-result':
      return resultGiven + entry.operationId;
    case 'history-compacted':
      return (entry.trigger === 'manual' ? compactedAsked : compactedWithin) + entry.turnId;
    case 'title-set':
      return entry.turnId === undefined ? null : titles + entry.turnId;
    case 'summary-set':
      return summaries + entry.turnId;
    case 'state-changed':
      return (entry.deleted === true ? stateDeleted : stateSet) + entry.key;
    case 'node-entered':
      return nodeEntered + entry.node;
    default:
      return null;
  }
}

function knownMark({ operationId, stepSeq }: Pick<OperationEnded, 'operationId' | 'stepSeq'>): string {
  return `${resultKnown}${operationId}:${stepSeq}`;
}

/** The marks of the entries that hold the result of a detached operation: as it ended, and as the model was given it. */
export function resultMarks(operation: Pick<OperationEnded, 'operationId' | 'stepSeq'>): readonly string[] {
  return [knownMark(operation), resultGiven + operation.operationId];
}

/** The mark of a message as it was queued. */
export function queuedMark(messageId: string): string {
  return queued + messageId;
}

/** The marks of what was made of a turn beside the history. */
export function labelMarks(turnId: string): readonly string[] {
  return [titles + turnId, summaries + turnId];
}

/** The mark of the entry that a turn begins with. */
export function turnBeginMark(turnId: string): string {
  return begins + turnId;
}

/** Where the first turn begins that begins in a history after a seq; null: none does. */
export function nextTurnSeq(marks: readonly Mark[], visible: readonly Interval[], afterSeq: number): number | null {
  const begun = marks.filter(({ seq, mark }) => seq > afterSeq && mark.startsWith(begins) && isVisible(visible, seq)).map(({ seq }) => seq);
  return begun.length === 0 ? null : Math.min(...begun);
}

/** Whether something was done in a stretch of the log that needs no turn: state was written, a node was entered. */
export function isWrittenIn(marks: readonly Mark[], intervals: readonly Interval[]): boolean {
  return marks.some(({ seq, mark }) => (stateMarkOf(mark) !== null || mark.startsWith(nodeEntered)) && isVisible(intervals, seq));
}

/** Whether an entry belongs to the turn before it although that has ended: what was written between two turns stays with the first. */
export function isBetweenTurns(entry: Pick<Entry, 'kind'> & { readonly turnId?: string | undefined }): boolean {
  return entry.kind === 'state-changed' || (entry.kind === 'node-entered' && entry.turnId === undefined);
}

/** The present node in a history; null: none was entered in it. */
export function nodeIn(marks: readonly Mark[], visible: readonly Interval[]): string | null {
  const entered = marks.filter(({ seq, mark }) => mark.startsWith(nodeEntered) && isVisible(visible, seq));
  return entered.toSorted((left, right) => left.seq - right.seq).at(-1)?.mark.slice(nodeEntered.length) ?? null;
}

/** What an entry of a move says of the node in the history that it makes visible. */
export function movedNode(marks: readonly Mark[], visible: readonly Interval[]): { readonly node?: string | null } {
  return marks.some(({ mark }) => mark.startsWith(nodeEntered)) ? { node: nodeIn(marks, visible) } : {};
}

/** Whether a node was entered in a history. */
export function wasEntered(marks: readonly Mark[], visible: readonly Interval[], node: string): boolean {
  return marks.some(({ seq, mark }) => mark === nodeEntered + node && isVisible(visible, seq));
}

/** Where summaries are that stand for an entry, visible or not. */
export function summariesOf(marks: readonly Mark[], seq: number): readonly number[] {
  return marks.filter(({ seq: at, mark }) => at > seq && (mark.startsWith(compactedAsked) || mark.startsWith(compactedWithin))).map(({ seq: at }) => at);
}

/** Whether something may have been said in a history since it was last compacted. A turn that compacted it in its middle has gone on. */
export function compactableAfter(marks: readonly Mark[], visible: readonly Interval[]): boolean {
  const last = marks.findLast(({ seq, mark }) => isVisible(visible, seq) && (mark.startsWith(compactedAsked) || mark.startsWith(compactedWithin)));
  return last?.mark.startsWith(compactedWithin) === true || nextTurnSeq(marks, visible, last?.seq ?? 0) !== null;
}

export interface TurnBounds {
  readonly beginSeq: number;
  /** null: it is open. */
  readonly endSeq: number | null;
}

/** Where a turn begins and ends; null: there is no such turn. */
export function turnBounds(marks: readonly Mark[], turnId: string): TurnBounds | null {
  const begin = marks.find(({ mark }) => mark === begins + turnId);
  if (begin === undefined) return null;
  return { beginSeq: begin.seq, endSeq: marks.find(({ mark }) => mark === ends + turnId)?.seq ?? null };
}

/** The turns that begin in a stretch of the log, in order. */
export function turnsIn(marks: readonly Mark[], intervals: readonly Interval[]): readonly string[] {
  return marks.filter(({ seq, mark }) => mark.startsWith(begins) && isVisible(intervals, seq)).sort((left, right) => left.seq - right.seq).map(({ mark }) => mark.slice(begins.length));
}

/**
 * The results of detached operations that the model is still to be given in a history: those whose calls are visible and which no visible entry gives. So a result belongs to the branch that holds its
 * call, whatever was discarded and restored meanwhile. `turnIdOf` says which turn a result opens at rest; null: it waits for the next one.
 */
export function undelivered(marks: readonly Mark[], visible: readonly Interval[], turnIdOf: (operationId: string) => string | null): readonly Delivery[] {
  const given = new Set(marks.filter(({ seq, mark }) => mark.startsWith(resultGiven) && isVisible(visible, seq)).map(({ mark }) => mark.slice(resultGiven.length)));
  return marks.flatMap(({ seq, mark }): readonly Delivery[] => {
    if (!mark.startsWith(resultKnown)) return [];
    const [operationId = '', stepSeq = ''] = mark.slice(resultKnown.length).split(':');
    if (given.has(operationId) || !isVisible(visible, Number(stepSeq))) return [];
    return [{ operationId, seq, stepSeq: Number(stepSeq), turnId: turnIdOf(operationId) }];
  });
}
