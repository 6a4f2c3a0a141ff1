import { callOfAction, type OpenAction } from '../core/action.ts';
import { usageLimit } from '../core/budget.ts';
import type { CompactionTrigger } from '../core/compaction.ts';
import type { CallResult, Entry, EntryOf, ErrorInfo, TurnEndReason } from '../core/entry.ts';
import type { FeedEvent } from '../core/feed-event.ts';
import type { JsonValue } from '../core/json.ts';
import type { OperationView } from '../core/operation.ts';
import { remainderOf, type StreamSegment } from '../core/stream-parts.ts';
import { callIdOf } from '../core/transcript.ts';
import { viewsOf, type ActionView } from '../feed/action-view.ts';

/** What a turn's stream yields. Text parts are additions; `retracted` takes back all additions since the last `step`. */
export type TurnPart =
  | { readonly type: 'text' | 'reasoning'; readonly text: string }
  | { readonly type: 'tool-input'; readonly toolCallId: string; readonly toolName: string; readonly text: string }
  /** `callId` names the call in its session. */
  | { readonly type: 'tool-call'; readonly callId: string; readonly toolCallId: string; readonly toolName: string; readonly input: JsonValue }
  | { readonly type: 'tool-result'; readonly callId: string; readonly result: CallResult }
  /** A generation is committed. */
  | { readonly type: 'step'; readonly seq: number }
  | { readonly type: 'retracted' }
  /** The model sees a summary from here on in place of what came before. */
  | { readonly type: 'compaction'; readonly seq: number; readonly trigger: CompactionTrigger; readonly tokensBefore: number; readonly tokensAfter: number }
  | { readonly type: 'retry'; readonly attempt: number; readonly delayMs: number; readonly reason: string }
  /** What the turn waits for somebody to decide or to answer, all of it, each time that changes. */
  | { readonly type: 'action'; readonly actions: readonly ActionView[] }
  /** The operations of the turn that have not ended, all of them, each time one begins, gets on or ends. */
  | { readonly type: 'operation'; readonly operations: readonly OperationView[] }
  | { readonly type: 'end'; readonly reason: TurnEndReason; readonly error: ErrorInfo | null };

/** A message that is to join a turn, which runs. */
export interface SteeringMessage {
  readonly messageId: string;
  readonly turnId: string;
}

/** Turns a session's events into one turn's parts. Keeps what is needed to tell additions from repetitions. */
export class TurnPartReader {
  readonly #ownTurnId: string;
  readonly #steers: SteeringMessage | null;
  /** The turn that is read: that of the message, once it is in one. */
  #turnId: string | null;
  #attemptId: string | null = null;
  #isSeen = false;
  #queuedTurnIds: readonly string[] | null = null;
  #runningTurnId: string | null | undefined = undefined;
  #isPaused = false;
  #inputs = new Map<number, { readonly toolCallId: string; readonly toolName: string }>();
  #step: EntryOf<'assistant-step'> | null = null;
  /** Whether the last part of the kind named some. */
  #hasActions = false;
  #hasOperations = false;

  /** `steers`: the message may join that turn, and then it is that one that is read, from there on; else it opens `turnId`. */
  constructor(turnId: string, steers: SteeringMessage | null = null) {
    this.#ownTurnId = turnId;
    this.#steers = steers;
    this.#turnId = steers === null ? turnId : null;
  }

  /** What the session says of itself leaves no place for the turn: it has not begun, does not wait, and never will begin. */
  get isGone(): boolean {
    const isKnown = this.#queuedTurnIds !== null && this.#runningTurnId !== undefined;
    return isKnown && !this.#isSeen && this.#runningTurnId !== this.#ownTurnId && this.#queuedTurnIds?.includes(this.#ownTurnId) === false;
  }

