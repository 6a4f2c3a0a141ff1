import type { Entry, EntryOf, ToolCallPart } from '../../core/entry.ts';
import type { WorkPlace } from './execution-journal.ts';
import type { LogStep, LogTurn } from './log-turns.ts';
import type { RecordedCall, Recording } from './recording.ts';

/** What a log says of one call beside its step and its result. */
export interface CallEntries {
  readonly opened: readonly EntryOf<'action-opened'>[];
  readonly resolved: readonly EntryOf<'action-resolved'>[];
  readonly started: readonly EntryOf<'operation-started'>[];
  readonly ended: readonly EntryOf<'operation-ended'>[];
  readonly delivered: readonly EntryOf<'operation-result'>[];
  readonly late: readonly EntryOf<'late-result'>[];
}

type CallEntry = CallEntries[keyof CallEntries][number];

const listOf: Readonly<Record<CallEntry['kind'], keyof CallEntries>> = {
  'action-opened': 'opened', 'action-resolved': 'resolved', 'operation-started': 'started', 'operation-ended': 'ended', 'operation-result': 'delivered', 'late-result': 'late',
};

const nothing: CallEntries = { opened: [], resolved: [], started: [], ended: [], delivered: [], late: [] };

/** Entries of a log by the call that they are about. */
export class CallLog {
  readonly #calls = new Map<string, { [List in keyof CallEntries]: CallEntries[List][number][] }>();

  constructor(entries: readonly Entry[]) {
    for (const entry of entries) {
      if (!isCallEntry(entry)) continue;
      const key = keyOf(entry.stepSeq, entry.kind === 'late-result' ? entry.result.index : entry.index);
      const call = this.#calls.get(key) ?? { opened: [], resolved: [], started: [], ended: [], delivered: [], late: [] };
      this.#calls.set(key, call);
      (call[listOf[entry.kind]] as CallEntry[]).push(entry);
    }
  }

  of(stepSeq: number, index: number): CallEntries {
    return this.#calls.get(keyOf(stepSeq, index)) ?? nothing;
  }

  /** Calls that entries are about and that are none of these. */
  othersThan(calls: readonly PlacedCall[]): readonly string[] {
    const known = new Set(calls.map(({ step, part }) => keyOf(step.seq, part.index)));
    return [...this.#calls.keys()].filter((key) => !known.has(key));
  }
}

function keyOf(stepSeq: number, index: number): string {
  return `${stepSeq}/${index}`;
}

function isCallEntry(entry: Entry): entry is CallEntry {
  return Object.hasOwn(listOf, entry.kind);
}

/** A call of the log at the place of a recorded one. */
export interface PlacedCall {
  readonly where: string;
  readonly place: WorkPlace;
  readonly step: LogStep;
  readonly part: ToolCallPart;
  readonly recorded: RecordedCall;
  readonly entries: CallEntries;
}

/** The calls of a log that were recorded; what the others are, the comparison of the transcript says. */
export function placedCalls(recording: Recording, turns: readonly LogTurn[], places: ReadonlyMap<number, WorkPlace>, log: CallLog): readonly PlacedCall[] {
  return turns.flatMap(({ steps }) => steps).flatMap((step) => step.calls.flatMap((part): PlacedCall[] => {
    const place = places.get(step.seq);
    const recorded = place === undefined ? undefined : recording.turns[place.turn]?.steps[place.step]?.calls[part.index];
    if (place === undefined || recorded === undefined) return [];
    return [{ where: whereOf(place, part.index, part.toolName), place, step, part, recorded, entries: log.of(step.seq, part.index) }];
  }));
}

export function whereOf({ turn, step }: WorkPlace, index: number, toolName: string): string {
  return `turn ${turn}, step ${step}, call ${index} (${toolName})`;
}
