import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StepPart } from '../../src/core/entry.ts';
import { foldSegment, foldSegments, offsetsOf, remainderOf, segmentsAfter, stoppedParts, streamedPartsOf, type StreamedPart, type StreamSegment } from '../../src/core/stream-parts.ts';
import { seedOf } from '../support/seed.ts';

const seed = seedOf('stream parts');
const text = fc.array(fc.constantFrom('a', ' ', 'é', '😀', '\n', '"'), { maxLength: 8 }).map((pieces) => pieces.join(''));

/** The parts of a generation, as a step holds them. */
const stepParts = fc.array(fc.oneof(
  text.map((value): StepPart => ({ type: 'text', text: value })),
  text.map((value): StepPart => ({ type: 'reasoning', text: value })),
  fc.tuple(text, fc.boolean()).map(([value, asWritten]): StepPart => ({
    type: 'tool-call', index: 0, toolCallId: 'c1', toolName: 'pay', input: { value }, ...(asWritten ? { inputText: `{ "value":${JSON.stringify(value)}}` } : {}),
  })),
  text.map((value): StepPart => ({ type: 'partial-call', toolName: 'pay', inputText: value })),
  fc.constant<StepPart>({ type: 'source', sourceType: 'url', id: 's1', url: 'https://example.com' }),
), { maxLength: 5 });

/** A step and the segments by which it is streamed: each part begins with an empty one, and is cut wherever chance wants. */
const streams = fc.tuple(stepParts, fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 20 })).map(([parts, sizes]) => {
  const segments: StreamSegment[] = [];
  for (const [part, whole] of streamedPartsOf({ parts }).entries()) {
    segments.push({ ...whole, part, offset: 0, text: '' });
    for (let offset = 0, turn = 0; offset < whole.text.length; turn += 1) {
      const piece = whole.text.slice(offset, offset + (sizes[(part + turn) % sizes.length] ?? 1));
      segments.push({ part, type: whole.type, offset, text: piece });
      offset += piece.length;
    }
  }
  return { parts, segments };
});

/** What a follower shows: a committed part has no provider's id where it never became a call. */
const shown = (parts: readonly StreamedPart[]) => parts.map(({ type, text: shownText, toolName }) => ({ type, text: shownText, toolName }));

describe('a streamed generation', () => {
  it('folds to what its step holds', () => {
    fc.assert(fc.property(streams, ({ parts, segments }) => {
      expect(shown(foldSegments(segments))).toEqual(shown(streamedPartsOf({ parts })));
    }), { seed });
  });

  it('folds to the same when any of it comes twice', () => {
    fc.assert(fc.property(streams, fc.array(fc.nat(), { maxLength: 10 }), ({ segments }, again) => {
      let parts: readonly StreamedPart[] = [];
      for (const [place, segment] of segments.entries()) {
        parts = foldSegment(parts, segment);
        const earlier = segments[(again[place % Math.max(1, again.length)] ?? 0) % (place + 1)];
        if (earlier !== undefined) parts = foldSegment(parts, earlier);
      }
      expect(parts).toEqual(foldSegments(segments));
    }), { seed });
  });

  it('that is cut anywhere goes on from there, out of the live output as out of the committed step', () => {
    fc.assert(fc.property(streams, fc.nat(), fc.nat(), ({ parts, segments }, cutAt, stepsBack) => {
      const cut = cutAt % (segments.length + 1);
      const seen = foldSegments(segments.slice(0, cut));
      const offsets = offsetsOf(seen);
      // The sender may well send again what came before the cut.
      const from = Math.max(0, cut - (stepsBack % 4));
      const live = segmentsAfter(segments.slice(from), offsets).reduce(foldSegment, seen);
      expect(shown(live)).toEqual(shown(foldSegments(segments)));
      const rest = segmentsAfter(segments, offsets);
      expect(rest.reduce(foldSegment, seen)).toEqual(foldSegments(segments));
      const committed = remainderOf({ parts }, offsets).reduce(foldSegment, seen);
      expect(shown(committed)).toEqual(shown(streamedPartsOf({ parts })));
    }), { seed });
  });

  it('sends nothing of what was seen', () => {
    fc.assert(fc.property(streams, ({ parts, segments }) => {
      const offsets = offsetsOf(foldSegments(segments));
      expect(segmentsAfter(segments, offsets).filter((segment) => segment.text !== '')).toEqual([]);
      expect(remainderOf({ parts }, offsets)).toEqual([]);
    }), { seed });
  });

  it('that is stopped keeps what was shown, and an input that was still written is no call', () => {
    const parts = stoppedParts([{ type: 'reasoning', text: 'hm' }, { type: 'text', text: 'so 😀' }, { type: 'tool-input', text: '{"am', toolName: 'pay', toolCallId: 'c1' }, { type: 'tool-input', text: '' }]);
    expect(parts).toEqual([{ type: 'reasoning', text: 'hm' }, { type: 'text', text: 'so 😀' }, { type: 'partial-call', toolName: 'pay', inputText: '{"am' }, { type: 'partial-call', toolName: '', inputText: '' }]);
    fc.assert(fc.property(streams, ({ segments }) => {
      const seen = foldSegments(segments);
      expect(shown(streamedPartsOf({ parts: stoppedParts(seen) }))).toEqual(shown(seen.map((part) => ({ ...part, toolName: part.type === 'tool-input' ? (part.toolName ?? '') : undefined }) as StreamedPart)));
    }), { seed });
  });
});

describe('segments', () => {
  it('with a gap are the sender\'s error', () => {
    expect(() => foldSegment([], { part: 0, type: 'text', offset: 1, text: 'b' })).toThrow(RangeError);
    expect(() => foldSegment([{ type: 'text', text: 'ab' }], { part: 0, type: 'text', offset: 3, text: 'd' })).toThrow(RangeError);
  });

  it('that overlap what was seen add only what is new', () => {
    expect(foldSegment([{ type: 'text', text: 'abc' }], { part: 0, type: 'text', offset: 1, text: 'bcd' })).toEqual([{ type: 'text', text: 'abcd' }]);
    expect(segmentsAfter([{ part: 0, type: 'text', offset: 1, text: 'bcd' }], [3])).toEqual([{ part: 0, type: 'text', offset: 3, text: 'd' }]);
  });

  it('count in UTF-16 units', () => {
    expect(offsetsOf([{ type: 'text', text: '😀é' }])).toEqual([3]);
    expect(remainderOf({ parts: [{ type: 'text', text: '😀é!' }] }, [3])).toEqual([{ type: 'text', text: '!', part: 0, offset: 3 }]);
  });
});
