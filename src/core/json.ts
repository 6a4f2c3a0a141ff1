/** Plain JSON: its type, its canonical text, its depth, and the text that every store can keep. */

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/**
 * The one text of a JSON value: keys sorted by UTF-16 unit, no white space, `undefined` members left out.
 * Two bodies that differ only in the order of their keys have the same canonical text, so idempotency
 * fingerprints (G2) do not depend on how a client serialises.
 */
export function canonicalJson(value: JsonValue | undefined): string {
  if (value === undefined) return 'null';
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (isJsonArray(value)) return `[${value.map((item) => canonicalJson(item)).join(',')}]`;
  const members: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const member = value[key];
    if (member !== undefined) members.push(`${JSON.stringify(key)}:${canonicalJson(member)}`);
  }
  return `{${members.join(',')}}`;
}

function isJsonArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** Text as every store can keep it: lone surrogates and NUL become U+FFFD; the length in UTF-16 units stays the same. */
export function wellFormedText(text: string): string {
  return text.toWellFormed().replaceAll('\u0000', '\uFFFD');
}

/** {@link wellFormedText} for each string in a JSON value, keys included. Returns the same value where nothing had to change. */
export function wellFormedJson(value: JsonValue): JsonValue {
  if (typeof value === 'string') return wellFormedText(value);
  if (value === null || typeof value !== 'object') return value;
  if (isJsonArray(value)) {
    const items = value.map(wellFormedJson);
    return items.every((item, index) => item === value[index]) ? value : items;
  }
  let changed = false;
  const members: [string, JsonValue][] = [];
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue;
    const cleanKey = wellFormedText(key);
    const cleanMember = wellFormedJson(member);
    changed ||= cleanKey !== key || cleanMember !== member;
    members.push([cleanKey, cleanMember]);
  }
  return changed ? (Object.fromEntries(members) as JsonObject) : value;
}

/** Whether objects and lists nest deeper than `depthMax`. Walks without recursion, so that no depth breaks it. */
export function isDeeperThan(value: JsonValue, depthMax: number): boolean {
  let level: readonly JsonValue[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    level = level.flatMap((item): JsonValue[] => (typeof item === 'object' && item !== null ? [...(Object.values(item) as JsonValue[])] : []));
    if (depth >= depthMax && level.length > 0) return true;
  }
  return false;
}

/** How many bytes a text takes in UTF-8, counted without allocating it. Lone surrogates count as U+FFFD (3 bytes). */
export function utf8Bytes(text: string): number {
  let bytes = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) bytes += 1;
    else if (unit < 0x800) bytes += 2;
    else if (unit >= 0xd800 && unit <= 0xdbff && isLowSurrogate(text.charCodeAt(index + 1))) {
      bytes += 4;
      index += 1;
    } else bytes += 3;
  }
  return bytes;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
