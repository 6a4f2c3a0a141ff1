import { canonicalJson, type JsonObject, type JsonValue } from '../../core/json.ts';
import type { ChatMessage } from './chat-messages.ts';
import { isObject } from './chat-parts.ts';

/**
 * How a turn's messages were written in the file that it was imported from, where that is not how an export of its entries would
 * write them. Their order is stored with the turn's end, and what they said with the entries that they became, so that redacting one of those removes both; without a recipe, the export is right as it is.
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
  | { readonly message: JsonValue }
  /** What the turn's entry at this place keeps, at this place of its own. Of one that keeps it no more, the exported message as it is. */
  | { readonly in: number; readonly at: number; readonly of?: number };

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
    if (typeof item !== 'number' && 'in' in item) return []; // of an entry that keeps it no more
    const { of, set = {}, unset = [] } = typeof item === 'number' ? { of: item } : item;
    const message = exported[of];
    if (message === undefined) return [];
    return [{ ...Object.fromEntries(Object.entries(message).filter(([name]) => !unset.includes(name))), ...set }];
  });
}

/** The recipe that was stored with an entry, if there is one that an import may have written. */
export function recipeOf(imported: JsonObject | undefined): ChatRecipe | null {
  const messages = imported?.['messages'];
  return Array.isArray(messages) && messages.every(isRecipeItem) ? { messages } : null;
}

/** Entries of whole sessions come from files of anybody's: what they keep may be anything. */
export function isRecipeItem(item: unknown): item is RecipeItem {
  if (typeof item === 'number') return true;
  if (typeof item !== 'object' || item === null) return false;
  const { message, in: entry, at, of, set, unset } = item as { readonly [name: string]: JsonValue | undefined };
  if (message !== undefined) return true;
  if (entry !== undefined) return typeof entry === 'number' && typeof at === 'number' && (of === undefined || typeof of === 'number');
  return typeof of === 'number' && (set === undefined || isObject(set)) && (unset === undefined || (Array.isArray(unset) && unset.every((name) => typeof name === 'string')));
}

/** A recipe whose contents are with the entries that they are of. `entryOf` says of each exported message which of the turn's entries it is of. */
export function spreadRecipe({ messages }: ChatRecipe, entryOf: readonly number[]): { readonly recipe: ChatRecipe; readonly kept: ReadonlyMap<number, readonly RecipeItem[]> } {
  const kept = new Map<number, RecipeItem[]>();
  let last = 0;
  const spread = messages.map((item): RecipeItem => {
    const of = typeof item === 'number' ? item : 'of' in item ? item.of : undefined;
    last = of === undefined ? last : (entryOf[of] ?? last);
    if (typeof item === 'number') return item;
    const own = kept.get(last) ?? [];
    kept.set(last, own);
    return { in: last, at: own.push(item) - 1, ...(of === undefined ? {} : { of }) };
  });
  return { recipe: { messages: spread }, kept };
}

/** What an entry keeps of a recipe. */
export function keptItems(items: readonly RecipeItem[] | undefined): { readonly imported?: JsonObject } {
  return items === undefined ? {} : { imported: { chat: items as unknown as JsonValue } };
}

/** The recipe with what the turn's entries keep of it. What was removed from them stays away. */
export function gatherRecipe({ messages }: ChatRecipe, entries: readonly { readonly imported?: JsonObject }[]): ChatRecipe {
  return {
    messages: messages.map((item) => {
      if (typeof item === 'number' || !('in' in item)) return item;
      const kept = entries[item.in]?.imported?.['chat'];
      const own: unknown = Array.isArray(kept) ? kept[item.at] : undefined;
      return isRecipeItem(own) ? own : (item.of ?? item);
    }),
  };
}
