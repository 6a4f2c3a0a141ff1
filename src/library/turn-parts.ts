import type { CallResult, Entry, ErrorInfo, TurnEndReason } from '../core/entry.ts';
import type { JsonValue } from '../core/json.ts';
import type { FeedEvent } from '../core/feed-event.ts';
import { remainderOf, type StreamSegment } from '../core/stream-parts.ts';

/** What a turn's stream yields. Text parts are additions; `retracted` takes back all additions since the last `step`. */
export type TurnPart =
  | { readonly type: 'text' | 'reasoning'; readonly text: string }
  | { readonly type: 'tool-input'; readonly toolCallId: string; readonly toolName: string; readonly text: string }
  | { readonly type: 'tool-call'; readonly toolCallId: string; readonly toolName: string; readonly input: JsonValue }
  | { readonly type: 'tool-result'; readonly result: CallResult }
  /** A generation is committed. */
  | { readonly type: 'step'; readonly seq: number }
  | { readonly type: 'retracted' }
  | { readonly type: 'retry'; readonly attempt: number; readonly delayMs: number; readonly reason: string }
  | { readonly type: 'end'; readonly reason: TurnEndReason; readonly error: ErrorInfo | null };

/** Turns a session's events into one turn's parts. Keeps what is needed to tell additions from repetitions. */
export class TurnPartReader {
  readonly #turnId: string;
  #attemptId: string | null = null;
  #isSeen = false;
  #queuedTurnIds: readonly string[] | null = null;
  #runningTurnId: string | null | undefined = undefined;
  #inputs = new Map<number, { readonly toolCallId: string; readonly toolName: string }>();

  constructor(turnId: string) {
    this.#turnId = turnId;
  }

  /** What the session says of itself leaves no place for the turn: it has not begun, does not wait, and never will begin. */
  get isGone(): boolean {
    const isKnown = this.#queuedTurnIds !== null && this.#runningTurnId !== undefined;
    return isKnown && !this.#isSeen && this.#runningTurnId !== this.#turnId && this.#queuedTurnIds?.includes(this.#turnId) === false;
  }

  /** The parts that the event adds. Events are read in order, from before the turn's first. */
  read(event: FeedEvent): readonly TurnPart[] {
    switch (event.type) {
      case 'chunk':
        if (event.turnId !== this.#turnId) return [];
        if (this.#attemptId !== event.attemptId) this.#inputs = new Map();
        this.#attemptId = event.attemptId;
        return event.segments.flatMap((segment) => this.#addition(segment));
      case 'chunk-retracted':
        if (this.#attemptId !== event.attemptId) return [];
        this.#attemptId = null;
        return [{ type: 'retracted' }];
      case 'entry':
        return 'turnId' in event.entry && event.entry.turnId === this.#turnId ? this.#entry(event.entry) : [];
      case 'queue':
        this.#queuedTurnIds = event.messages.map(({ turnId }) => turnId);
        return [];
      case 'status':
        this.#runningTurnId = event.turnId;
        return [];
      case 'retry':
        // Of whichever turn; the entry of the failed attempt says it of this one.
        return [];
    }
  }

  #addition({ part, type, text, toolCallId, toolName }: StreamSegment): readonly TurnPart[] {
    if (type !== 'tool-input') return text === '' ? [] : [{ type, text }];
    if (toolName !== undefined) this.#inputs.set(part, { toolCallId: toolCallId ?? '', toolName });
    const input = this.#inputs.get(part) ?? { toolCallId: '', toolName: '' };
    return text === '' ? [] : [{ type, ...input, text }];
  }

  #entry(entry: Entry): readonly TurnPart[] {
    if (entry.kind !== 'message-queued' && entry.kind !== 'queued-message-edited') this.#isSeen = true;
    switch (entry.kind) {
      case 'attempt-failed':
        return entry.retry === undefined ? [] : [{ type: 'retry', attempt: entry.attempt.number + 1, delayMs: entry.retry.delayMs, reason: entry.error.code }];
      case 'assistant-step': {
        // The feed has sent the rest of an attempt that was being shown; of any other, nothing has been.
        const additions = this.#attemptId === entry.attempt.id ? [] : remainderOf(entry, []).flatMap((segment) => this.#addition(segment));
        this.#attemptId = null;
        this.#inputs = new Map();
        const calls = entry.parts.flatMap((part): TurnPart[] => (part.type === 'tool-call' ? [{ type: 'tool-call', toolCallId: part.toolCallId, toolName: part.toolName, input: part.input }] : []));
        return [...additions, ...calls, { type: 'step', seq: entry.seq }];
      }
      case 'tool-results':
        return entry.results.map((result) => ({ type: 'tool-result', result }));
      case 'turn-ended':
        return [{ type: 'end', reason: entry.reason, error: entry.error ?? null }];
      default:
        return [];
    }
  }
}
