import { createHash } from 'node:crypto';
import { canonicalJson, isDeeperThan, wellFormedJson, type JsonObject, type JsonValue } from '../../core/json.ts';
import { limits } from '../../core/limits.ts';
import { isObject } from './chat-parts.ts';
import { externalIdOf, type Conversation } from './import-command.ts';
import type { ParsedLine } from '../parse-line.ts';

export type ReadLine =
  | { readonly kind: 'conversation'; readonly conversation: Conversation; readonly warnings: readonly string[] }
  | { readonly kind: 'bad'; readonly message: string };

/** Reads one line of a conversation file: `{id, messages}` and whatever other fields. What it cannot take, it says; it never throws. */
export function readConversation({ value: parsed, inexact }: ParsedLine): ReadLine {
  const endless = inexact.find((number) => !Number.isFinite(Number(number)));
  if (endless !== undefined) return bad(`the number ${endless.slice(0, 40)} is too large`);
  if (!isObject(parsed)) return bad('it is no object {id, messages}');
  if (isDeeperThan(parsed, limits.bodyDepthMax)) return bad(`it nests deeper than ${limits.bodyDepthMax}`);
  const line = wellFormedJson(parsed) as JsonObject;
  const { messages } = line;
  if (!Array.isArray(messages)) return bad(messages === undefined ? 'it has no messages' : 'messages is no list');
  const hasId = Object.hasOwn(line, 'id');
  const id = line['id'] ?? null;
  if (id !== null && typeof id !== 'string' && typeof id !== 'number') return bad('id is neither text nor a number');
  if (id === '') return bad('id is empty');
  const fingerprint = createHash('sha256').update(canonicalJson(line)).digest('hex');
  const key = id === null ? `sha256-${fingerprint}` : String(id);
  if (externalIdOf(key).length > limits.clientIdCharsMax) return bad(`id is longer than ${limits.clientIdCharsMax - externalIdOf('').length} characters`);
  const fields = Object.fromEntries(Object.entries(line).filter(([name]) => name !== 'id' && name !== 'messages')) as JsonObject;
  const warnings = [
    ...(line === parsed ? [] : ['it holds characters that no store keeps (NUL, half surrogate pairs); they became U+FFFD']),
    ...inexact.map((number) => `the number ${number.slice(0, 40)} has no exact form here; it became ${String(Number(number))}`),
  ];
  return { kind: 'conversation', conversation: { key, id: hasId ? id : undefined, fields, messages: messages as JsonValue[], fingerprint }, warnings };
}

function bad(message: string): ReadLine {
  return { kind: 'bad', message };
}