  /** Nothing more comes until somebody has decided or answered. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Seq of the step that has to be given to {@link know} before the event can be read; null: none. */
  missingStep(event: FeedEvent): number | null {
    if (event.type !== 'action' || !this.#concerns(event.turnId)) return null;
    const stepSeq = callOfAction(event.actions[0]?.id ?? '')?.stepSeq ?? null;
    return stepSeq === this.#step?.seq ? null : stepSeq;
  }

  know(step: EntryOf<'assistant-step'>): void {
    this.#step = step;
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
        return this.#entry(event.entry);
      case 'queue':
        this.#queuedTurnIds = event.messages.map(({ turnId }) => turnId);
        return [];
      case 'action':
        return this.#concerns(event.turnId) ? this.#actions(event.actions) : [];
      case 'operation':
        return this.#operations(event.operations);
      case 'status':
        this.#runningTurnId = event.turnId;
        this.#isPaused = event.status === 'requires_action' && this.#concerns(event.turnId);
        return [];
      case 'retry':
        // Of whichever turn; the entry of the failed attempt, or of the budget, says it of this one.
        return [];
    }
  }

  /** Whether it is the turn that is read, or the one that the message waits to join. */
  #concerns(turnId: string | null): boolean {
    return turnId !== null && (turnId === this.#turnId || (this.#turnId === null && turnId === this.#steers?.turnId));
  }

  #addition({ part, type, text, toolCallId, toolName }: StreamSegment): readonly TurnPart[] {
    if (type !== 'tool-input') return text === '' ? [] : [{ type, text }];
    if (toolName !== undefined) this.#inputs.set(part, { toolCallId: toolCallId ?? '', toolName });
    const input = this.#inputs.get(part) ?? { toolCallId: '', toolName: '' };
    return text === '' ? [] : [{ type, ...input, text }];
  }

  #actions(open: readonly OpenAction[]): readonly TurnPart[] {
    if (open.length === 0 && !this.#hasActions) return [];
    this.#hasActions = open.length > 0;
    return [{ type: 'action', actions: viewsOf(open, this.#step === null ? [] : [this.#step]) }];
  }

  #operations(live: readonly OperationView[]): readonly TurnPart[] {
    const operations = live.filter(({ turnId }) => turnId === this.#turnId);
    if (operations.length === 0 && !this.#hasOperations) return [];
    this.#hasOperations = operations.length > 0;
    return [{ type: 'operation', operations }];
  }

  #entry(entry: Entry): readonly TurnPart[] {
    if (!('turnId' in entry) || entry.kind === 'message-queued' || entry.kind === 'queued-message-edited') return [];
    if (entry.kind === 'user-message' && entry.messageId === this.#steers?.messageId) this.#turnId = entry.turnId;
    if (entry.turnId !== this.#turnId) return [];
    this.#isSeen = true;
    switch (entry.kind) {
      case 'attempt-failed':
        return entry.retry === undefined ? [] : [{ type: 'retry', attempt: entry.attempt.number + 1, delayMs: entry.retry.delayMs, reason: entry.error.code }];
      case 'budget-exhausted':
        return entry.retry === undefined ? [] : [{ type: 'retry', attempt: entry.nextAttempt, delayMs: entry.retry.delayMs, reason: usageLimit }];
      case 'assistant-step':
        return this.#stepParts(entry);
      case 'history-compacted': {
        const { seq, trigger, tokensBefore, tokensAfter } = entry;
        return [{ type: 'compaction', seq, trigger, tokensBefore, tokensAfter }];
      }
      case 'tool-results':
        return entry.results.map((result) => ({ type: 'tool-result', callId: callIdOf(entry.stepSeq, result.index), result }));
      case 'turn-ended':
        return [{ type: 'end', reason: entry.reason, error: entry.error ?? null }];
      default:
        return [];
    }
  }

  #stepParts(step: EntryOf<'assistant-step'>): readonly TurnPart[] {
    // The feed has sent the rest of an attempt that was being shown; of any other, nothing has been.
    const additions = this.#attemptId === step.attempt.id ? [] : remainderOf(step, []).flatMap((segment) => this.#addition(segment));
    this.#attemptId = null;
    this.#inputs = new Map();
    this.#step = step;
    const calls = step.parts.flatMap((part): TurnPart[] =>
      (part.type === 'tool-call' ? [{ type: 'tool-call', callId: callIdOf(step.seq, part.index), toolCallId: part.toolCallId, toolName: part.toolName, input: part.input }] : []));
    return [...additions, ...calls, { type: 'step', seq: step.seq }];
  }
}
