import type { LanguageModelV4, LanguageModelV4StreamPart, LanguageModelV4StreamResult } from '@ai-sdk/provider';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tool } from '../../src/index.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedItem } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { calling, ofKind, runTurn, startTurn, toolOutputs } from '../support/run-turn.ts';

const look = tool({ recovery: 'rerun', inputSchema: z.object({ at: z.number().default(0) }), execute: ({ at }) => `saw ${at}` });

function parts(...all: readonly LanguageModelV4StreamPart[]): readonly ScriptedItem[] {
  return all.map((part) => ({ part }));
}

function finish(unified: 'stop' | 'tool-calls' | 'other' | 'interrupted' | 'error' = 'stop', raw: string | undefined = unified): LanguageModelV4StreamPart {
  const known = { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 };
  return { type: 'finish', finishReason: { unified, raw }, usage: { inputTokens: known, outputTokens: { total: 1, text: 1, reasoning: 0 } } };
}

/** A model that does what it is told, once, and nothing with an abort. */
function stubbornModel(doStream: () => LanguageModelV4StreamResult | PromiseLike<LanguageModelV4StreamResult>): LanguageModelV4 {
  return { specificationVersion: 'v4', provider: 'stubborn', modelId: 'stubborn-1', supportedUrls: {}, doGenerate: () => Promise.reject(new Error('not asked for')), doStream: doStream as LanguageModelV4['doStream'] };
}

