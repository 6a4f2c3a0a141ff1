import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readMsgpack } from '../../src/cli/from/msgpack.ts';
import { HoldfastError } from '../../src/core/errors.ts';
import { seedOf } from '../support/seed.ts';

/** Values and what the npm package @msgpack/msgpack 3.1 makes of them, in hexadecimal. */
const vectors = JSON.parse(readFileSync(path.join(import.meta.dirname, 'msgpack-vectors.json'), 'utf8')) as readonly (readonly [unknown, string])[];

const none = (): null => null;
const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('MessagePack', () => {
  it('is read as others write it', () => {
    for (const [value, bytes] of vectors) expect(readMsgpack(hex(bytes), none)).toEqual(value);
  });

  it('gives bytes as base64, integers that no number holds as text, keys that are no text as theirs, and extensions to the caller', () => {
    expect(readMsgpack(hex('c4 02 0102'), none)).toBe('AQI=');
    expect(readMsgpack(hex('cf ffffffffffffffff'), none)).toBe('18446744073709551615');
    expect(readMsgpack(hex('d3 8000000000000000'), none)).toBe('-9223372036854775808');
    expect(readMsgpack(hex('cb 7ff8000000000000'), none)).toBe('NaN');
    expect(readMsgpack(hex('81 01 02'), none)).toEqual({ 1: 2 });
    expect(readMsgpack(hex('d4 05 2a'), (code, data, nested) => ({ code, inner: nested(data) }))).toEqual({ code: 5, inner: 42 });
    expect(readMsgpack(hex('81 a9 5f5f70726f746f5f5f 01'), none)).not.toHaveProperty('a');
  });

  it.each([['', 'cut'], ['92 01', 'cut'], ['a5 6162', 'cut'], ['dd ffffffff', 'cut'], ['df ffffffff', 'cut'], ['c1', 'begins no value'], ['01 02', 'more follows'], ['91'.repeat(200) + '01', 'nests deeper']])('%s is refused: %s', (bytes, why) => {
    expect(() => readMsgpack(hex(bytes), none)).toThrow(expect.objectContaining({ code: 'not_msgpack', message: expect.stringContaining(why) as string }) as Error);
  });

  it('takes no more memory than its bytes are worth, however much they promise', () => {
    const promised = 1_000_000;
    const heads = Buffer.concat(Array.from({ length: 90 }, () => hex(`dd ${(promised - 1_000).toString(16).padStart(8, '0')}`)));
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
    expect(() => readMsgpack(Buffer.concat([heads, Buffer.alloc(promised, 0x01)]), none)).toThrow('cut');
    expect(process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - before).toBeLessThan(200_000_000);
    const keys = hex(`${'81'.repeat(60)} a122 ${'01'.repeat(60)}`);
    expect(() => readMsgpack(keys, none)).toThrow('a key that is no text has more than 1000 characters');
    expect(readMsgpack(hex('81 92 01 02 03'), none)).toEqual({ '[1,2]': 3 });
  });

  it('never throws anything else, nor allocates more than there is, whatever the bytes are', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        readMsgpack(bytes, (_code, data, nested) => nested(data));
      } catch (error) {
        expect(error).toBeInstanceOf(HoldfastError);
      }
    }), { seed: seedOf('MessagePack'), numRuns: 2_000 });
  });
});
