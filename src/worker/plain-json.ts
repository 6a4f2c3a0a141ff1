import { wellFormedText, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { HoldfastError } from '../core/errors.ts';

export type PlainJson = { readonly valid: true; readonly value: JsonValue } | { readonly valid: false; readonly problem: string };

class NotJson extends HoldfastError {
  constructor(message: string) {
    super('not_json', message);
  }
}

/**
 * A tool's return value as JSON: dates become ISO strings, bytes base64, bigints decimal strings, `undefined` null (and is left out of objects),
 * not-a-number and infinities null, and `toJSON` is honoured. Cycles, functions, symbols, maps and sets have no such form and are a problem that names its place.
 */
export function plainJson(value: unknown): PlainJson {
  try {
    return { valid: true, value: convert(value, '', []) };
  } catch (error) {
    if (error instanceof NotJson) return { valid: false, problem: error.message };
    // A getter or toJSON of the value threw.
    return { valid: false, problem: error instanceof Error ? error.message : String(error) };
  }
}

function convert(value: unknown, path: string, parents: readonly object[]): JsonValue {
  switch (typeof value) {
    case 'string':
      return wellFormedText(value);
    case 'number':
      return Number.isFinite(value) ? value : null;
    case 'boolean':
      return value;
    case 'bigint':
      return value.toString();
    case 'undefined':
      return null;
    case 'object':
      return value === null ? null : convertObject(value, path, parents);
    default:
      throw new NotJson(`${place(path)} is a ${typeof value}, which JSON has no form for`);
  }
}

function convertObject(value: object, path: string, parents: readonly object[]): JsonValue {
  if (parents.includes(value)) throw new NotJson(`${place(path)} contains itself`);
  if (parents.length >= limits.bodyDepthMax) throw new NotJson(`${place(path)} is nested deeper than ${limits.bodyDepthMax}`);
  const inner = [...parents, value];
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString('base64');
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  if (value instanceof Map || value instanceof Set || value instanceof WeakMap || value instanceof WeakSet) throw new NotJson(`${place(path)} is a ${value.constructor.name}, which JSON has no form for`);
  if ('toJSON' in value && typeof value.toJSON === 'function') return convert((value.toJSON as () => unknown)(), path, inner);
  if (Array.isArray(value)) return value.map((item, index) => convert(item, `${path}[${index}]`, inner));
  const members: [string, JsonValue][] = [];
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) members.push([wellFormedText(key), convert(member, `${path}.${key}`, inner)]);
  }
  return Object.fromEntries(members);
}

function place(path: string): string {
  return path === '' ? 'the value' : `the value at ${path}`;
}
