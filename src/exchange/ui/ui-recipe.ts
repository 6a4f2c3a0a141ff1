import { canonicalJson, type JsonObject, type JsonValue } from '../../core/json.ts';
import { isObject } from '../chat/chat-parts.ts';
import { isRecipeItem, type RecipeItem } from '../chat/chat-recipe.ts';
import { foldTranscript, type TranscriptPart } from '../../core/transcript.ts';
import { wholeLog } from '../../core/intervals.ts';
import type { CallResult, Entry, MessagePart, StepPart } from '../../core/entry.ts';

/**
 * What an entry keeps of the messages that it was imported from: how their parts were written where an export of the entry would write them otherwise, and whatever has no place in it. It stands with the entry that it is of,
 * so that redacting that removes both.
 */
export interface UiRecipe {
  /** Messages that no entry stands for, before this one: system messages. */
  readonly before?: readonly JsonValue[];
  /** A message begins here. Its fields but `parts`. */
  readonly message?: JsonObject;
  readonly parts: readonly RecipeItem[];
}

/** Fields of a tool's part that are Holdfast's own, and none of the AI SDK's. */
const ownFields = new Set(['callId', 'outcome', 'code', 'mayHaveRun', 'action', 'approvedInput', 'wholeBytes', 'operation', 'lateResult']);

/** A part as other programs know it. */
export function plainPart(part: TranscriptPart): JsonObject {
  return Object.fromEntries(Object.entries(part).filter(([name]) => !ownFields.has(name))) as JsonObject;
}

/** The parts that an export has of a user message. */
export function exportedMessageParts(parts: readonly MessagePart[]): readonly JsonObject[] {
  const entry = { kind: 'user-message', seq: 1, v: 1, atMs: 0, turnId: '', messageId: '', parts } as Entry;
  return foldTranscript([entry], wholeLog).flatMap((message) => message.parts.map(plainPart));
}

/** The parts that an export has of a step and its results, the beginning of the step first. */
export function exportedStepParts(parts: readonly StepPart[], results: readonly CallResult[]): readonly JsonObject[] {
  const head = { v: 1, atMs: 0, turnId: '' };
  const step = { ...head, kind: 'assistant-step', seq: 1, attempt: { id: '', number: 1, startedAtMs: 0, usage: null }, parts, finishReason: 'stop' } as Entry;
  const answers = { ...head, kind: 'tool-results', seq: 2, stepSeq: 1, results } as Entry;
  return foldTranscript([step, answers], wholeLog).flatMap((message) => message.parts.map(plainPart));
}

/** A part of the source, and which of the exported ones stands for it; null: none does. */
export interface SourcePart {
  readonly source: JsonValue;
  readonly of: number | null;
}

export function recipeItems(sources: readonly SourcePart[], exported: readonly JsonObject[]): readonly RecipeItem[] {
  return sources.map(({ source, of }): RecipeItem => {
    const standing = of === null ? undefined : exported[of];
    if (of === null || standing === undefined || !isObject(source)) return { message: source };
    const set = Object.entries(source).filter(([name, value]) => !Object.hasOwn(standing, name) || canonicalJson(standing[name]) !== canonicalJson(value));
    const unset = Object.keys(standing).filter((name) => !Object.hasOwn(source, name));
    if (set.length === 0 && unset.length === 0) return of;
    return { of, ...(set.length === 0 ? {} : { set: Object.fromEntries(set) }), ...(unset.length === 0 ? {} : { unset }) };
  });
}

/** The recipe that an entry keeps; null: it keeps none that an import may have written. */
export function uiRecipeOf(entry: Pick<Entry, 'imported'>): UiRecipe | null {
  const kept = entry.imported?.['ui'];
  if (!isObject(kept)) return null;
  const { before, message, parts } = kept;
  const isOne = (before === undefined || Array.isArray(before)) && (message === undefined || isObject(message)) && Array.isArray(parts) && parts.every(isRecipeItem);
  return isOne ? (kept as unknown as UiRecipe) : null;
}
