import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { labelText } from '../../src/core/label-text.ts';
import { seedOf } from '../support/seed.ts';

describe('a label', () => {
  it.each([
    ['Refund of an order', 'Refund of an order'],
    ['  "Refund of an order"\n', 'Refund of an order'],
    ['Title: Refund', 'Refund'],
    ['\n\n# **Refund of an order**\nMore that nobody asked for', 'Refund of an order'],
    ['“Rückerstattung”', 'Rückerstattung'],
    ['a\tb \u0000 c\u200b', 'a b c'],
    ['Kim\'s order', 'Kim\'s order'],
    ['天気', '天気'],
    ['👋', '👋'],
    ['', null], ['  \n ""', null], ['—', null], ['***', null], ['`', null],
  ])('out of %j is %j', (said, label) => {
    expect(labelText('title', said)).toBe(label);
  });

  it('is one line of well-formed text, no longer than it may be, whatever was said', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (said) => {
      const label = labelText('summary', said);
      if (label === null) return;
      expect([label.length <= 200, label.isWellFormed(), label.trim() === label, /[\n\r\0]/.test(label), label === '']).toEqual([true, true, true, false, false]);
    }), { seed: seedOf('label text'), numRuns: 1_000 });
    expect(labelText('title', '😀'.repeat(300))).toBe(`${'😀'.repeat(99)}…`);
  });
});
