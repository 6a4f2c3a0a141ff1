import type { JsonObject, JsonValue } from '../../core/json.ts';
import { isObject } from '../../exchange/chat/chat-parts.ts';

/** A row of `Message_v2` as the `UIMessage` that the template makes of it, with what else is known of it. */
export function uiMessageOf({ id, role, parts, attachments, createdAt, vote }: { readonly id: string; readonly role: string; readonly parts: JsonValue; readonly attachments: JsonValue; readonly createdAt: string | null; readonly vote: boolean | null }): JsonObject {
  const listed = Array.isArray(parts) ? (parts as readonly JsonValue[]) : null;
  const files = (Array.isArray(attachments) ? (attachments as readonly JsonValue[]) : []).flatMap((attachment) => attachedFile(attachment, listed ?? []));
  return {
    id, role, ...(createdAt === null ? {} : { metadata: { createdAt } }), parts: listed === null ? parts : [...listed, ...files], ...(vote === null ? {} : { vote: vote ? 'up' : 'down' }),
  };
}

/** Files of before the AI SDK had them in the parts: `{name, url, contentType}`. */
function attachedFile(attachment: JsonValue, parts: readonly JsonValue[]): readonly JsonObject[] {
  if (!isObject(attachment) || typeof attachment['url'] !== 'string') return [];
  const { url, name, contentType } = attachment;
  if (parts.some((part) => isObject(part) && part['url'] === url)) return [];
  return [{ type: 'file', url, mediaType: typeof contentType === 'string' ? contentType : 'application/octet-stream', ...(typeof name === 'string' ? { filename: name } : {}) }];
}

/** A row of the old table `Message`, whose content is text or a list of the AI SDK's core parts, in OpenAI's chat format. A row of results is a message for each. */
export function chatMessagesOf({ role, content }: { readonly role: string; readonly content: JsonValue }): readonly JsonObject[] {
  if (!Array.isArray(content)) return [{ role, content }];
  const parts = content as readonly JsonValue[];
  if (role === 'tool') {
    return parts.map((part): JsonObject => (isObject(part) && part['type'] === 'tool-result'
      ? { role, tool_call_id: part['toolCallId'], content: textOf(part['result'] ?? part['output'] ?? null), ...(part['isError'] === true ? { status: 'error' } : {}) }
      : { role, content: part }));
  }
  const calls = parts.flatMap((part) => (isObject(part) && part['type'] === 'tool-call' ? [part] : []));
  const rest = parts.filter((part) => !(isObject(part) && part['type'] === 'tool-call'));
  return [{
    role, content: rest.length === 0 ? null : rest.map(contentPart),
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(({ toolCallId, toolName, args, input }) => ({ id: toolCallId, type: 'function', function: { name: toolName, arguments: JSON.stringify(args ?? input ?? {}) } })) }),
  }];
}

function contentPart(part: JsonValue): JsonValue {
  if (!isObject(part) || part['type'] !== 'image' || typeof part['image'] !== 'string') return part;
  return { type: 'image_url', image_url: { url: part['image'] } };
}

function textOf(value: JsonValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
