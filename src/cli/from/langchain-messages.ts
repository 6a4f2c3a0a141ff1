import type { JsonObject, JsonValue } from '../../core/json.ts';
import { isObject } from '../../exchange/chat/chat-parts.ts';

/** Names that LangChain gives to kinds of messages: their classes, and what their own `type` says. */
const roleOfType: Readonly<Record<string, string>> = {
  human: 'user', HumanMessage: 'user', HumanMessageChunk: 'user', user: 'user',
  ai: 'assistant', AIMessage: 'assistant', AIMessageChunk: 'assistant', assistant: 'assistant',
  tool: 'tool', ToolMessage: 'tool', ToolMessageChunk: 'tool',
  system: 'system', SystemMessage: 'system', SystemMessageChunk: 'system', developer: 'developer',
  function: 'function', FunctionMessage: 'function',
};

/** A message of LangChain, however it was serialised, in OpenAI's chat format. What that has no place for is kept in its field `langchain`. What is no message stays as it is, for the import to name. */
export function chatMessageOf(stored: JsonValue): JsonValue {
  if (Array.isArray(stored) && stored.length === 2 && typeof stored[0] === 'string') return chatMessageOf({ type: stored[0], content: stored[1] as JsonValue });
  if (!isObject(stored)) return stored;
  const { name, fields } = unwrapped(stored);
  const { type, role, content, tool_calls: calls, invalid_tool_calls: invalid, tool_call_id: callId, ...rest } = fields;
  const named = roleOfType[name ?? ''] ?? (typeof type === 'string' ? roleOfType[type] : undefined) ?? (typeof role === 'string' ? (roleOfType[role] ?? role) : undefined);
  if (named === undefined) return stored;
  const { texts, others } = named === 'assistant' ? spoken(content) : { texts: content, others: [] };
  const toolCalls = [...listOf(calls).map(toolCall), ...listOf(invalid).map(toolCall)];
  const kept = { ...withoutEmpty(rest), ...(others.length === 0 ? {} : { content: others }) };
  return {
    role: named, content: named === 'user' ? userContent(content) : (texts ?? null), ...(typeof rest['name'] === 'string' ? { name: rest['name'] } : {}),
    ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }), ...(callId === undefined ? {} : { tool_call_id: callId }), ...(rest['status'] === 'error' ? { status: 'error' } : {}),
    ...(Object.keys(kept).length === 0 ? {} : { langchain: kept }),
  };
}

/** An object of a class is its class's name and what it was made of; others are what they are. */
function unwrapped(stored: JsonObject): { readonly name: string | null; readonly fields: JsonObject } {
  const { lc, id, kwargs } = stored;
  if ((lc !== 1 && lc !== 2) || !Array.isArray(id) || !isObject(kwargs)) return { name: null, fields: stored };
  return { name: String(id.at(-1)), fields: kwargs };
}

/** Blocks of what an agent said: its texts, and what is said elsewhere in the message (calls) or has no place in the format (its reasoning). */
function spoken(content: JsonValue | undefined): { readonly texts: JsonValue | undefined; readonly others: readonly JsonValue[] } {
  if (!Array.isArray(content)) return { texts: content, others: [] };
  const blocks = content as readonly JsonValue[];
  const texts = blocks.flatMap((block) => (typeof block === 'string' ? [block] : isObject(block) && block['type'] === 'text' && typeof block['text'] === 'string' ? [block['text']] : []));
  const others = blocks.filter((block) => !(typeof block === 'string') && !(isObject(block) && (block['type'] === 'text' || block['type'] === 'tool_use' || block['type'] === 'tool_call')));
  return { texts: texts.join(''), others };
}

/** Blocks of what a person said, in OpenAI's forms where they have one. */
function userContent(content: JsonValue | undefined): JsonValue {
  if (!Array.isArray(content)) return content ?? '';
  return (content as readonly JsonValue[]).map((block): JsonValue => {
    if (typeof block === 'string') return { type: 'text', text: block };
    if (!isObject(block)) return block;
    if (block['type'] === 'image_url' && typeof block['image_url'] === 'string') return { type: 'image_url', image_url: { url: block['image_url'] } };
    const data = block['data'] ?? block['base64'];
    const mediaType = block['mime_type'] ?? block['mimeType'];
    if (typeof block['type'] === 'string' && ['image', 'file', 'audio'].includes(block['type'])) {
      if (typeof data === 'string' && typeof mediaType === 'string') return fileBlock(block['type'], `data:${mediaType};base64,${data}`);
      if (typeof block['url'] === 'string') return fileBlock(block['type'], block['url']);
    }
    return block;
  });
}

function fileBlock(type: string, url: string): JsonObject {
  return type === 'image' ? { type: 'image_url', image_url: { url } } : { type: 'file', file: { file_data: url } };
}

function toolCall(call: JsonValue): JsonValue {
  if (!isObject(call)) return call;
  const { id, name, args } = call;
  return { id: id ?? null, type: 'function', function: { name: name ?? null, arguments: typeof args === 'string' ? args : JSON.stringify(args ?? {}) } };
}

function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

function withoutEmpty(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== false && value !== '' && !(typeof value === 'object' && Object.keys(value).length === 0)));
}
