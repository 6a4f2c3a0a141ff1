import { safeValidateUIMessages } from 'ai';
import { describe, expect, it } from 'vitest';
import type { Entry, StepPart } from '../../src/core/entry.ts';
import { wholeLog } from '../../src/core/intervals.ts';
import { cancelOperation, settleOperation } from '../../src/core/operation-transitions.ts';
import { recordLateResult } from '../../src/core/settle.ts';
import { foldTranscript, type TranscriptToolPart } from '../../src/core/transcript.ts';
import { callPart, liveText, PureSession, textPart } from '../support/pure-session.ts';

function transcript(pure: PureSession) {
  return foldTranscript(pure.log, pure.session.visible);
}

function running(text = 'hello'): PureSession {
  const pure = new PureSession({ text });
  pure.claim();
  return pure;
}

/** The tool parts of all messages; what they are in is what an AI SDK client takes. */
async function toolParts(pure: PureSession): Promise<readonly TranscriptToolPart[]> {
  const messages = transcript(pure);
  const checked = await safeValidateUIMessages({ messages });
  expect(checked.success ? null : String(checked.error)).toBeNull();
  return messages.flatMap(({ parts }) => parts.filter((part): part is TranscriptToolPart => part.type.startsWith('tool-')));
}

const approval = { needs: { type: 'approval', reason: 'over 100' }, inputHash: 'h' } as const;

