import type { CallResult, Entry, MessagePart, StepPart } from '../../core/entry.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';

/** A message in OpenAI's chat format, as JSON: whatever a file holds, so nothing is taken for granted of it. */
export type ChatMessage = JsonObject;

/**
 * The messages of a turn's entries in OpenAI's chat format: a user message, an assistant message per step, a tool message per
 * result. What that format has no place for is left out: reasoning, sources, calls that the provider ran itself.
 */
export function chatMessages(entries: readonly Entry[]): readonly ChatMessage[] {
  return entries.flatMap((entry): readonly ChatMessage[] => {
    switch (entry.kind) {
      case 'user-message':
        return [userMessage(entry.parts)];
      case 'assistant-step':
        return [assistantMessage(entry.parts)];
      case 'tool-results':
        return entry.results.map(toolMessage);
      default:
        return [];
    }
  });
}

/** One text alone is the content itself, anything else a list of parts. */
export function userMessage(parts: readonly MessagePart[]): ChatMessage {
  const [only, ...more] = parts;
  if (only?.type === 'text' && more.length === 0) return { role: 'user', content: only.text };
  return { role: 'user', content: parts.map(contentPart) };
}

function contentPart(part: MessagePart): JsonObject {
  if (part.type === 'text') return { type: 'text', text: part.text };
  const url = part.url ?? `data:${part.mediaType};base64,${part.data ?? ''}`;
  if (part.mediaType.startsWith('image/')) return { type: 'image_url', image_url: { url } };
  const audio = /^audio\/(.+)$/.exec(part.mediaType);
  if (audio?.[1] !== undefined && part.data !== undefined) return { type: 'input_audio', input_audio: { data: part.data, format: audio[1] } };
  return { type: 'file', file: { file_data: url, ...(part.filename === undefined ? {} : { filename: part.filename }) } };
}

export function assistantMessage(parts: readonly StepPart[]): ChatMessage {
  const texts = parts.flatMap((part) => (part.type === 'text' ? [part.text] : []));
  const calls = parts.flatMap((part): JsonObject[] => {
    if (part.type !== 'tool-call' || part.providerExecuted === true) return [];
    return [{ id: part.toolCallId, type: 'function', function: { name: part.toolName, arguments: part.inputText ?? JSON.stringify(part.input) } }];
  });
  const content = texts.length > 0 ? texts.join('') : calls.length > 0 ? null : '';
  return { role: 'assistant', content, ...(calls.length === 0 ? {} : { tool_calls: calls }) };
}

export function toolMessage(result: CallResult): ChatMessage {
  const content = result.outcome === 'done' ? asText(result.output ?? null) : (result.errorText ?? result.outcome);
  return { role: 'tool', tool_call_id: result.toolCallId, content };
}

function asText(output: JsonValue): string {
  return typeof output === 'string' ? output : JSON.stringify(output);
}
