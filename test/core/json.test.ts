import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, utf8Bytes, wellFormedJson, wellFormedText, type JsonValue } from '../../src/core/json.ts';
import { seedOf } from '../support/seed.ts';

const seed = seedOf('json');
/** Any UTF-16 text, halves of pairs included. */
const anyText = fc.array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0, 0xd83d, 0xde00, 0x65, 0x7ff, 0x800))).map((units) => String.fromCharCode(...units));

describe('canonical JSON', () => {
  it('sorts keys by their UTF-16 units, at every depth, and has no white space', () => {
    expect(canonicalJson({ b: 1, a: [{ z: null, y: 'ü' }], A: true, '\u{1F600}': 0, '\uFFFD': 0, '': 0, 10: 0, 9: 0 })).toBe('{"":0,"10":0,"9":0,"A":true,"a":[{"y":"ü","z":null}],"b":1,"😀":0,"\uFFFD":0}');
  });

  it('leaves out members that are undefined', () => {
    expect(canonicalJson({ a: undefined, b: { c: undefined } })).toBe('{"b":{}}');
    expect(canonicalJson(undefined)).toBe('null');
  });

  it('tells values apart that are not the same', () => {
    const different: readonly JsonValue[] = [null, '', 0, false, [], {}, [null], [[]], '0', '[]', { a: null }, { a: 0 }, ['a', 0], 'null'];
    expect(new Set(different.map(canonicalJson)).size).toBe(different.length);
  });

  it('is JSON of the same value, and the same whatever the order of the keys', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value as JsonValue);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(canonicalJson(reversed(value as JsonValue))).toBe(text);
      expect(canonicalJson(JSON.parse(text) as JsonValue)).toBe(text);
    }), { seed });
  });
});

function reversed(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map((item) => reversed(item as JsonValue));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).toReversed().map(([key, member]) => [key, reversed(member as JsonValue)]));
}

describe('well-formed text', () => {
  it('has no NUL and no half of a pair, keeps everything else, and is as long as before', () => {
    expect(wellFormedText('a\u0000b\ud83dc\ude00d😀\ufffd')).toBe('a\ufffdb\ufffdc\ufffdd😀\ufffd');
    fc.assert(fc.property(anyText, (text) => {
      const clean = wellFormedText(text);
      expect([clean.isWellFormed(), clean.includes('\u0000'), clean.length]).toEqual([true, false, text.length]);
      expect(wellFormedText(clean)).toBe(clean);
      expect(Buffer.from(clean, 'utf8').toString('utf8')).toBe(clean);
      if (text.isWellFormed() && !text.includes('\u0000')) expect(clean).toBe(text);
    }), { seed });
  });

  it('is every text of a JSON value, keys included; a value that has only such texts stays the same value', () => {
    const clean = { 'a😀': ['b', { c: null }], d: 1 };
    expect(wellFormedJson(clean)).toBe(clean);
    expect(wellFormedJson({ 'k\ud800': ['\u0000', { deep: 'x\udc00' }], kept: clean })).toEqual({ 'k\ufffd': ['\ufffd', { deep: 'x\ufffd' }], kept: clean });
    expect(Object.keys(wellFormedJson(JSON.parse('{"__proto__": "\\u0000"}') as JsonValue) as object)).toEqual(['__proto__']);
    fc.assert(fc.property(fc.jsonValue(), (value) => {
      expect(JSON.stringify(wellFormedJson(value as JsonValue)).isWellFormed()).toBe(true);
    }), { seed });
  });
});

describe('the size of a text in UTF-8', () => {
  it('is that of its encoding', () => {
    for (const text of ['', 'a', 'é', '€', '😀', '\ud83d', '\ude00', '\ude00\ud83d', 'a\ud83d', '\u07ff\u0800\uffff', '\ud83d\ud83d\ude00']) {
      expect([text, utf8Bytes(text)]).toEqual([text, Buffer.byteLength(text, 'utf8')]);
    }
    fc.assert(fc.property(anyText, (text) => {
      expect(utf8Bytes(text)).toBe(Buffer.byteLength(text, 'utf8'));
    }), { seed });
  });
});
