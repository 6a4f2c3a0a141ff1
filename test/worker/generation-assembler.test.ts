import type { LanguageModelV4StreamPart } from '@ai-sdk/provider';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tool } from '../../src/index.ts';
import type { StepPart } from '../../src/core/entry.ts';
import { wellFormedText } from '../../src/core/json.ts';
import { foldSegments, offsetsOf, remainderOf, streamedPartsOf, type StreamedPart, type StreamSegment } from '../../src/core/stream-parts.ts';
import { gate } from '../../src/testing/gate.ts';
import { StreamAssembler } from '../../src/worker/stream-assembler.ts';
import { ofKind, startTurn } from '../support/run-turn.ts';

type Part = LanguageModelV4StreamPart;

/** Texts with everything that goes wrong in texts: halves of surrogate pairs, NUL, whole pairs, quotes. */
const troublesomeText = fc.string({ unit: fc.constantFrom('a', 'é', '🌊', '\ud83c', '\udf0a', '\0', '"', '{', '\\', '\n'), maxLength: 12 });
const id = fc.constantFrom('a', 'b', 'c\0', 'd\ud83c');
const kind = fc.constantFrom('text' as const, 'reasoning' as const, 'tool-input' as const);

/** Any order of parts, the impossible ones too: ends without beginnings, beginnings twice, calls out of nowhere. */
const anyPart: fc.Arbitrary<Part> = fc.oneof(
  fc.tuple(kind, id).map(([type, at]): Part => (type === 'tool-input' ? { type: 'tool-input-start', id: at, toolName: `tool_${at}` } : { type: `${type}-start`, id: at })),
  { weight: 5, arbitrary: fc.tuple(kind, id, troublesomeText).map(([type, at, delta]): Part => ({ type: `${type}-delta`, id: at, delta })) },
  fc.tuple(kind, id).map(([type, at]): Part => ({ type: `${type}-end`, id: at })),
  fc.tuple(id, troublesomeText).map(([at, input]): Part => ({ type: 'tool-call', toolCallId: at, toolName: `tool_${at}`, input })),
  fc.constantFrom<Part>(
    { type: 'tool-result', toolCallId: 'a', toolName: 'tool_a', result: '\0' }, { type: 'source', sourceType: 'url', id: 's', url: 'https://example.com/' },
    { type: 'response-metadata', id: 'r' }, { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'AA==' } },
  ),
);

function assemble(parts: readonly Part[]): { readonly assembler: StreamAssembler; readonly segments: readonly StreamSegment[] } {
  const assembler = new StreamAssembler();
  const segments = parts.flatMap((part) => assembler.accept(part));
  return { assembler, segments };
}

/** The parts as a step holds them, its calls not yet checked. */
function stepParts(assembler: StreamAssembler): readonly StepPart[] {
  return assembler.parts().map((part) => {
    if (part.type !== 'raw-call') return part;
    const { toolCallId, toolName } = part.call;
    return { type: 'tool-call', index: 0, toolCallId, toolName, input: null, inputText: part.streamedText };
  });
}

/** Without the id of a call whose input was cut off, which a step does not keep, and the name of one that its provider named only at its end. */
function comparable(parts: readonly StreamedPart[], committed: readonly StreamedPart[]): readonly StreamedPart[] {
  return parts.map(({ toolCallId, toolName, ...part }, place) => {
    const known = committed[place];
    return {
      ...part,
      ...(toolName === undefined ? {} : { toolName: toolName === '' ? (known?.toolName ?? '') : toolName }),
      ...(known?.toolCallId === undefined ? {} : { toolCallId: toolCallId ?? '' }),
    };
  });
}

