import { createHash } from 'node:crypto';
import type { CallResult, Entry, EntryOf, MessagePart, StepPart, ToolCallPart } from '../../core/entry.ts';
import { isVisible } from '../../core/intervals.ts';
import type { Session } from '../../core/session.ts';

/** A turn as the log's visible history has it. */
export interface LogTurn {
  readonly turnId: string;
  readonly origin: 'message' | 'greeting' | 'operation' | 'compaction';
  /** null: no user message opened it. */
  readonly user: readonly MessagePart[] | null;
  readonly messageId: string | null;
  readonly steps: readonly LogStep[];
  /** What came after its last step. */
  readonly joinedLast: readonly Joined[];
  readonly end: EntryOf<'turn-ended'> | null;
}

/** What came into a turn while it ran. */
export type Joined = EntryOf<'user-message'> | EntryOf<'operation-result'>;

export interface LogStep {
  readonly seq: number;
  readonly atMs: number;
  readonly parts: readonly StepPart[];
  readonly texts: readonly string[];
  readonly calls: readonly ToolCallPart[];
  /** It said nothing and called nothing, so that it is in no prompt. */
  readonly isSilent: boolean;
  /** Results by call index; null while there are none. */
  readonly results: readonly CallResult[] | null;
  readonly resultsAtMs: number;
  /** Tries that it took, with those that failed or were lost before it. */
  readonly attempts: number;
  /** What came since the step before. */
  readonly joined: readonly Joined[];
}

interface OpenTurn extends Pick<LogTurn, 'turnId' | 'origin' | 'user' | 'messageId'> {
  readonly steps: LogStep[];
  end: LogTurn['end'];
  /** Since the last step. */
  tries: number;
  joinedLast: Joined[];
}

/** The visible turns of a log, in order. */
export function logTurns(entries: readonly Entry[], { visible }: Pick<Session, 'visible'>): readonly LogTurn[] {
  const turns: OpenTurn[] = [];
  const open = (opening: Pick<LogTurn, 'turnId' | 'origin' | 'user' | 'messageId'>): void => {
    turns.push({ ...opening, steps: [], end: null, tries: 0, joinedLast: [] });
  };
  for (const entry of entries) {
    if (!isVisible(visible, entry.seq)) continue;
    if (entry.kind === 'user-message' && entry.steered !== true) open({ turnId: entry.turnId, origin: 'message', user: entry.parts, messageId: entry.messageId });
    else if (entry.kind === 'turn-started') open({ turnId: entry.turnId, origin: entry.origin, user: null, messageId: null });
    else {
      const turn = turns.at(-1);
      if (turn !== undefined && 'turnId' in entry && entry.turnId === turn.turnId) addTo(turn, entry);
    }
  }
  return turns;
}

function addTo(turn: OpenTurn, entry: Entry): void {
  if (entry.kind === 'attempt-failed' || entry.kind === 'attempt-lost' || entry.kind === 'attempt-stopped') turn.tries += 1;
  else if (entry.kind === 'turn-ended') turn.end = entry;
  else if (entry.kind === 'user-message' || entry.kind === 'operation-result') turn.joinedLast.push(entry);
  else if (entry.kind === 'tool-results') {
    const place = turn.steps.findLastIndex(({ seq }) => seq === entry.stepSeq);
    const step = turn.steps[place];
    if (step !== undefined) turn.steps[place] = { ...step, results: entry.results, resultsAtMs: entry.atMs };
  } else if (entry.kind === 'assistant-step') {
    turn.steps.push({
      seq: entry.seq, atMs: entry.atMs, parts: entry.parts, results: null, resultsAtMs: 0, attempts: turn.tries + 1, joined: turn.joinedLast,
      texts: entry.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])),
      calls: entry.parts.flatMap((part) => (part.type === 'tool-call' ? [part] : [])),
      isSilent: entry.parts.every((part) => part.type === 'text' && part.text === ''),
    });
    turn.tries = 0;
    turn.joinedLast = [];
  }
}

/** Tells one entry from any other, so that a change of it is seen. */
export function digestOf(entry: Entry): string {
  return createHash('sha256').update(JSON.stringify(entry)).digest('base64url');
}
