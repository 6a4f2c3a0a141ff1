import type { Entry } from '../../core/entry.ts';
import { isTimeline } from '../../core/entry-format.ts';
import { isVisible } from '../../core/intervals.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';
import type { Session } from '../../core/session.ts';
import { foldTranscript, type TranscriptMessage } from '../../core/transcript.ts';
import { isObject } from '../chat/chat-parts.ts';
import { followRecipe } from '../chat/chat-recipe.ts';
import { importedLineOf } from '../imported-line.ts';
import { plainPart, uiRecipeOf } from './ui-recipe.ts';

/**
 * A session as a line of `{id, messages}`, the messages as the AI SDK's `UIMessage`. What was imported in that form comes out as it went in; what was said since follows. `entries` is the whole log, in order.
 */
export function uiConversation(session: Pick<Session, 'id' | 'visible'>, entries: readonly Entry[]): JsonObject {
  const line = importedLineOf(entries);
  const prefix = line?.format === 'ai-sdk-ui' ? (line.prefix ?? []) : (line?.prefix ?? []).flatMap(systemMessage);
  const visible = entries.filter(({ seq }) => isVisible(session.visible, seq));
  const shown = Map.groupBy(foldTranscript(entries, session.visible), ({ metadata: { turnId } }) => turnId);
  const ofTurns = Map.groupBy(visible, (entry) => ('turnId' in entry ? entry.turnId : undefined));
  const turns = new Set(visible.flatMap((entry) => (isTimeline(entry) && 'turnId' in entry && entry.turnId !== undefined ? [entry.turnId] : [])));
  const messages = [...turns].flatMap((turnId): readonly JsonValue[] => {
    const own = shown.get(turnId) ?? [];
    const made = ofTurns.get(turnId) ?? [];
    return made.every((entry) => uiRecipeOf(entry) === null) ? (own as readonly unknown[] as readonly JsonObject[]) : sourcesOf(own, made);
  });
  const id = line === null ? { id: session.id } : line.id === undefined ? {} : { id: line.id };
  return { ...id, ...line?.fields, messages: [...prefix, ...messages] };
}

/** The messages of which an imported turn was made. */
function sourcesOf(shown: readonly TranscriptMessage[], entries: readonly Entry[]): readonly JsonValue[] {
  const partsOf = (role: TranscriptMessage['role']): readonly JsonObject[] => shown.filter((message) => message.role === role).flatMap(({ parts }) => parts.map(plainPart));
  const spoken = partsOf('assistant');
  // The parts of each step begin with a `step-start`.
  const steps = spoken.flatMap((part, place) => (part['type'] === 'step-start' ? [place] : [])).map((from, step, starts) => spoken.slice(from, starts[step + 1]));
  const made: JsonValue[] = [];
  let parts: JsonValue[] = [];
  let role: TranscriptMessage['role'] | null = null;
  for (const entry of entries) {
    const recipe = uiRecipeOf(entry);
    const speaks = entry.kind === 'user-message' ? 'user' : entry.kind === 'assistant-step' ? 'assistant' : null;
    if (recipe === null && (speaks === null || entry.redacted === undefined)) continue;
    const isShown = entry.kind === 'assistant-step' && entry.parts.length > 0;
    const own = entry.kind === 'user-message' ? partsOf('user') : isShown ? (steps.shift() ?? []) : [{ type: 'step-start' }];
    made.push(...(recipe?.before ?? []));
    // How its message was written went with what was redacted of it: it is as it is shown.
    if (recipe === null && speaks !== role) made.push({ id: shown.find((message) => message.role === speaks)?.id ?? '', role: speaks, parts: (parts = []) });
    else if (recipe?.message !== undefined) made.push({ ...recipe.message, parts: (parts = []) });
    role = speaks ?? role;
    parts.push(...(recipe === null ? own : followRecipe({ messages: recipe.parts }, own)));
  }
  return made;
}

/** A system or developer message of OpenAI's format. */
function systemMessage(message: JsonValue, place: number): readonly JsonObject[] {
  if (!isObject(message) || typeof message['content'] !== 'string') return [];
  return [{ id: `system_${place}`, role: 'system', parts: [{ type: 'text', text: message['content'] }] }];
}
