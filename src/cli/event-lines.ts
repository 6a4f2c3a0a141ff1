import type { AssistantStep, CallResult, Entry, MessagePart } from '../core/entry.ts';
import type { FeedEvent } from '../core/feed-event.ts';
import { actionLines, type AnswerPlace } from './action-lines.ts';
import { OperationLines } from './operation-progress.ts';
import { money, oneLine } from './terminal.ts';

/** A session's events as a person reads them: text as it comes, everything else a line of its own. */
export class EventLines {
  readonly #place: AnswerPlace;
  readonly #operations = new OperationLines();
  /** The attempt whose text is on the screen. */
  #attemptId: string | null = null;
  #atLineStart = true;

  constructor(place: AnswerPlace) {
    this.#place = place;
  }

  /** What to print for an event; empty for what says nothing to a person. */
  textOf(event: FeedEvent): string {
    switch (event.type) {
      case 'chunk': {
        this.#attemptId = event.attemptId;
        const text = event.segments.flatMap((segment) => (segment.type === 'text' ? [segment.text] : [])).join('');
        return this.#spoken(text);
      }
      case 'chunk-retracted':
        return this.#retracted(event.attemptId);
      case 'retry':
        return this.#line(`(${event.reason}; attempt ${event.attempt} in ${event.delayMs} ms)`);
      case 'entry':
        return this.#entry(event.entry);
      case 'action':
        return event.actions.flatMap((action) => actionLines(action, this.#place)).map((line) => this.#line(line)).join('');
      case 'operation':
        return this.#operations.linesOf(event.operations).map((line) => this.#line(line)).join('');
      case 'status':
      case 'queue':
        return '';
    }
  }

  #entry(entry: Entry): string {
    switch (entry.kind) {
      case 'assistant-step': {
        const shown = this.#attemptId === entry.attempt.id;
        this.#attemptId = null;
        return [shown ? '' : this.#spoken(spokenText(entry)), this.#endOfLine(), ...callLines(entry).map((line) => this.#line(line))].join('');
      }
      case 'attempt-failed':
        return this.#retracted(entry.attempt.id) + this.#line(`(attempt ${entry.attempt.number} failed: ${oneLine(entry.error.message, 200)})`);
      case 'attempt-lost':
        return this.#retracted(entry.attempt.id) + this.#line(`(attempt ${entry.attempt.number} was lost with its worker)`);
      default: {
        const line = entryLine(entry);
        return line === null ? '' : this.#line(line);
      }
    }
  }

  #retracted(attemptId: string): string {
    if (this.#attemptId !== attemptId) return '';
    this.#attemptId = null;
    return this.#line('(the answer so far is taken back)');
  }

  #spoken(text: string): string {
    if (text !== '') this.#atLineStart = text.endsWith('\n');
    return text;
  }

  #line(line: string): string {
    return `${this.#endOfLine()}${line}\n`;
  }

  #endOfLine(): string {
    const end = this.#atLineStart ? '' : '\n';
    this.#atLineStart = true;
    return end;
  }
}

/** The entry as one line; null for what a reader of the conversation need not see. */
function entryLine(entry: Entry): string | null {
  switch (entry.kind) {
    case 'user-message':
      return entry.visibility === 'model' ? `(only for the model) > ${messageText(entry.parts)}` : `> ${messageText(entry.parts)}`;
    case 'context-injected':
      return `(context ${entry.provider}, version ${oneLine(entry.version, 60)}: ${entry.text === null ? 'none' : 'given to the model'})`;
    case 'history-compacted':
      return compactionLine(entry);
    case 'message-queued':
      return `(${entry.steer === true ? 'is to join the turn' : 'waits in the queue'}) > ${messageText(entry.parts)}`;
    case 'action-resolved':
      return `(${entry.actionId} ${entry.resolution}${entry.by === undefined ? '' : ` by ${oneLine(entry.by, 60)}`}${entry.reason === undefined ? '' : `: ${oneLine(entry.reason, 200)}`})`;
    case 'operation-started':
      return `(operation ${entry.operationId}: ${entry.toolName} started)`;
    case 'operation-ended':
      return `(operation ${entry.operationId} ${entry.status}${entry.result === undefined ? '' : `: ${outcomeText(entry.result, 160)}`})`;
    case 'budget-exhausted': {
      const amount = (value: number): string => (entry.unit === 'cost' ? money(value) : `${value} tokens`);
      return `(the budget of the ${entry.per} for the ${entry.period} is used up: ${amount(entry.used)} of ${amount(entry.limit)}; it begins anew at ${new Date(entry.resetAtMs).toISOString()})`;
    }
    case 'late-result':
      return `${resultLine(entry.result)} (came after all)`;
    case 'tool-results':
      return entry.results.map(resultLine).join('\n');
    case 'turn-ended':
      if (entry.error !== undefined) return `— ${entry.reason}: ${oneLine(entry.error.message, 200)} (${entry.error.code})`;
      return entry.reason === 'complete' ? '—' : `— ${entry.reason}`;
    case 'history-rewound':
      return `(rewound: ${turnsInWords(entry.turns)} no longer visible)`;
    case 'history-redone':
      return `(redone: ${turnsInWords(entry.turns)} visible again)`;
    case 'branch-discarded':
      return `(${turnsInWords(entry.turns)} left as branch ${entry.branchId})`;
    case 'branch-restored':
      return `(branch ${entry.branchId} restored: ${turnsInWords(entry.turns)} visible again)`;
    case 'node-entered':
      return `(in ${entry.node}${entry.from === null ? '' : `, from ${oneLine(entry.from, 60)}`}${entry.reason === undefined ? '' : `: ${oneLine(entry.reason, 200)}`})`;
    case 'session-ended':
      return '— the session has ended';
    default:
      return null;
  }
}

/** What a compaction did, on one line. */
export function compactionLine({ tokensBefore, tokensAfter }: { readonly tokensBefore: number; readonly tokensAfter: number }): string {
  return `(compacted: from here on the model sees a summary of what came before; ${tokensBefore} → about ${tokensAfter} tokens)`;
}

export function turnsInWords(turns: number): string {
  return turns === 1 ? '1 turn' : `${turns} turns`;
}

/** A user message's text; files are named. */
export function messageText(parts: readonly MessagePart[]): string {
  return parts.map((part) => (part.type === 'text' ? part.text : `[${part.filename ?? part.mediaType}]`)).join('\n');
}

function spokenText(step: Pick<AssistantStep, 'parts'>): string {
  return step.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('');
}

function callLines(step: Pick<AssistantStep, 'parts'>): readonly string[] {
  return step.parts.flatMap((part) => (part.type === 'tool-call' ? [`→ ${part.toolName} ${oneLine(part.inputText ?? JSON.stringify(part.input), 200)}`] : []));
}

/** How a call ended, on one line. */
export function resultLine(result: CallResult): string {
  const { toolName, outcome, mayHaveRun } = result;
  return `← ${toolName} ${outcome}${mayHaveRun === true ? ' (may have run)' : ''}: ${outcomeText(result, 200)}`;
}

function outcomeText({ outcome, output, errorText }: CallResult, charsMax: number): string {
  return oneLine(outcome === 'done' ? (typeof output === 'string' ? output : JSON.stringify(output ?? null)) : (errorText ?? ''), charsMax);
}
