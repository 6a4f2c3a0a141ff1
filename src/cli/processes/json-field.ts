import type { JsonObject, JsonValue } from '../../core/json.ts';

/** A field of what came over the wire; null where there is none. */
export function fieldOf(value: JsonValue | undefined, name: string): JsonValue {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? ((value as JsonObject)[name] ?? null) : null;
}

/** A text of what came over the wire; empty where there is none. */
export function textOf(value: JsonValue | undefined, name: string): string {
  const field = fieldOf(value, name);
  return typeof field === 'string' ? field : '';
}

/** The items of a page; none where it is no page. */
export function listOf(body: JsonValue | undefined): readonly JsonValue[] {
  const items = fieldOf(body, 'items');
  return Array.isArray(items) ? (items as readonly JsonValue[]) : [];
}