describe('a stream that is put together', () => {
  it('shows exactly what is committed, whatever the order of its parts', () => {
    fc.assert(fc.property(fc.array(anyPart, { maxLength: 40 }), (parts) => {
      const { assembler, segments } = assemble(parts);
      const committed = streamedPartsOf({ parts: stepParts(assembler) });
      expect(comparable(foldSegments(segments), committed)).toEqual(committed);
      for (const { text } of segments) expect(wellFormedText(text)).toBe(text);
    }), { numRuns: 500 });
  });

  it('can be left and gone on with at any place', () => {
    fc.assert(fc.property(fc.array(anyPart, { maxLength: 40 }), fc.nat(), (parts, cut) => {
      const { assembler, segments } = assemble(parts);
      const seen = foldSegments(segments.slice(0, cut % (segments.length + 1)));
      const step = { parts: stepParts(assembler) };
      const rest = remainderOf(step, offsetsOf(seen));
      const resumed = foldSegments([...seen.map((part, place): StreamSegment => ({ ...part, part: place, offset: 0 })), ...rest]);
      expect(resumed.map(({ type, text }) => ({ type, text }))).toEqual(streamedPartsOf(step).map(({ type, text }) => ({ type, text })));
    }), { numRuns: 500 });
  });

  it('keeps every character of a well-formed text, wherever its deltas are split', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '🌊', 'é', '👩‍🚀', '中'), minLength: 1, maxLength: 30 });
    fc.assert(fc.property(text, fc.array(fc.nat(), { maxLength: 8 }), kind, (whole, places, type) => {
      const cuts = [...new Set(places.map((place) => place % (whole.length + 1)))].toSorted((left, right) => left - right);
      const deltas = [0, ...cuts].map((from, place) => whole.slice(from, cuts[place] ?? whole.length));
      const start: Part = type === 'tool-input' ? { type: 'tool-input-start', id: 'x', toolName: 't' } : { type: `${type}-start`, id: 'x' };
      const { segments } = assemble([start, ...deltas.map((delta): Part => ({ type: `${type}-delta`, id: 'x', delta })), { type: `${type}-end`, id: 'x' }]);
      expect(foldSegments(segments)).toMatchObject([{ type, text: whole }]);
      for (const segment of segments) expect(segment.text.isWellFormed()).toBe(true);
    }), { numRuns: 500 });
  });

  it('makes half a surrogate pair that stays alone, and NUL, visible as replacement characters', () => {
    const { assembler } = assemble([
      { type: 'text-start', id: 'x' }, { type: 'text-delta', id: 'x', delta: 'a\ud83c' }, { type: 'text-delta', id: 'x', delta: 'b\0' },
      { type: 'text-delta', id: 'x', delta: '\udf0a\ud83c' }, { type: 'text-end', id: 'x' },
    ]);
    expect(assembler.parts()).toEqual([{ type: 'text', text: 'a\ufffdb\ufffd\ufffd\ufffd' }]);
  });

  it('keeps parts in the order in which they began, with what the provider attached to each', () => {
    const { assembler } = assemble([
      { type: 'reasoning-start', id: 'r', providerMetadata: { p: { item: 1 } } }, { type: 'text-start', id: 't' }, { type: 'reasoning-delta', id: 'r', delta: 'hm' },
      { type: 'text-delta', id: 't', delta: 'yes' }, { type: 'reasoning-delta', id: 'r', delta: '', providerMetadata: { q: { signature: 's' } } }, { type: 'text-end', id: 't' },
      { type: 'reasoning-end', id: 'r' },
    ]);
    expect(assembler.parts()).toEqual([{ type: 'reasoning', text: 'hm', providerMetadata: { p: { item: 1 }, q: { signature: 's' } } }, { type: 'text', text: 'yes' }]);
  });

  it('keeps files, sources and custom content as plain JSON', () => {
    const { assembler } = assemble([
      { type: 'file', mediaType: 'image/png', data: { type: 'data', data: new Uint8Array([1, 2, 3]) } }, { type: 'file', mediaType: 'image/png', data: { type: 'url', url: new URL('https://example.com/a.png') } },
      { type: 'source', sourceType: 'document', id: 'd', mediaType: 'text/plain', title: 'a\0b' }, { type: 'custom', kind: 'p.note', providerMetadata: { p: { n: 1 } } },
      { type: 'tool-result', toolCallId: 'c', toolName: 't', result: 'early', preliminary: true }, { type: 'tool-result', toolCallId: 'c', toolName: 't', result: { at: 1 }, isError: true },
    ]);
    expect(assembler.parts()).toEqual([
      { type: 'file', mediaType: 'image/png', data: 'AQID' }, { type: 'file', mediaType: 'image/png', url: 'https://example.com/a.png' },
      { type: 'source', sourceType: 'document', id: 'd', mediaType: 'text/plain', title: 'a\ufffdb' }, { type: 'other', value: { type: 'custom', kind: 'p.note', providerMetadata: { p: { n: 1 } } } },
      { type: 'tool-result', toolCallId: 'c', toolName: 't', output: { at: 1 }, isError: true },
    ]);
  });
});

describe('a step in the log', () => {
  const pieces = fc.array(troublesomeText, { minLength: 1, maxLength: 5 });

  it('holds what was shown of it and what its calls were given, to the last character', { timeout: 60_000 }, async () => {
    const take = tool({ recovery: 'rerun', inputSchema: z.unknown(), execute: () => 'taken' });
    await fc.assert(fc.asyncProperty(pieces, pieces, fc.jsonValue(), fc.boolean(), async (said, thought, value, spaced) => {
      const open = gate();
      const input = JSON.stringify(value, null, spaced ? 1 : 0);
      const middle = Math.floor(input.length / 2);
      const { session, turn } = await startTurn({
        tools: { take },
        script: [[{ text: ['first ', ...said] }, { gate: open }, { reasoning: thought }, { call: 'take', inputText: [input.slice(0, middle), input.slice(middle)] }], 'done'],
      });
      const shown: StreamSegment[] = [];
      for await (const event of session.events()) {
        if (event.type === 'chunk') shown.push(...event.segments);
        open.open();
        if (event.type === 'entry' && event.entry.kind === 'assistant-step') break;
      }
      await turn.result;
      const step = ofKind(await session.entries(), 'assistant-step')[0];
      const committed = streamedPartsOf(step ?? { parts: [] });
      const text = wellFormedText(`first ${said.join('')}`);
      expect(committed.map((part) => part.text)).toEqual([text, wellFormedText(thought.join('')), input]);
      if (shown.length > 0) expect(foldSegments(shown).map((part) => part.text)).toEqual(committed.map((part) => part.text));
      expect(step?.parts[2]).toMatchObject({ type: 'tool-call', input: JSON.parse(input) as unknown });
      expect('inputText' in (step?.parts[2] ?? {})).toBe(input !== JSON.stringify(JSON.parse(input)));
    }), { numRuns: 40 });
  });
});
