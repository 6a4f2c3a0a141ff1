import type { MessagePart, StepPart, ToolCallPart } from '../../core/entry.ts';
import { isDeeperThan, wellFormedJson, type JsonObject, type JsonValue } from '../../core/json.ts';
import { limits } from '../../core/limits.ts';

type Warn = (text: string) => void;

/** What the person said, as the engine has it. Content that is no text, image, audio or file becomes its JSON text, so that it is seen. */
export function messageParts(content: JsonValue | undefined, warn: Warn): readonly MessagePart[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (!isArray(content)) {
    if (content !== null && content !== undefined) warn('its content is neither text nor a list; it is shown as JSON');
    return [{ type: 'text', text: content === null || content === undefined ? '' : JSON.stringify(content) }];
  }
  const parts = content.map((part): MessagePart => {
    const known = isObject(part) ? messagePart(part) : null;
    if (known !== null) return known;
    warn('a part of its content is of an unknown form; it is shown as JSON');
    return { type: 'text', text: JSON.stringify(part) };
  });
  return parts.length === 0 ? [{ type: 'text', text: '' }] : parts;
}

function messagePart(part: JsonObject): MessagePart | null {
  const { type } = part;
  const inner = typeof type === 'string' ? part[type] : undefined;
  switch (type) {
    case 'text':
      return typeof part['text'] === 'string' ? { type: 'text', text: part['text'] } : null;
    case 'image_url':
      return isObject(inner) && typeof inner['url'] === 'string' ? filePart(inner['url'], 'image/*') : null;
    case 'input_audio':
      return isObject(inner) && typeof inner['data'] === 'string' && typeof inner['format'] === 'string'
        ? { type: 'file', mediaType: `audio/${inner['format']}`, data: inner['data'] }
        : null;
    case 'file': {
      if (!isObject(inner) || typeof inner['file_data'] !== 'string') return null;
      const file = filePart(inner['file_data'], 'application/octet-stream');
      return file !== null && typeof inner['filename'] === 'string' ? { ...file, filename: inner['filename'] } : file;
    }
    default:
      return null;
  }
}

/** A `data:` URL is the file itself; any other is fetched by the provider. What is neither is no file. */
function filePart(url: string, mediaType: string): Extract<MessagePart, { type: 'file' }> | null {
  const data = /^data:([^;,]+);base64,([A-Za-z0-9+/=]*)$/.exec(url);
  if (data !== null) return { type: 'file', mediaType: data[1] ?? mediaType, data: data[2] ?? '' };
  return /^https?:/.test(url) && URL.canParse(url) ? { type: 'file', mediaType, url } : null;
}

/** What the agent said and called in one generation. `place` is the message's place, for ids that the source lacks. */
export function stepParts(message: JsonObject, place: number, warn: Warn): readonly StepPart[] {
  return [...spokenTexts(message, warn).map((text): StepPart => ({ type: 'text', text })), ...callParts(message, place, warn)];
}

function spokenTexts({ content, refusal }: JsonObject, warn: Warn): readonly string[] {
  const refused = typeof refusal === 'string' && refusal !== '' ? [refusal] : [];
  if (typeof content === 'string') return content === '' ? refused : [content, ...refused];
  if (content === null || content === undefined) return refused;
  if (!isArray(content)) {
    warn('its content is neither text nor a list; it is shown as JSON');
    return [JSON.stringify(content), ...refused];
  }
  const texts = content.map((part): string => {
    const text = isObject(part) ? (part['type'] === 'text' ? part['text'] : part['type'] === 'refusal' ? part['refusal'] : undefined) : undefined;
    if (typeof text === 'string') return text;
    warn('a part of its content is of an unknown form; it is shown as JSON');
    return JSON.stringify(part);
  });
  return [...texts.filter((text) => text !== ''), ...refused];
}

function callParts({ tool_calls: calls, function_call: legacyCall }: JsonObject, place: number, warn: Warn): readonly ToolCallPart[] {
  if (calls !== null && calls !== undefined && !isArray(calls)) warn('its tool_calls is no list; it is kept and not shown');
  const listed = isArray(calls) ? calls : [];
  const parts: ToolCallPart[] = [];
  const add = (id: JsonValue | undefined, name: JsonValue | undefined, input: JsonValue | undefined, isText = false): void => {
    if (typeof name !== 'string' || name === '') {
      warn('a call names no tool; it is kept and not shown');
      return;
    }
    const index = parts.length;
    const toolCallId = typeof id === 'string' && id !== '' ? id : `import_${place}_${index}`;
    parts.push({ type: 'tool-call', index, toolCallId, toolName: name, ...callInput(input, isText, warn) });
  };
  for (const call of listed) {
    const { id, function: called, custom } = isObject(call) ? call : {};
    if (isObject(custom)) add(id, custom['name'], custom['input'], true);
    else add(id, isObject(called) ? called['name'] : undefined, isObject(called) ? called['arguments'] : undefined);
  }
  if (isObject(legacyCall)) add(undefined, legacyCall['name'], legacyCall['arguments']);
  return parts;
}

/** Arguments are JSON as text, unless they are something else; the text is kept as it was written. */
function callInput(written: JsonValue | undefined, isText: boolean, warn: Warn): Pick<ToolCallPart, 'input' | 'inputText' | 'problem'> {
  if (typeof written !== 'string') return { input: written ?? {} };
  if (isText) return { input: written };
  if (written.trim() === '') return { input: {}, inputText: written };
  const parsed = parseJson(written);
  if (parsed === undefined || isDeeperThan(parsed, limits.bodyDepthMax)) {
    warn(`the arguments of a call are not JSON, or nest deeper than ${limits.bodyDepthMax}; they are kept as text`);
    return { input: null, inputText: written, problem: 'the input is not JSON' };
  }
  const input = wellFormedJson(parsed);
  return written === JSON.stringify(input) ? { input } : { input, inputText: written };
}

function parseJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

/** A result is text, mostly; a list of text parts is their text. */
export function resultOutput(content: JsonValue | undefined): JsonValue {
  if (!isArray(content) || content.length === 0) return content ?? null;
  const texts = content.flatMap((part) => (isObject(part) && part['type'] === 'text' && typeof part['text'] === 'string' ? [part['text']] : []));
  return texts.length === content.length ? texts.join('') : content;
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}
