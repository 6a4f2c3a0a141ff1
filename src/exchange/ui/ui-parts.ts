import { unansweredCall } from '../../core/accept/import.ts';
import type { CallResult, MessagePart, StepPart, ToolCallPart } from '../../core/entry.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';
import { isObject } from '../chat/chat-parts.ts';

export type Warn = (text: string) => void;

/** A part of a user's message as the engine has it; null: it has no place for it. */
export function messagePartOf(part: JsonValue): MessagePart | null {
  if (!isObject(part)) return null;
  if (part['type'] === 'text') return typeof part['text'] === 'string' ? { type: 'text', text: part['text'] } : null;
  if (part['type'] !== 'file') return null;
  const file = fileOf(part);
  return file === null ? null : { type: 'file', ...file, ...(typeof part['filename'] === 'string' ? { filename: part['filename'] } : {}) };
}

/** A part of what an agent said that is no call; null: the engine has no place for it. */
export function spokenPartOf(part: JsonValue): StepPart | null {
  if (!isObject(part)) return null;
  const metadata = isObject(part['providerMetadata']) ? { providerMetadata: part['providerMetadata'] } : {};
  switch (part['type']) {
    case 'text':
    case 'reasoning':
      return typeof part['text'] === 'string' ? { type: part['type'], text: part['text'], ...metadata } : null;
    case 'file':
    case 'reasoning-file': {
      const file = fileOf(part);
      return file === null ? null : { type: part['type'], ...file, ...metadata };
    }
    case 'source-url': {
      const { sourceId, url, title } = part;
      if (typeof sourceId !== 'string' || typeof url !== 'string') return null;
      return { type: 'source', sourceType: 'url', id: sourceId, url, ...(typeof title === 'string' ? { title } : {}), ...metadata };
    }
    case 'source-document': {
      const { sourceId, mediaType, title, filename } = part;
      if (typeof sourceId !== 'string' || typeof mediaType !== 'string' || typeof title !== 'string') return null;
      return { type: 'source', sourceType: 'document', id: sourceId, mediaType, title, ...(typeof filename === 'string' ? { filename } : {}), ...metadata };
    }
    default:
      return null;
  }
}

/** A `data:` URL is the file itself; any other is fetched by the provider. What is neither is no file. */
function fileOf({ url, mediaType }: JsonObject): { readonly mediaType: string; readonly data: string } | { readonly mediaType: string; readonly url: string } | null {
  if (typeof url !== 'string' || typeof mediaType !== 'string') return null;
  const data = /^data:([^;,]+);base64,([A-Za-z0-9+/=]*)$/.exec(url);
  if (data !== null && data[1] === mediaType) return { mediaType, data: data[2] ?? '' };
  return /^(https?|data):/.test(url) && URL.canParse(url) ? { mediaType, url } : null;
}

/** A call of a tool, with what came of it where that is known. */
export interface ReadCall {
  /** One part; of a call that its provider ran, two. */
  readonly parts: readonly StepPart[];
  /** null: its input was never whole, or its provider's result is a part. */
  readonly result: CallResult | null;
}

/** The tool that a part is a call of; null: it is none. */
export function toolNameOf(part: JsonValue): string | null {
  if (!isObject(part) || typeof part['type'] !== 'string') return null;
  const name = part['type'] === 'dynamic-tool' ? part['toolName'] : part['type'].startsWith('tool-') ? part['type'].slice('tool-'.length) : null;
  return typeof name === 'string' && name !== '' ? name : null;
}

/** Reads a call, whatever state it was left in. null: it is in none that the AI SDK has. `index` is its place among the step's calls; `id` is for one that has none. */
export function readCall(part: JsonObject, toolName: string, { index, id }: { readonly index: number; readonly id: string }, warn: Warn): ReadCall | null {
  const toolCallId = typeof part['toolCallId'] === 'string' && part['toolCallId'] !== '' ? part['toolCallId'] : id;
  const called = `the call ${JSON.stringify(toolCallId)} of ${toolName}`;
  if (part['state'] === 'input-streaming') {
    warn(`${called} was cut off while its input was written; it is shown, and no model is told of it`);
    const { rawInput, input } = part;
    return { parts: [{ type: 'partial-call', toolName, inputText: typeof rawInput === 'string' ? rawInput : input === undefined ? '' : JSON.stringify(input) }], result: null };
  }
  const ended = endOf(part, { index, toolCallId, toolName });
  if (ended === undefined) return null;
  const call: ToolCallPart = {
    type: 'tool-call', index, toolCallId, toolName, ...inputOf(part), ...(part['providerExecuted'] === true ? { providerExecuted: true } : {}), ...(part['type'] === 'dynamic-tool' ? { dynamic: true } : {}),
    ...(typeof part['title'] === 'string' ? { title: part['title'] } : {}), ...(isObject(part['callProviderMetadata']) ? { providerMetadata: part['callProviderMetadata'] } : {}),
  };
  if (part['providerExecuted'] !== true) {
    if (ended === null) warn(`${called} has no result; it ended as stopped`);
    return { parts: [call], result: ended ?? unansweredCall(call) };
  }
  if (ended === null) return { parts: [call], result: null };
  const output = ended.outcome === 'done' ? (ended.output ?? null) : (ended.errorText ?? ended.outcome);
  return { parts: [call, { type: 'tool-result', toolCallId, toolName, output, ...(ended.outcome === 'done' ? {} : { isError: true }) }], result: null };
}

function inputOf({ state, input, rawInput }: JsonObject): Pick<ToolCallPart, 'input' | 'inputText' | 'problem'> {
  if (input !== undefined) return { input };
  if (state !== 'output-error') return { input: {} };
  return { input: null, inputText: typeof rawInput === 'string' ? rawInput : JSON.stringify(rawInput ?? null), problem: 'the input is not valid' };
}

/** How a call ended; null: it had not. undefined: its state is none that the AI SDK has. */
function endOf({ state, output, errorText, approval }: JsonObject, call: Pick<CallResult, 'index' | 'toolCallId' | 'toolName'>): CallResult | null | undefined {
  const reason = isObject(approval) && typeof approval['reason'] === 'string' && approval['reason'] !== '' ? approval['reason'] : null;
  const denied: CallResult = { ...call, outcome: 'denied', code: 'denied', errorText: `The call was denied; it did not run.${reason === null ? '' : ` Reason: ${reason}`}` };
  switch (state) {
    case 'input-available':
    case 'approval-requested':
      return null;
    case 'approval-responded':
      return isObject(approval) && approval['approved'] === false ? denied : null;
    case 'output-available':
      return { ...call, outcome: 'done', output: output ?? null };
    case 'output-error':
      return { ...call, outcome: 'failed', errorText: typeof errorText === 'string' ? errorText : JSON.stringify(errorText ?? null) };
    case 'output-denied':
      return denied;
    default:
      return undefined;
  }
}
