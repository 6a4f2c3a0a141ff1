import type { JSONValue, LanguageModelV4ToolResultPart } from '@ai-sdk/provider';
import type { OperationNews } from './demo-prompt.ts';

/** How a call's outcome is said. */
export interface CallWords {
  /** What was to be done, as the beginning of a sentence: `The refund of 50`. */
  readonly what: string;
  /** The sentence for a result. `changedInput` is what a person made of the input before approving it. */
  readonly done: (output: JSONValue, changedInput: JSONValue | undefined) => string;
}

const changedInputForm = /^The person who approved the call changed its input to: (.*)$/s;

/** What came of a call, as a sentence. A call that was denied, expired or may have run comes back as an error, whose text says which. */
export function outcomeInWords({ output }: Pick<LanguageModelV4ToolResultPart, 'output'>, { what, done }: CallWords): string {
  switch (output.type) {
    case 'text':
    case 'json':
      return startedInWords(output.value, what) ?? done(output.value, undefined);
    case 'content': {
      const [first = '', ...rest] = output.value.flatMap((part) => (part.type === 'text' ? [part.text] : []));
      const changed = changedInputForm.exec(first)?.[1];
      return changed === undefined ? done([first, ...rest].join('\n'), undefined) : done(asJson(rest.join('\n')), asJson(changed));
    }
    case 'error-text':
    case 'error-json':
      return failureInWords(what, valueInWords(output.value));
    case 'execution-denied':
      return deniedInWords(what, output.reason);
  }
}

/** The end of a background operation, as a sentence. */
export function newsInWords({ outcome, said }: OperationNews, { what, done }: CallWords): string {
  return outcome === 'done' ? done(asJson(said), undefined) : failureInWords(what, said);
}

/** A value in a sentence: text as it is, everything else as JSON. */
export function valueInWords(value: JSONValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** An operation that goes on in the background answers its call at once. */
function startedInWords(output: JSONValue, what: string): string | null {
  if (output === null || typeof output !== 'object' || !('operationId' in output)) return null;
  if (output['status'] === 'in_progress') return `${what} is in progress already.`;
  return output['status'] === 'started' ? `${what} has begun in the background. I will say when it is done.` : null;
}

function failureInWords(what: string, text: string): string {
  const denied = /^The call was denied; it did not run\.(?: Reason: (.*))?$/s.exec(text);
  if (denied !== null) return deniedInWords(what, denied[1]);
  if (text.startsWith('Nobody answered in time')) return `${what} expired: nobody answered in time, and it did not run.`;
  if (text.startsWith('The operation was cancelled')) return `${what} was cancelled ${text.includes('while it ran') ? 'while it ran. Part of it may be done.' : 'before it began.'}`;
  if (/may have run/i.test(text)) return `${what} has an unknown outcome: the process that ran it died before it reported. It may have run, so please look before you ask again.`;
  return `${what} failed: ${text}`;
}

function deniedInWords(what: string, reason: string | undefined): string {
  return reason === undefined || reason === '' ? `${what} was denied. It did not run.` : `${what} was denied: ${reason}`;
}

function asJson(text: string): JSONValue {
  try {
    return JSON.parse(text) as JSONValue;
  } catch {
    return text; // a tool that returns text
  }
}
