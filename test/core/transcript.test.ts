import { describe, expect, it } from 'vitest';
import type { Entry, StepPart } from '../../src/core/entry.ts';
import { wholeLog } from '../../src/core/intervals.ts';
import { foldTranscript } from '../../src/core/transcript.ts';
import { callPart, liveText, PureSession, textPart } from '../support/pure-session.ts';

function transcript(pure: PureSession) {
  return foldTranscript(pure.log, pure.session.visible);
}

function running(text = 'hello'): PureSession {
  const pure = new PureSession({ text });
  pure.claim();
  return pure;
}

/** The parts of the assistant's message that a step with these parts makes. */
function partsOf(...parts: readonly StepPart[]) {
  const pure = running();
  pure.generated(parts, 'stop');
  return transcript(pure)[1]?.parts.slice(1);
}

describe('the transcript', () => {
  it('has a message for each user message, and one for each turn\'s answer, however many steps it has', () => {
    const pure = running();
    pure.generated([{ type: 'reasoning', text: 'hm' }, textPart('let me look'), callPart(0, 'look')]);
    pure.results({ 0: { output: { found: 3 } } });
    pure.generated([textPart('three')]);
    const turnId = pure.last('turn-ended')?.turnId;
    expect(transcript(pure)).toEqual([
      { id: 'msg_0001', role: 'user', metadata: { turnId, seq: 2, atMs: 1_000 }, parts: [{ type: 'text', text: 'hello', state: 'done' }] },
      {
        id: turnId, role: 'assistant', metadata: { turnId, seq: 3, atMs: 1_000, end: 'complete' },
        parts: [
          { type: 'step-start' }, { type: 'reasoning', text: 'hm', state: 'done' }, { type: 'text', text: 'let me look', state: 'done' },
          { type: 'tool-look', toolCallId: 'call_0', state: 'output-available', input: { index: 0 }, output: { found: 3 }, outcome: 'done' },
          { type: 'step-start' }, { type: 'text', text: 'three', state: 'done' },
        ],
      },
    ]);
  });

  it('puts each result with its call, though the provider gave one id to several', () => {
    const pure = running();
    pure.generated([callPart(0, 'look', { toolCallId: 'same' }), callPart(1, 'look', { toolCallId: 'same' })]);
    pure.results({ 0: { output: 'first' }, 1: { output: 'second' } });
    pure.generated([callPart(0, 'look', { toolCallId: 'same' })]);
    pure.results({ 0: { output: 'third' } });
    const outputs = transcript(pure)[1]?.parts.flatMap((part) => ('output' in part ? [part.output] : []));
    expect(outputs).toEqual(['first', 'second', 'third']);
  });

  it('says how a call ended', () => {
    const pure = running();
    pure.generated([callPart(0, 'pay'), callPart(1, 'pay'), callPart(2, 'look')]);
    pure.outcomes = [{ stepSeq: 3, result: { index: 2, toolCallId: 'call_2', toolName: 'look', outcome: 'failed', errorText: 'no luck' } }];
    pure.stop();
    expect(transcript(pure)[1]?.parts.slice(1)).toMatchObject([
      { state: 'output-error', outcome: 'stopped', mayHaveRun: true }, { state: 'output-error', outcome: 'stopped', mayHaveRun: true }, { state: 'output-error', outcome: 'failed', errorText: 'no luck' },
    ]);
  });

  it('shows what a stop kept, an input that was still written included', () => {
    const pure = running();
    pure.show(liveText(0, 'half'), { part: 1, type: 'tool-input', offset: 0, text: '{"a', toolName: 'pay', toolCallId: 'c1' });
    pure.stop();
    expect(transcript(pure)[1]).toMatchObject({ metadata: { end: 'stopped' }, parts: [{ type: 'step-start' }, { text: 'half' }, { type: 'tool-pay', state: 'input-streaming' }] });
  });

  it('has no message for a turn that said nothing, unless it failed: then the message says why', () => {
    const silent = running();
    silent.stop();
    expect(transcript(silent).map(({ role }) => role)).toEqual(['user']);
    const failed = running();
    failed.failed({ code: 'authentication', message: 'no key', retryable: false });
    expect(transcript(failed)[1]).toMatchObject({ role: 'assistant', parts: [], metadata: { end: 'failed', error: { code: 'authentication', message: 'no key' } } });
  });

  it('shows files, sources and what the provider ran itself', () => {
    expect(partsOf(
      { type: 'file', mediaType: 'image/png', data: 'aGk=' }, { type: 'file', mediaType: 'image/png', url: 'https://example.com/a.png' },
      { type: 'source', sourceType: 'url', id: 's1', url: 'https://example.com', title: 'Example' }, { type: 'source', sourceType: 'document', id: 's2', mediaType: 'application/pdf', title: 'Paper', filename: 'p.pdf' },
      callPart(0, 'web_search', { providerExecuted: true, toolCallId: 'p1' }), { type: 'tool-result', toolCallId: 'p1', toolName: 'web_search', output: ['hit'] },
      callPart(1, 'web_search', { providerExecuted: true, toolCallId: 'p2' }), { type: 'tool-result', toolCallId: 'p2', toolName: 'web_search', output: { code: 'x' }, isError: true },
      callPart(2, 'web_search', { providerExecuted: true, toolCallId: 'p3' }), { type: 'other', value: { type: 'custom' } },
    )).toEqual([
      { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,aGk=' }, { type: 'file', mediaType: 'image/png', url: 'https://example.com/a.png' },
      { type: 'source-url', sourceId: 's1', url: 'https://example.com', title: 'Example' }, { type: 'source-document', sourceId: 's2', mediaType: 'application/pdf', title: 'Paper', filename: 'p.pdf' },
      { type: 'tool-web_search', toolCallId: 'p1', state: 'output-available', input: { index: 0 }, providerExecuted: true, output: ['hit'] },
      { type: 'tool-web_search', toolCallId: 'p2', state: 'output-error', input: { index: 1 }, providerExecuted: true, errorText: '{"code":"x"}' },
      { type: 'tool-web_search', toolCallId: 'p3', state: 'input-available', input: { index: 2 }, providerExecuted: true },
    ]);
  });

  it('leaves out what is not visible, what only the model sees, and everything that is beside the history', () => {
    const pure = running('wrong');
    pure.generated([textPart('hi')]);
    pure.send('also wrong');
    pure.claim();
    pure.send('right', 'replace');
    expect(transcript(pure).map(({ parts }) => parts[0])).toEqual([{ type: 'text', text: 'wrong', state: 'done' }, { type: 'step-start' }, { type: 'text', text: 'right', state: 'done' }]);
    const hidden = { kind: 'user-message', turnId: 'turn_x', messageId: 'm', parts: [], seq: 99, v: 1, atMs: 1, visibility: 'model' } satisfies Entry;
    expect(foldTranscript([hidden], wholeLog)).toEqual([]);
  });

  it('may begin anywhere in the log, and is the same from there on', () => {
    const pure = running('one');
    pure.generated([callPart(0, 'look')]);
    pure.results();
    pure.generated([textPart('first')]);
    pure.send('two');
    pure.claim();
    pure.generated([textPart('second')]);
    const whole = transcript(pure);
    for (let from = 0; from < pure.log.length; from += 1) {
      const part = foldTranscript(pure.log.slice(from), pure.session.visible);
      // The last message of a page that begins inside it has only the rest of its parts.
      const begun = whole.filter(({ metadata }) => metadata.seq > from);
      expect(part.slice(part.length - begun.length)).toEqual(begun);
      expect(part.length - begun.length).toBeLessThanOrEqual(1);
    }
  });

  it('is the same whether a turn still goes on or has ended, but for its end', () => {
    const pure = running();
    pure.generated([callPart(0, 'look')]);
    expect(transcript(pure)[1]).toMatchObject({ parts: [{ type: 'step-start' }, { state: 'input-available' }] });
    expect(transcript(pure)[1]?.metadata).not.toHaveProperty('end');
  });
});
