import { canonicalJson, type JsonObject, type JsonValue } from '../../core/json.ts';
import type { ChatMessage } from './chat-messages.ts';

/**
 * How a turn's messages were written in the file that it was imported from, where that is not how an export of its entries would
 * write them. Stored with the turn; without one, the export is right as it is.
 */
export interface ChatRecipe {
  readonly messages: readonly RecipeItem[];
}

export type RecipeItem =
  /** The exported message at this place, unchanged. */
  | number
  /** The exported message at this place, some of its fields different. */
  | { readonly of: number; readonly set?: JsonObject; readonly unset?: readonly string[] }
  /** A message that no entry stands for, whole. */
  | { readonly message: JsonValue };

/** A message of the source, and the exported message that stands for it, if one does. */
export interface SourceMessage {
  readonly source: JsonValue;
  readonly exported?: ChatMessage | undefined;
}

/** The recipe that makes the sources of what is exported; null when the export is the same already. `exported` holds those of the sources, by identity. */
export function makeRecipe(sources: readonly SourceMessage[], exported: readonly ChatMessage[]): ChatRecipe | null {
  const messages = sources.map((message): RecipeItem => {
    const place = message.exported === undefined ? -1 : exported.indexOf(message.exported);
    if (place === -1 || message.exported === undefined) return { message: message.source };
    return difference(place, message.exported, message.source as JsonObject);
  });
  const plain = messages.length === exported.length && messages.every((item, place) => item === place);
  return plain ? null : { messages };
}

function difference(of: number, exported: ChatMessage, source: JsonObject): RecipeItem {
  const set = Object.entries(source).filter(([name, value]) => !Object.hasOwn(exported, name) || canonicalJson(exported[name]) !== canonicalJson(value));
  const unset = Object.keys(exported).filter((name) => !Object.hasOwn(source, name));
  if (set.length === 0 && unset.length === 0) return of;
  return { of, ...(set.length === 0 ? {} : { set: Object.fromEntries(set) }), ...(unset.length === 0 ? {} : { unset }) };
}

/** The sources again. A place that the export does not have (something of the turn is gone since) is left out. */
export function followRecipe({ messages }: ChatRecipe, exported: readonly ChatMessage[]): readonly JsonValue[] {
  return messages.flatMap((item): JsonValue[] => {
    if (typeof item !== 'number' && 'message' in item) return [item.message];
    const { of, set = {}, unset = [] } = typeof item === 'number' ? { of: item } : item;
    const message = exported[of];
    if (message === undefined) return [];
    return [{ ...Object.fromEntries(Object.entries(message).filter(([name]) => !unset.includes(name))), ...set }];
  });
}

/** The recipe that was stored with an entry, if there is one. */
export function recipeOf(imported: JsonObject | undefined): ChatRecipe | null {
  return Array.isArray(imported?.['messages']) ? (imported as unknown as ChatRecipe) : null;
}