/** A turn that paused after a step with these calls. */
function paused(...parts: readonly StepPart[]): PureSession {
  const pure = running();
  pure.generated(parts);
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
          { type: 'tool-look', toolCallId: 'call_0', callId: '3-0', state: 'output-available', input: { index: 0 }, output: { found: 3 }, outcome: 'done' },
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
      { type: 'tool-web_search', toolCallId: 'p1', callId: '3-0', state: 'output-available', input: { index: 0 }, providerExecuted: true, output: ['hit'] },
      { type: 'tool-web_search', toolCallId: 'p2', callId: '3-1', state: 'output-error', input: { index: 1 }, providerExecuted: true, errorText: '{"code":"x"}' },
      { type: 'tool-web_search', toolCallId: 'p3', callId: '3-2', state: 'input-available', input: { index: 2 }, providerExecuted: true },
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

describe('a call that waits for somebody', () => {
  it('is asked for, answered and run in the states of the AI SDK', async () => {
    const pure = paused(callPart(0, 'pay', approval));
    expect(await toolParts(pure)).toEqual([{
      type: 'tool-pay', toolCallId: 'call_0', callId: '3-0', input: { index: 0 }, state: 'approval-requested',
      approval: { id: 'act_3_0', requestReason: 'over 100' }, action: { id: 'act_3_0', type: 'approval', expiresAtMs: null },
    }]);
    pure.answer(0, { type: 'approve', input: { index: 7 } });
    const [responded] = await toolParts(pure);
    expect(responded).toMatchObject({ state: 'approval-responded', approval: { id: 'act_3_0', approved: true }, input: { index: 0 }, approvedInput: { index: 7 } });
    expect(responded).not.toHaveProperty('action');
    pure.claim();
    pure.results();
    expect(await toolParts(pure)).toMatchObject([{ state: 'output-available', approval: { id: 'act_3_0', approved: true }, output: 'result 0', input: { index: 0 }, approvedInput: { index: 7 } }]);
  });

  it('is denied by somebody, with the reason; or by the agent\'s own rules, which is said too', async () => {
    const pure = paused(callPart(0, 'pay', approval), callPart(1, 'look', { needs: { type: 'client-tool' } }), callPart(2, 'pay', { denied: { code: 'headless', reason: 'nobody to ask' } }));
    pure.answer(0, { type: 'deny', reason: 'too dear' });
    expect((await toolParts(pure))[0]).toMatchObject({ state: 'approval-responded', approval: { id: 'act_3_0', approved: false, reason: 'too dear', requestReason: 'over 100' } });
    pure.answer(1, { type: 'deny' });
    pure.claim();
    const parts = await toolParts(pure);
    expect(parts).toMatchObject([
      { state: 'output-denied', outcome: 'denied', approval: { id: 'act_3_0', approved: false, reason: 'too dear' } }, { state: 'output-denied', outcome: 'denied', approval: { id: 'act_3_1', approved: false } },
      { state: 'output-denied', outcome: 'denied', code: 'headless', approval: { approved: false, reason: 'nobody to ask', isAutomatic: true } },
    ]);
    for (const part of parts) expect(part).not.toHaveProperty('errorText');
  });

  it('of a client tool and of a question names the action as long as it waits', async () => {
    const pure = paused(callPart(0, 'where', { needs: { type: 'client-tool', expiresAfterMs: 60 } }), callPart(1, 'which', { needs: { type: 'question' } }), callPart(2, 'pay', approval));
    expect((await toolParts(pure)).slice(0, 2)).toMatchObject([
      { state: 'input-available', action: { id: 'act_3_0', type: 'client-tool', expiresAtMs: 1_060 } }, { state: 'input-available', action: { id: 'act_3_1', type: 'question', expiresAtMs: null } },
    ]);
    pure.answer(1, { type: 'answer', value: 'left' });
    const [, answered] = await toolParts(pure);
    expect(answered).toMatchObject({ state: 'input-available' });
    expect(answered).not.toHaveProperty('action');
    pure.untilDue();
    pure.claim();
    expect((await toolParts(pure))[0]).toMatchObject({ state: 'output-error', outcome: 'expired', code: 'expired' });
    pure.answer(2, { type: 'approve' });
    pure.claim();
    pure.results();
    expect(await toolParts(pure)).toMatchObject([{ outcome: 'expired' }, { state: 'output-available', output: 'left' }, { state: 'output-available' }]);
  });

  it('that may have run when its worker died is asked about like an approval', async () => {
    const pure = paused(callPart(0, 'wire', approval));
    pure.answer(0, { type: 'approve' });
    pure.claim();
    pure.takeOver();
    const [asked] = await toolParts(pure);
    expect(asked).toMatchObject({ state: 'approval-requested', action: { type: 'recovery' } });
    expect(asked?.approval?.id).not.toBe('act_3_0');
    pure.answer(0, { type: 'deny' });
    pure.claim();
    expect(await toolParts(pure)).toMatchObject([{ state: 'output-error', outcome: 'unknown', approval: { id: 'act_3_0', approved: true } }]);
  });

  it('whose turn is stopped waits no more', async () => {
    const pure = paused(callPart(0, 'pay', approval));
    pure.stop();
    const [part] = await toolParts(pure);
    expect(part).toMatchObject({ state: 'output-error', outcome: 'stopped' });
    expect(part).not.toHaveProperty('action');
    expect(part).not.toHaveProperty('approval');
  });
});

describe('what comes of a call after its step', () => {
  const detached = { operation: { mode: 'detach' } } as const;

  function operationOf(pure: PureSession): string {
    return [...pure.operations.keys()].at(-1) ?? '';
  }

  it('shows a detached operation on its call, which keeps its first answer, in whatever turn it ends', async () => {
    const pure = paused(callPart(0, 'look', detached));
    pure.generated([textPart('started')]);
    const id = operationOf(pure);
    const first = { state: 'output-available', outcome: 'done', output: { operationId: id, status: 'started' } };
    expect(await toolParts(pure)).toMatchObject([{ ...first, operation: { id, status: 'started' } }]);
    pure.send('and?');
    pure.claim();
    const claimed = pure.claimOperation(id);
    if ('refused' in claimed) throw new Error(claimed.message);
    pure.changeOperation(id, settleOperation(claimed.lease, { index: 0, toolCallId: 'call_0', toolName: 'look', outcome: 'done', output: { indexed: 3 } }, pure.circumstances));
    expect(await toolParts(pure)).toMatchObject([{ ...first, operation: { id, status: 'succeeded', result: { outcome: 'done', output: { indexed: 3 } } } }]);
    pure.generated([textPart('wait')]);
    // The result that the model is given is nothing that a person sees.
    expect(pure.last('operation-result')).toBeDefined();
    pure.generated([textPart('three')]);
    expect(transcript(pure).map(({ role, parts }) => [role, parts.flatMap((part) => (part.type === 'text' ? [part.text] : []))])).toEqual([['user', ['hello']], ['assistant', ['started']], ['user', ['and?']], ['assistant', ['wait', 'three']]]);
  });

  it('has an assistant message without a user message for the turn that an operation\'s result opens', async () => {
    const pure = paused(callPart(0, 'look', detached));
    pure.generated([textPart('started')]);
    const id = operationOf(pure);
    const claimed = pure.claimOperation(id);
    if ('refused' in claimed) throw new Error(claimed.message);
    pure.changeOperation(id, settleOperation(claimed.lease, { index: 0, toolCallId: 'call_0', toolName: 'look', outcome: 'failed', errorText: 'no disk' }, pure.circumstances));
    pure.claim();
    pure.generated([textPart('it failed')]);
    expect(transcript(pure).map(({ role, metadata }) => [role, metadata.turnId])).toEqual([
      ['user', pure.entries('user-message')[0]?.turnId], ['assistant', pure.entries('user-message')[0]?.turnId], ['assistant', pure.last('turn-started')?.turnId],
    ]);
    expect(await toolParts(pure)).toMatchObject([{ operation: { id, status: 'failed', result: { errorText: 'no disk' } } }]);
  });

  it('has no result beside the call\'s own of an operation that the call waits for, and none of one that was cancelled', async () => {
    const pure = paused(callPart(0, 'look', { operation: { mode: 'await' } }), callPart(1, 'look', detached));
    const [awaited = '', other = ''] = [...pure.operations.keys()];
    pure.changeOperation(other, cancelOperation(pure.circumstances));
    const claimed = pure.claimOperation(awaited);
    if ('refused' in claimed) throw new Error(claimed.message);
    pure.changeOperation(awaited, settleOperation(claimed.lease, { index: 0, toolCallId: 'call_0', toolName: 'look', outcome: 'done', output: 5 }, pure.circumstances));
    pure.claim();
    const parts = await toolParts(pure);
    expect(parts[0]).toMatchObject({ output: 5 });
    expect(parts.map(({ operation }) => operation)).toEqual([{ id: awaited, status: 'succeeded' }, { id: other, status: 'cancelled' }]);
  });

  it('shows a real result that came late beside the outcome, and only beside one that had given up', async () => {
    const pure = paused(callPart(0, 'pay'), callPart(1, 'look'));
    pure.settleResults([{ index: 1, toolCallId: 'call_1', toolName: 'look', outcome: 'done', output: 'seen' }]);
    pure.stop();
    const late = (index: number, output: string) => ({ index, toolCallId: `call_${index}`, toolName: 'pay', outcome: 'done', output }) as const;
    const turnId = pure.last('turn-ended')?.turnId ?? '';
    pure.must(recordLateResult(turnId, 3, late(0, 'paid'), pure.nowMs));
    pure.must(recordLateResult(turnId, 3, late(1, 'seen again'), pure.nowMs));
    expect(await toolParts(pure)).toMatchObject([{ state: 'output-error', outcome: 'stopped', lateResult: { output: 'paid' } }, { state: 'output-available', output: 'seen' }]);
    expect((await toolParts(pure))[1]).not.toHaveProperty('lateResult');
  });

  it('counts also where the history at that place is not visible', () => {
    const pure = paused(callPart(0, 'look', detached));
    pure.generated([textPart('started')]);
    const { length } = pure.log;
    const ended: Entry = { kind: 'operation-ended', seq: length + 1, v: 1, atMs: 2_000, operationId: operationOf(pure), mode: 'detach', stepSeq: 3, index: 0, toolCallId: 'call_0', toolName: 'look', status: 'unknown' };
    const messages = foldTranscript([...pure.log, ended], [{ fromSeq: 1, toSeq: length }]);
    expect(messages[1]?.parts[1]).toMatchObject({ operation: { status: 'unknown' } });
    // Of a call that is not visible nothing is.
    expect(foldTranscript([...pure.log, ended], [{ fromSeq: 1, toSeq: 2 }])).toHaveLength(1);
  });

  it('says how many bytes a result had that is shown shortened', async () => {
    const pure = paused(callPart(0, 'look'));
    pure.results({ 0: { output: 'head … tail', wholeBytes: 500_000, wholeId: 'res_1' } });
    expect(await toolParts(pure)).toMatchObject([{ callId: '3-0', output: 'head … tail', wholeBytes: 500_000 }]);
  });
});

describe('a message that joins a running turn', () => {
  it('is a user message inside the turn: the answer is split there, under ids that stay', () => {
    const pure = paused(textPart('looking'), callPart(0, 'look'));
    const before = transcript(pure);
    pure.send('and in Bergen', 'steer');
    expect(transcript(pure)).toEqual(before);
    pure.results();
    const steered = pure.last('user-message');
    expect(steered).toMatchObject({ steered: true, turnId: before[1]?.metadata.turnId });
    pure.generated([textPart('both')]);
    const turnId = before[1]?.metadata.turnId;
    const messages = transcript(pure);
    expect(messages.map(({ id, role, metadata }) => [id, role, metadata.turnId, metadata.end])).toEqual([
      ['msg_0001', 'user', turnId, undefined], [turnId, 'assistant', turnId, undefined], [steered?.messageId, 'user', turnId, undefined], [`${turnId}_${steered?.seq}`, 'assistant', turnId, 'complete'],
    ]);
    expect(messages[1]?.parts).toMatchObject([{ type: 'step-start' }, { text: 'looking' }, { state: 'output-available' }]);
  });

  it('opens its own turn where it came too late', () => {
    const pure = running();
    pure.send('and in Bergen', 'steer');
    pure.stop();
    pure.claim();
    pure.generated([textPart('rain')]);
    const turnId = pure.last('user-message')?.turnId;
    expect(transcript(pure).map(({ id, role }) => [id, role])).toEqual([['msg_0001', 'user'], [pure.last('user-message')?.messageId, 'user'], [turnId, 'assistant']]);
  });
});