describe('a generation', () => {
  it('that is empty finishes the turn, without a message', async () => {
    const { result, entries, session } = await runTurn({ script: [[{ finish: 'stop' }]] });
    expect(result).toMatchObject({ reason: 'complete', text: '' });
    expect(ofKind(entries, 'assistant-step')).toMatchObject([{ parts: [], finishReason: 'stop', attempt: { usage: { inputTokens: 10, outputTokens: 5 }, providerResponseId: 'response_0' } }]);
    expect((await session.messages()).items.map(({ role }) => role)).toEqual(['user']);
  });

  it('keeps what comes after the finish part, and the last finish counts', async () => {
    const { result, entries } = await runTurn({ script: [[...parts({ type: 'text-start', id: 't' }, { type: 'text-delta', id: 't', delta: 'one' }, finish('stop'), { type: 'text-delta', id: 't', delta: ' two' }, finish('stop', 'end'))]] });
    expect(result.text).toBe('one two');
    expect(ofKind(entries, 'assistant-step')).toMatchObject([{ finishReason: 'stop' }]);
  });

  it('that has finished is whole, whatever becomes of its stream then', async () => {
    const said = parts({ type: 'text-start', id: 't' }, { type: 'text-delta', id: 't', delta: 'all of it' }, { type: 'text-end', id: 't' }, finish());
    const broken = new ReadableStream<LanguageModelV4StreamPart>({
      async pull(controller) {
        const next = said[sent];
        sent += 1;
        if (next !== undefined && 'part' in next) controller.enqueue(next.part);
        else controller.error(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
      },
    });
    let sent = 0;
    const { result, entries } = await runTurn({ script: [], agent: { model: stubbornModel(() => ({ stream: broken })) } });
    expect(result).toMatchObject({ reason: 'complete', text: 'all of it' });
    expect(ofKind(entries, 'attempt-failed')).toEqual([]);
  });

  it('that never closes its stream after it has finished is whole after the time of silence', async () => {
    const system = fakeSystem();
    const { turn, model } = await startTurn({ system, script: [[{ text: 'all of it' }, { finish: 'stop' }, { silent: true }]], agent: { limits: { silenceTimeoutMs: 1_000 } } });
    await model.called(0);
    await system.advance(1_000);
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'all of it' });
  });

  it.each<[string, readonly ScriptedItem[]]>([
    ['no finish part', [{ text: 'half' }, { truncated: true }]],
    ['a finish part that the package made up', [{ text: 'half' }, { part: finish('interrupted', undefined) }]],
    ['a finish part without a reason', [{ text: 'half' }, { part: { ...finish(), finishReason: { unified: 'other', raw: undefined } } as LanguageModelV4StreamPart }]],
    ['half a call', [{ part: { type: 'tool-input-start', id: 'c', toolName: 'look' } }, { part: { type: 'tool-input-delta', id: 'c', delta: '{"at":' } }, { truncated: true }]],
  ])('whose stream ends with %s is tried again', async (_what, items) => {
    const system = fakeSystem();
    const { turn, session, model } = await startTurn({ system, tools: { look }, script: [items, 'whole'] });
    await eventually('a failed attempt', async () => ofKind(await session.entries(), 'attempt-failed')[0]);
    await system.advance(1_000);
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'whole' });
    expect(ofKind(await session.entries(), 'attempt-failed')).toMatchObject([{ error: { code: 'truncated_stream', retryable: true } }]);
    expect(model.calls).toHaveLength(2);
  });

  it('that ends with a reason which only its provider knows is whole', async () => {
    const { result } = await runTurn({ script: [[{ text: 'whole' }, { finish: 'other', raw: 'pause_turn' }]] });
    expect(result).toMatchObject({ reason: 'complete', text: 'whole' });
  });

  it('whose model throws before it returns fails as any other', async () => {
    const { result } = await runTurn({ script: [], agent: { model: stubbornModel(() => { throw new Error('no such deployment: model_not_found'); }) } });
    expect(result).toMatchObject({ reason: 'failed', error: { code: 'configuration', provider: 'stubborn', retryable: false } });
  });

  it('whose stream errors in the middle is tried again if that may help', async () => {
    const system = fakeSystem();
    const { turn, session } = await startTurn({ system, script: [[{ text: 'half' }, { error: Object.assign(new TypeError('terminated'), { cause: new Error('other side closed') }) }], 'whole'] });
    await eventually('a failed attempt', async () => ofKind(await session.entries(), 'attempt-failed')[0]);
    await system.advance(1_000);
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'whole' });
    expect(ofKind(await session.entries(), 'attempt-failed')).toMatchObject([{ error: { code: 'connection_reset', message: 'terminated (other side closed)' } }]);
  });

  it.each<[string, () => LanguageModelV4StreamResult | Promise<LanguageModelV4StreamResult>]>([
    ['never answers', () => new Promise(() => undefined)],
    ['never says anything', () => ({ stream: new ReadableStream() })],
    ['never says anything and never lets itself be cancelled', () => ({ stream: new ReadableStream({ cancel: () => new Promise(() => undefined) }) })],
  ])('whose model %s and ignores the abort ends on stop, and the session goes on', async (_what, doStream) => {
    const { holdfast, session, turn } = await startTurn({ script: [], agent: { model: stubbornModel(doStream), models: { other: stubbornModel(() => ({ stream: streamOf(finish()) })) } } });
    await eventually('the generation to run', () => holdfast.worker?.runs === 1);
    await session.stop();
    expect((await turn.result).reason).toBe('stopped');
    await eventually('the worker to let go', () => holdfast.worker?.runs === 0);
    expect((await (await session.send({ text: 'on', model: 'other' })).result).reason).toBe('complete');
  });

  it('is given up after the time for its first part, even if its model ignores the abort', async () => {
    const system = fakeSystem();
    const { session } = await startTurn({ system, script: [], agent: { model: stubbornModel(() => new Promise(() => undefined)), limits: { firstChunkTimeoutMs: 2_000 } } });
    await system.advance(2_000);
    expect(ofKind(await session.entries(), 'attempt-failed')).toMatchObject([{ error: { code: 'timeout', retryable: true } }]);
    await session.stop();
  });

  it('that says something now and then is not taken for silent', async () => {
    const system = fakeSystem();
    const model = scriptedModel([[{ text: 'a' }, { delayMs: 900 }, { text: 'b' }, { delayMs: 900 }, { part: { type: 'ping' } }, { delayMs: 900 }, { text: 'c' }]], { clock: system.clock });
    const { turn } = await startTurn({ system, script: [], agent: { model, limits: { firstChunkTimeoutMs: 500, silenceTimeoutMs: 1_000 } } });
    await system.advance(2_700);
    expect((await turn.result).reason).toBe('complete');
    expect(model.calls).toHaveLength(1);
  });

  it('is not taken for begun by what announces it', async () => {
    const system = fakeSystem();
    const announced: ScriptedItem = { part: { type: 'custom', kind: 'anthropic.message_start', providerMetadata: { anthropic: { id: 'msg_1' } } } };
    const { session } = await startTurn({ system, script: [[announced, { silent: true }]], agent: { limits: { firstChunkTimeoutMs: 2_000, silenceTimeoutMs: 9_000 } } });
    await system.advance(2_000);
    expect(ofKind(await session.entries(), 'attempt-failed')).toMatchObject([{ error: { code: 'timeout' } }]);
    await session.stop();
  });

  it('shows and keeps deltas of any size', async () => {
    const huge = '🌊'.repeat(300_000);
    const open = gate();
    const { session, turn } = await startTurn({ script: [[{ text: [huge.slice(0, 7), huge.slice(7)] }, { gate: open }]] });
    let live = '';
    for await (const event of session.events()) {
      if (event.type === 'chunk') live += event.segments.map(({ text }) => text).join('');
      if (live.length === huge.length) break;
    }
    open.open();
    expect((await turn.result).text).toBe(huge);
    expect(live).toBe(huge);
  });
});

