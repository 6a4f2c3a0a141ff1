import type { Entry, EntryOf } from './entry.ts';
import { isVisible } from './intervals.ts';
import type { Interval } from './history-entry.ts';

/**
 * What is wrong with the calls of a log: each has exactly one result, and only the step that an open turn stands at may still wait for its own (G8). `openStepSeq` is that step; null: no turn is open. Empty: nothing is.
 */
export function callFaults(entries: readonly Entry[], openStepSeq: number | null): readonly string[] {
  const steps = new Map<number, readonly number[]>();
  const faults: string[] = [];
  for (const entry of entries) {
    if (entry.kind === 'assistant-step') steps.set(entry.seq, callIndexes(entry));
    if (entry.kind !== 'tool-results') continue;
    const calls = steps.get(entry.stepSeq);
    const answered = entry.results.map(({ index }) => index).sort((left, right) => left - right);
    steps.delete(entry.stepSeq);
    if (calls === undefined) faults.push(`entry ${entry.seq} answers step ${entry.stepSeq}, which is no step or is answered already`);
    else if (calls.join() !== answered.join()) faults.push(`step ${entry.stepSeq} has the calls ${calls.join(', ')}; entry ${entry.seq} answers ${answered.join(', ')}`);
  }
  for (const [seq, calls] of steps) {
    if (calls.length > 0 && openStepSeq !== seq) faults.push(`the calls ${calls.join(', ')} of step ${seq} have no result`);
  }
  return faults;
}

/** What is wrong with a history of a log: a step is in it and its results are not, or the other way round. */
export function historyFaults(entries: readonly Entry[], history: readonly Interval[]): readonly string[] {
  return entries.flatMap((entry) => (entry.kind === 'tool-results' && isVisible(history, entry.seq) !== isVisible(history, entry.stepSeq)
    ? [`a history has step ${entry.stepSeq} or its results at ${entry.seq}, and not both`] : []));
}

/** Why an entry cannot be where it is: it names places of the log that are not before it, or hold something else. null: it can. `entries` is the log, in order from seq 1. */
export function placeFault(entries: readonly Entry[], entry: Entry): string | null {
  const histories = [...('intervals' in entry ? [entry.intervals] : []), ...('before' in entry && entry.before !== undefined ? [entry.before] : []), ...('visible' in entry ? [entry.visible] : [])];
  if (!histories.every((history) => isHistoryBefore(history, entry.seq))) return 'its intervals are no history of what comes before it';
  const deliveries = 'deliveries' in entry ? (entry.deliveries ?? []) : [];
  const wrong = deliveries.find(({ seq, operationId }) => !isEndOf(seq < entry.seq ? entries[seq - 1] : undefined, operationId));
  if (wrong !== undefined) return `it waits for the result of operation ${wrong.operationId} at ${wrong.seq}, where none is`;
  return null;
}

/** Closed stretches before `seq`, in order, that do not overlap. */
function isHistoryBefore(history: readonly Interval[], seq: number): boolean {
  return history.every(({ fromSeq, toSeq }, place) => toSeq !== null && fromSeq <= toSeq && toSeq < seq && fromSeq > (history[place - 1]?.toSeq ?? 0));
}

function isEndOf(entry: Entry | undefined, operationId: string): boolean {
  return entry?.kind === 'operation-ended' && entry.operationId === operationId;
}

/** What is wrong with the summaries of a log: each stands for what is before it, with calls and their results on one side; what it keeps are messages (G8). */
export function summaryFaults(entries: readonly Entry[]): readonly string[] {
  return entries.flatMap((entry): readonly string[] => {
    if (entry.kind !== 'history-compacted') return [];
    const { seq, throughSeq, keeps } = entry;
    const split = entries.find((each) => each.kind === 'tool-results' && each.seq < seq && each.stepSeq <= throughSeq && each.seq > throughSeq);
    const notKept = keeps.find((kept) => kept > throughSeq || entries[kept - 1]?.kind !== 'user-message');
    return [
      ...(throughSeq > 0 && throughSeq < seq ? [] : [`entry ${seq} stands for the history up to entry ${throughSeq}, which is not before it`]),
      ...(split === undefined ? [] : [`entry ${seq} stands for the history up to entry ${throughSeq}, which comes between calls and their results (entry ${split.seq})`]),
      ...(notKept === undefined ? [] : [`entry ${seq} keeps entry ${notKept}, which is no message that it stands for`]),
    ];
  });
}

function callIndexes(step: EntryOf<'assistant-step'>): readonly number[] {
  return step.parts.flatMap((part) => (part.type === 'tool-call' && part.providerExecuted !== true ? [part.index] : [])).sort((left, right) => left - right);
}
