import type { Entry, EntryKind } from '../../core/entry.ts';
import { isVisible } from '../../core/intervals.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';
import type { Session } from '../../core/session.ts';
import { chatMessages } from './chat-messages.ts';
import { followRecipe, gatherRecipe, recipeOf } from './chat-recipe.ts';
import { importedLineOf } from '../imported-line.ts';
import { isObject } from './chat-parts.ts';

/** The entries that messages are of. */
const said: ReadonlySet<EntryKind> = new Set<EntryKind>(['user-message', 'assistant-step', 'tool-results']);

/**
 * A session as a line of a conversation file: `{id, messages}` in OpenAI's chat format. What was imported comes out as it went in,
 * every field of it; what was said since follows in the same format. `entries` is the whole log, in order.
 */
export function chatConversation(session: Pick<Session, 'id' | 'visible'>, entries: readonly Entry[]): JsonObject {
  const line = importedLineOf(entries);
  const messages: JsonValue[] = line?.format === 'ai-sdk-ui' ? (line.prefix ?? []).flatMap(systemMessage) : [...(line?.prefix ?? [])];
  let turn: Entry[] = [];
  const flush = (imported?: JsonObject): void => {
    const exported = chatMessages(turn);
    const recipe = recipeOf(imported);
    messages.push(...(recipe === null ? exported : followRecipe(gatherRecipe(recipe, turn.filter(({ kind }) => said.has(kind))), exported)));
    turn = [];
  };
  for (const entry of entries) {
    if (!isVisible(session.visible, entry.seq) || entry.visibility === 'model') continue;
    turn.push(entry);
    if (entry.kind === 'turn-ended') flush(entry.imported);
  }
  flush();
  const id = line === null ? { id: session.id } : line.id === undefined ? {} : { id: line.id };
  return { ...id, ...line?.fields, messages };
}

/** A system message of the AI SDK's. */
function systemMessage(message: JsonValue): readonly JsonObject[] {
  if (!isObject(message) || !Array.isArray(message['parts'])) return [];
  const texts = (message['parts'] as readonly JsonValue[]).flatMap((part) => (isObject(part) && typeof part['text'] === 'string' ? [part['text']] : []));
  return [{ role: 'system', content: texts.join('') }];
}