describe('a call in a generation', () => {
  it('of an unknown tool is answered with an error that names the tools', async () => {
    const { model, entries, result } = await runTurn({ tools: { look }, script: [calling(['peek', { at: 1 }]), 'sorry'] });
    expect(result.text).toBe('sorry');
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'failed', code: 'unknown_tool', errorText: 'there is no tool peek; the tools are look' }]);
    expect(toolOutputs(model, 1)).toEqual([{ type: 'error-text', value: 'there is no tool peek; the tools are look' }]);
  });

  it('whose input is no JSON is answered with an error', async () => {
    const { model, entries, result } = await runTurn({ tools: { look }, script: [[{ call: 'look', inputText: ['{"at": ', 'one}'] }], 'sorry'] });
    expect(result.text).toBe('sorry');
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'failed', code: 'invalid_input', errorText: 'the input is not JSON, or nests deeper than 64: {"at": one}' }]);
    expect(ofKind(entries, 'assistant-step')[0]?.parts).toMatchObject([{ type: 'tool-call', input: null, inputText: '{"at": one}' }]);
    expect(model.calls[1]?.prompt[1]).toMatchObject({ content: [{ type: 'tool-call', input: {} }] });
  });

  it.each([65, 3_000, 100_000])('whose input nests %i levels deep is answered with an error, and ends no turn', async (depth) => {
    const inputText = `${'['.repeat(depth)}1${']'.repeat(depth)}`;
    const { entries, result } = await runTurn({ tools: { look }, script: [[{ call: 'look', inputText }], 'sorry'] });
    expect(result).toMatchObject({ reason: 'complete', text: 'sorry' });
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'failed', code: 'invalid_input', errorText: expect.stringMatching(/^the input is not JSON, or nests deeper than 64: \[\[/) as string }]);
    expect(ofKind(entries, 'assistant-step')[0]?.parts).toMatchObject([{ type: 'tool-call', input: null, inputText }]);
  });

  it('whose input does not fit the schema is answered with an error, its text well-formed and bounded', async () => {
    const strict = tool({ inputSchema: z.object({ at: z.number().refine(() => false, `x${'🌊'.repeat(4_000)}`) }), execute: () => 'never' });
    const { entries, result } = await runTurn({ tools: { look, strict }, script: [calling(['look', { at: 'here' }], ['strict', { at: 1 }]), 'sorry'] });
    expect(result.text).toBe('sorry');
    const [first, second] = ofKind(entries, 'tool-results')[0]?.results ?? [];
    expect(first).toMatchObject({ outcome: 'failed', code: 'invalid_input', errorText: expect.stringMatching(/^the input does not fit the tool's schema: .*at/s) as string });
    expect(second?.errorText?.length).toBe(4_000);
    expect(second?.errorText?.isWellFormed()).toBe(true);
  });

  it('without input is a call with an empty object', async () => {
    const { entries } = await runTurn({ tools: { look }, script: [[{ call: 'look', inputText: '' }], 'done'] });
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'done', output: 'saw 0' }]);
  });

  it('whose schema throws is answered with an error, and the turn goes on', async () => {
    const thrower = tool({ inputSchema: z.object({}).transform(() => { throw new Error('a bug in the schema'); }), execute: () => 'never' });
    const { entries, result } = await runTurn({ tools: { thrower }, script: [calling(['thrower']), 'sorry'] });
    expect(result).toMatchObject({ reason: 'complete', text: 'sorry' });
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'failed', code: 'invalid_input', errorText: expect.stringContaining('a bug in the schema') as string }]);
  });

  it('whose schema never settles is answered with an error after the time of a tool', async () => {
    const system = fakeSystem();
    const hanging = tool({ inputSchema: z.object({}).refine(() => new Promise<boolean>(() => undefined)), execute: () => 'never' });
    const { session, turn } = await startTurn({ system, tools: { hanging }, script: [calling(['hanging']), 'sorry'], agent: { limits: { toolTimeoutMs: 1_000 } } });
    await system.advance(1_000);
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'sorry' });
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results).toMatchObject([{ outcome: 'failed', code: 'invalid_input', errorText: 'the input could not be checked: it took longer than 1000 ms' }]);
  });

  it('whose schema never settles does not keep a stopped turn in hand', async () => {
    const checking = gate();
    const hanging = tool({ inputSchema: z.object({}).refine(() => checking.pass().then(() => true)), execute: () => 'never' });
    const { holdfast, session, turn } = await startTurn({ tools: { hanging }, script: [calling(['hanging'])] });
    await checking.reached;
    await session.stop();
    expect((await turn.result).reason).toBe('stopped');
    await eventually('the worker to let go', () => holdfast.worker?.runs === 0);
  });

  it('that comes without its input streamed before is shown and run', async () => {
    const { session, entries } = await runTurn({ tools: { look }, script: [parts({ type: 'tool-call', toolCallId: 'c', toolName: 'look', input: '{"at":3}' }, finish('tool-calls')), 'done'] });
    expect(ofKind(entries, 'assistant-step')[0]?.parts).toEqual([{ type: 'tool-call', index: 0, toolCallId: 'c', toolName: 'look', input: { at: 3 } }]);
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'done', output: 'saw 3' }]);
    expect((await session.get()).status).toBe('idle');
  });

  it('has its own place even if all calls have the same id', async () => {
    const same = (at: number): ScriptedItem => ({ call: 'look', id: 'same', input: { at } });
    const { model, entries } = await runTurn({ tools: { look }, script: [[same(1), same(2)], [same(3)], 'done'] });
    expect(ofKind(entries, 'tool-results').map(({ results }) => results.map(({ index, output }) => [index, output]))).toEqual([[[0, 'saw 1'], [1, 'saw 2']], [[0, 'saw 3']]]);
    const sent = model.calls[2]?.prompt.flatMap(({ content }) => (typeof content === 'string' ? [] : content.flatMap((part) => ('toolCallId' in part ? [`${part.type} ${part.toolCallId}`] : [])))) ?? [];
    expect(new Set(sent).size).toBe(6);
  });

  it('beyond the 128th is not run, and says so', async () => {
    let ran = 0;
    const count = tool({ recovery: 'rerun', inputSchema: z.object({}), execute: () => { ran += 1; return ran; } });
    const { entries, result } = await runTurn({ tools: { count }, script: [calling(...Array.from({ length: 130 }, () => ['count'] as const)), 'done'] });
    expect(result.reason).toBe('complete');
    expect(ran).toBe(128);
    const outcomes = ofKind(entries, 'tool-results')[0]?.results.map(({ outcome }) => outcome) ?? [];
    expect(outcomes).toHaveLength(130);
    expect(outcomes.slice(128)).toEqual(['failed', 'failed']);
    expect(outcomes.slice(0, 128).every((outcome) => outcome === 'done')).toBe(true);
  });

  it('that the provider runs is never run here, though a tool has its name', async () => {
    let ran = 0;
    const count = tool({ inputSchema: z.object({}), execute: () => { ran += 1; return ran; } });
    const { entries, result } = await runTurn({
      tools: { count },
      script: [[{ call: 'count', id: 'p', providerExecuted: true }, { part: { type: 'tool-result', toolCallId: 'p', toolName: 'count', result: { hits: 3 } } }, { text: 'three' }]],
    });
    expect(ran).toBe(0);
    expect(result).toMatchObject({ reason: 'complete', text: 'three' });
    expect(ofKind(entries, 'assistant-step')[0]?.parts).toMatchObject([{ type: 'tool-call', providerExecuted: true }, { type: 'tool-result', output: { hits: 3 } }, { type: 'text' }]);
  });
});

function streamOf(...all: readonly LanguageModelV4StreamPart[]): ReadableStream<LanguageModelV4StreamPart> {
  return new ReadableStream({
    start(controller) {
      for (const part of all) controller.enqueue(part);
      controller.close();
    },
  });
}
