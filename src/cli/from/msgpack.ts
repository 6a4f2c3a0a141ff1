import { HoldfastError } from '../../core/errors.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';

/** Deeper than this nobody nests what a model is to read. */
export const depthMax = 100;
/** A key that is no text becomes its JSON, in so many characters at most: maps as keys of maps would else double with each level. */
const keyCharsMax = 1_000;

/**
 * Reads MessagePack as JSON. Bytes become base64, integers beyond what a number holds exactly become text, keys that are no text become theirs, and `extension` says what becomes of extension types: it is given their bytes, and reads on by `nested`.
 * Throws `HoldfastError` code `not_msgpack` for what is cut, nests too deep, or is none.
 */
export function readMsgpack(bytes: Uint8Array, extension: (code: number, data: Uint8Array, nested: (data: Uint8Array) => JsonValue) => JsonValue): JsonValue {
  return readAll(bytes, 0);

  function readAll(data: Uint8Array, depth: number): JsonValue {
    const reader = new Reader(data, (code, inner, at) => extension(code, inner, (nested) => readAll(nested, at)));
    const value = reader.value(depth);
    if (!reader.isAtEnd) throw wrong('more follows after its value');
    return value;
  }
}

type Extend = (code: number, data: Uint8Array, depth: number) => JsonValue;

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #extend: Extend;
  #at = 0;

  constructor(bytes: Uint8Array, extend: Extend) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#extend = extend;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.byteLength;
  }

  value(depth: number): JsonValue {
    if (depth > depthMax) throw wrong(`it nests deeper than ${depthMax}`);
    const type = this.#unsigned(1);
    if (type <= 0x7f) return type;
    if (type >= 0xe0) return type - 0x100;
    if (type <= 0x8f) return this.#map(type & 0x0f, depth);
    if (type <= 0x9f) return this.#list(type & 0x0f, depth);
    if (type <= 0xbf) return this.#text(type & 0x1f);
    switch (type) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return base64(this.#take(this.#unsigned(2 ** (type - 0xc4))));
      case 0xc7: case 0xc8: case 0xc9: return this.#extension(this.#unsigned(2 ** (type - 0xc7)), depth);
      case 0xca: return finite(this.#view.getFloat32(this.#advance(4)));
      case 0xcb: return finite(this.#view.getFloat64(this.#advance(8)));
      case 0xcc: case 0xcd: case 0xce: return this.#unsigned(2 ** (type - 0xcc));
      case 0xcf: return exact(this.#view.getBigUint64(this.#advance(8)));
      case 0xd0: return this.#view.getInt8(this.#advance(1));
      case 0xd1: return this.#view.getInt16(this.#advance(2));
      case 0xd2: return this.#view.getInt32(this.#advance(4));
      case 0xd3: return exact(this.#view.getBigInt64(this.#advance(8)));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return this.#extension(2 ** (type - 0xd4), depth);
      case 0xd9: case 0xda: case 0xdb: return this.#text(this.#unsigned(2 ** (type - 0xd9)));
      case 0xdc: case 0xdd: return this.#list(this.#unsigned(type === 0xdc ? 2 : 4), depth);
      case 0xde: case 0xdf: return this.#map(this.#unsigned(type === 0xde ? 2 : 4), depth);
      default: throw wrong(`the byte ${type} begins no value`);
    }
  }

  #list(length: number, depth: number): readonly JsonValue[] {
    this.#expect(length);
    // One by one: what is nested promises anew all that is left, and room for each promise would be many times the whole.
    const items: JsonValue[] = [];
    while (items.length < length) items.push(this.value(depth + 1));
    return items;
  }

  #map(length: number, depth: number): JsonObject {
    this.#expect(length * 2);
    const members: [string, JsonValue][] = [];
    while (members.length < length) members.push([keyOf(this.value(depth + 1)), this.value(depth + 1)]);
    return Object.fromEntries(members);
  }

  #extension(length: number, depth: number): JsonValue {
    const code = this.#view.getInt8(this.#advance(1));
    return this.#extend(code, this.#take(length), depth + 1);
  }

  #text(length: number): string {
    return new TextDecoder().decode(this.#take(length));
  }

  #unsigned(bytes: number): number {
    const at = this.#advance(bytes);
    return bytes === 1 ? this.#view.getUint8(at) : bytes === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  /** Each value has a byte at least: a length that cannot be true allocates nothing. */
  #expect(values: number): void {
    if (values > this.#bytes.byteLength - this.#at) throw wrong('it is cut');
  }

  #take(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  #advance(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.byteLength) throw wrong('it is cut');
    this.#at += length;
    return at;
  }
}

function keyOf(key: JsonValue): string {
  if (typeof key === 'string') return key;
  const text = JSON.stringify(key);
  if (text.length > keyCharsMax) throw wrong(`a key that is no text has more than ${keyCharsMax} characters`);
  return text;
}

/** Bytes as text. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function exact(integer: bigint): number | string {
  const number = Number(integer);
  return Number.isSafeInteger(number) ? number : String(integer);
}

function finite(number: number): number | string {
  return Number.isFinite(number) ? number : String(number);
}

function wrong(what: string): HoldfastError {
  return new HoldfastError('not_msgpack', `it is not MessagePack: ${what}`);
}
