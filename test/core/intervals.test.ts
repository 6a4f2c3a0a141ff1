import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutBefore, isVisible, openAt, wholeLog } from '../../src/core/intervals.ts';
import { seedOf } from '../support/seed.ts';

const seqsOf = (visible: Parameters<typeof isVisible>[0], lastSeq: number): readonly number[] =>
  Array.from({ length: lastSeq }, (_, place) => place + 1).filter((seq) => isVisible(visible, seq));

describe('the visible history', () => {
  it('is the whole log at first, whatever is added', () => {
    expect([isVisible(wholeLog, 1), isVisible(wholeLog, 1_000_000)]).toEqual([true, true]);
  });

  it('is cut before a seq: what was before it is kept, what was after it is named', () => {
    const visible = [{ fromSeq: 1, toSeq: 4 }, { fromSeq: 8, toSeq: null }];
    expect(cutBefore(visible, 10, 12)).toEqual({ kept: [{ fromSeq: 1, toSeq: 4 }, { fromSeq: 8, toSeq: 9 }], cut: [{ fromSeq: 10, toSeq: 12 }] });
    expect(cutBefore(visible, 8, 12)).toEqual({ kept: [{ fromSeq: 1, toSeq: 4 }], cut: [{ fromSeq: 8, toSeq: 12 }] });
    expect(cutBefore(visible, 3, 12)).toEqual({ kept: [{ fromSeq: 1, toSeq: 2 }], cut: [{ fromSeq: 3, toSeq: 4 }, { fromSeq: 8, toSeq: 12 }] });
    expect(cutBefore(visible, 1, 12)).toEqual({ kept: [], cut: [{ fromSeq: 1, toSeq: 4 }, { fromSeq: 8, toSeq: 12 }] });
  });

  it('is divided by a cut: every visible seq is kept or cut, and none is both', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 6 }), (cuts) => {
      let visible = wholeLog;
      let lastSeq = 10;
      for (const seq of cuts) {
        const before = seqsOf(visible, lastSeq);
        const { kept, cut } = cutBefore(visible, Math.min(seq, lastSeq), lastSeq);
        expect([...seqsOf(kept, lastSeq), ...seqsOf(cut, lastSeq)].toSorted((left, right) => left - right)).toEqual(before);
        expect(seqsOf(kept, lastSeq).every((each) => each < Math.min(seq, lastSeq))).toBe(true);
        lastSeq += 3;
        visible = openAt(kept, lastSeq - 1);
        expect(seqsOf(visible, lastSeq)).toEqual([...seqsOf(kept, lastSeq), lastSeq - 1, lastSeq]);
      }
    }), { seed: seedOf('intervals') });
  });
});
