import type { AssistantStep, CallResult, Entry, MessagePart } from '../core/entry.ts';
import type { FeedEvent } from '../core/feed-event.ts';
import { oneLine } from './terminal.ts';

/** A session's events as a person reads them: text as it comes, everything else a line of its own. */
export class EventLines {
  /** The attempt whose text is on the screen. */
  #attemptId: string | null = null;
  #atLineStart = true;

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
      return `> ${messageText(entry.parts)}`;
    case 'message-queued':
      return `(waits in the queue) > ${messageText(entry.parts)}`;
    case 'tool-results':
      return entry.results.map(resultLine).join('\n');
    case 'turn-ended':
      if (entry.error !== undefined) return `— ${entry.reason}: ${oneLine(entry.error.message, 200)} (${entry.error.code})`;
      return entry.reason === 'complete' ? '—' : `— ${entry.reason}`;
    case 'session-ended':
      return '— the session has ended';
    default:
      return null;
  }
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
export function resultLine({ toolName, outcome, output, errorText, mayHaveRun }: CallResult): string {
  const what = outcome === 'done' ? (typeof output === 'string' ? output : JSON.stringify(output ?? null)) : (errorText ?? '');
  return `← ${toolName} ${outcome}${mayHaveRun === true ? ' (may have run)' : ''}: ${oneLine(what, 200)}`;
}
