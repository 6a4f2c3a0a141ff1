import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import type { Entry, EntryOf, StepPart } from '../../src/core/entry.ts';
import { recordedResponses, streamsMissing } from '../support/provider-streams.ts';
import { RecordedProviderServer, type ProviderRequest } from '../support/recorded-provider-server.ts';
import { recordings } from '../support/recorded-models.ts';
import { temporaryHoldfast } from '../support/temporary-holdfast.ts';
import { writtenAnswer } from '../support/written-answer.ts';

/** What came of a recorded conversation: one turn from the recording, and what the next turn sent to the provider. */
interface Played {
  readonly entries: readonly Entry[];
  readonly steps: readonly EntryOf<'assistant-step'>[];
  readonly end: EntryOf<'turn-ended'>;
  /** Messages (or input items) of the second turn's first model call. */
  readonly prompt: readonly Record<string, unknown>[];
  readonly calls: readonly ProviderRequest[];
}

describe('recorded provider streams, read by the real provider packages', () => {
  let server: RecordedProviderServer;
  let holdfast: Holdfast;

  beforeAll(async () => {
    server = await RecordedProviderServer.start();
    const agents = recordings(server.url).map(({ name, model, tools }) => agent({ name, model, tools, instructions: 'Be brief.' }));
    holdfast = await temporaryHoldfast({ agents });
  });

  beforeEach(({ skip }) => skip(streamsMissing !== undefined, streamsMissing));

  afterAll(async () => {
    await holdfast[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  /** Plays a recording as the first turn, and a second turn after it. */
  async function play(name: string): Promise<Played> {
    const recording = recordings(server.url).find((each) => each.name === name);
    if (recording === undefined) throw new Error(`no recording ${name}`);
    const responses = recordedResponses(name, recording.protocol);
    server.requests.length = 0;
    server.reply = () => ({ kind: 'stream', wire: responses[server.requests.length - 1] ?? writtenAnswer(recording.protocol) });
    const session = await holdfast.sessions.create({ agent: name, message: { text: 'first' } });
    await session.firstTurn?.result;
    const entries = await session.entries();
    const calls = [...server.requests];
    const second = await (await session.send('second')).result;
    expect(second.reason).toBe('complete');
    const next = server.requests[calls.length]?.body;
    const steps = entries.filter((entry) => entry.kind === 'assistant-step');
    const end = entries.find((entry) => entry.kind === 'turn-ended');
    if (end === undefined) throw new Error('the turn did not end');
    return { entries, steps, end, calls, prompt: (next?.['input'] ?? next?.['messages'] ?? []) as Played['prompt'] };
  }

  it('text arrives whole, with usage and response id (anthropic)', async () => {
    const { steps, end, prompt } = await play('anthropic.text');
    const text = "Hello! I'm doing well, thank you for asking. How are you doing today? Is there anything I can help you with?";
    expect(shown(steps[0])).toEqual([{ type: 'text', text }]);
    expect(steps[0]?.attempt).toMatchObject({
      number: 1, provider: 'anthropic.messages', model: 'claude-sonnet-4-5-20250929', providerResponseId: 'msg_01QC4g3HwBThD4BaNtBckFDJ',
      usage: { inputTokens: 12, outputTokens: 30, cachedInputTokens: 0 },
    });
    expect(steps[0]?.finishReason).toBe('stop');
    expect(end).toMatchObject({ reason: 'complete' });
    expect(prompt).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'first' }] },
      { role: 'assistant', content: [{ type: 'text', text }] },
      { role: 'user', content: [{ type: 'text', text: 'second' }] },
    ]);
  });

  it('reasoning keeps its signature and goes back with it (anthropic)', async () => {
    const { steps, prompt } = await play('anthropic.thinking');
    const thinking = 'The previous result was 925. Now I need to divide that by 5.\n\n925 ÷ 5 = 185';
    const signature = expect.stringMatching(/^EvQBCkYICxgCKkAx.+6Ca17BgB$/) as string;
    expect(shown(steps[0])).toEqual([
      { type: 'reasoning', text: thinking, providerMetadata: { anthropic: { signature } } },
      { type: 'text', text: '925 ÷ 5 = 185' },
    ]);
    expect(steps[0]?.attempt.usage).toEqual({ inputTokens: 69, outputTokens: 53, cachedInputTokens: 0 });
    expect(prompt[1]).toEqual({ role: 'assistant', content: [{ type: 'thinking', thinking, signature }, { type: 'text', text: '925 ÷ 5 = 185' }] });
  });

  it('a tool call runs once and goes back with its one result (anthropic)', async () => {
    const { entries, steps, calls, prompt } = await play('anthropic.tool-use');
    const toolCallId = 'toolu_019Zvehfe1XQWweT1pm7okyt';
    expect(shown(steps[0])).toEqual([{
      type: 'tool-call', index: 0, toolCallId, toolName: 'weather', input: { location: 'San Francisco' }, inputText: '{"location": "San Francisco"}',
    }]);
    expect(steps[0]?.finishReason).toBe('tool-calls');
    expect(entries.filter((entry) => entry.kind === 'tool-results')).toMatchObject([
      { stepSeq: steps[0]?.seq, results: [{ index: 0, toolCallId, outcome: 'done', output: { location: 'San Francisco', sky: 'clear' } }] },
    ]);
    expect(calls).toHaveLength(2);
    const exchange = [
      { role: 'assistant', content: [{ type: 'tool_use', id: toolCallId, name: 'weather', input: { location: 'San Francisco' } }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: toolCallId, content: '{"location":"San Francisco","sky":"clear"}' }] },
    ];
    expect(calls[1]?.body['messages']).toEqual([{ role: 'user', content: [{ type: 'text', text: 'first' }] }, ...exchange]);
    expect(prompt.slice(1, 3)).toEqual(exchange);
  });

  it('a refusal fails the turn and is not tried again (anthropic)', async () => {
    const { entries, steps, end, calls, prompt } = await play('anthropic.refusal');
    expect(end).toMatchObject({ reason: 'failed', error: { code: 'content_refused', retryable: false } });
    expect(steps).toMatchObject([{ finishReason: 'content-filter', attempt: { providerResponseId: 'msg_01RefusalStreamAbcdefghijk', usage: { inputTokens: 18, outputTokens: 5 } } }]);
    expect(entries.filter((entry) => entry.kind === 'attempt-failed')).toEqual([]);
    expect(calls).toHaveLength(1);
    expect(prompt).toEqual([{ role: 'user', content: [{ type: 'text', text: 'first' }, { type: 'text', text: 'second' }] }]);
  });

  it('text arrives whole, with usage and response id (openai chat completions)', async () => {
    const { steps, end, prompt } = await play('openai-chat-completions.text');
    const deltas = recordedResponses('openai-chat-completions.text', 'openai-chat').flat().slice(0, -1)
      .map((event) => (JSON.parse(event.slice('data: '.length)) as { choices: { delta: { content?: string } }[] }).choices[0]?.delta.content ?? '');
    const text = deltas.join('');
    expect(text).toHaveLength(1724);
    expect(shown(steps[0])).toEqual([{ type: 'text', text }]);
    expect(steps[0]?.attempt).toMatchObject({
      provider: 'openai.chat', model: 'gpt-4.1-nano-2025-04-14', providerResponseId: 'chatcmpl-D8Z5oo6uDh67AD85p73ksdT1KxhE0',
      usage: { inputTokens: 16, outputTokens: 300, cachedInputTokens: 0, reasoningTokens: 0 },
    });
    expect(end).toMatchObject({ reason: 'complete' });
    expect(prompt).toEqual([{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'first' }, { role: 'assistant', content: text }, { role: 'user', content: 'second' }]);
  });

  it('reasoning and a tool call of an openai-compatible provider arrive and go back', async () => {
    const { entries, steps, calls, prompt } = await play('openai-compatible.tool-call');
    const [reasoning, call] = shown(steps[0]);
    expect(reasoning).toMatchObject({ type: 'reasoning', text: expect.stringMatching(/^First, the user is asking about the weather.+ the logical next step\.$/s) as string });
    expect(call).toEqual({ type: 'tool-call', index: 0, toolCallId: 'call_79382389', toolName: 'weather', input: { location: 'San Francisco' } });
    expect(steps[0]?.attempt.usage).toEqual({ inputTokens: 307, outputTokens: 26, cachedInputTokens: 306, reasoningTokens: 227 });
    expect(entries.filter((entry) => entry.kind === 'tool-results')).toHaveLength(1);
    const back = [
      { role: 'assistant', reasoning_content: textOf(reasoning), tool_calls: [{ id: 'call_79382389', type: 'function', function: { name: 'weather', arguments: '{"location":"San Francisco"}' } }] },
      { role: 'tool', tool_call_id: 'call_79382389', content: '{"location":"San Francisco","sky":"clear"}' },
    ];
    expect(calls[1]?.body['messages']).toMatchObject([{ role: 'system' }, { role: 'user' }, ...back]);
    expect(prompt.slice(2, 4)).toMatchObject(back);
  });

  it('a quota error in the stream fails the turn and is not tried again (openai responses)', async () => {
    const { entries, end, calls } = await play('openai-responses.insufficient-quota');
    const error = { code: 'quota', retryable: false, provider: 'openai.responses', httpStatus: 429, message: expect.stringMatching(/^You exceeded your current quota.+\/api-errors\.$/) as string };
    expect(end).toMatchObject({ reason: 'failed', error });
    expect(entries.filter((entry) => entry.kind === 'attempt-failed')).toMatchObject([{ error, attempt: { number: 1, usage: null } }]);
    expect(entries.some((entry) => entry.kind === 'attempt-failed' && entry.retry !== undefined)).toBe(false);
    expect(calls).toHaveLength(1);
  });

  it('reasoning is referred to by its item, calls and results go back in full (openai responses)', async () => {
    const { entries, steps, calls, prompt } = await play('openai-responses.reasoning');
    const rs = 'rs_01830d662ab3856501693c321405c88190be3ab04d5782d5f9';
    expect(steps.map((step) => shown(step).map(({ type }) => type))).toEqual([['reasoning', 'tool-call'], ['tool-call'], ['tool-call'], ['text']]);
    expect(shown(steps[0])[0]).toMatchObject({ providerMetadata: { openai: { itemId: rs, reasoningEncryptedContent: expect.stringMatching(/^gAAAAABpPDIVOKrs/) as string } } });
    expect(textOf(shown(steps[0])[0])).toMatch(/^\*\*Calculating step-by-step using calculator\*\*\n\nI'll compute .+ final product\.$/);
    expect(steps.map((step) => step.attempt.usage)).toMatchObject([{ inputTokens: 134, outputTokens: 28 }, { inputTokens: 221 }, { inputTokens: 260 }, { inputTokens: 299, outputTokens: 12 }]);
    expect(entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ output }) => output) : []))).toEqual([19, 57, 570]);
    expect(textOf(shown(steps[3])[0])).toBe('The final result is **570**.');
    expect(calls).toHaveLength(4);
    const callIds = ['call_AB6AaRZ1FYZB2RwS6A5vbdqn', 'call_Q6pW65MUgW9vF59BmItYGos3', 'call_Zl5vIMnD7dVAjgU6FkhmiCZh'];
    expect(prompt.slice(2)).toMatchObject([
      { type: 'item_reference', id: rs },
      ...callIds.flatMap((id) => [{ type: 'function_call', call_id: id, name: 'calculator' }, { type: 'function_call_output', call_id: id }]),
      { role: 'assistant', content: 'The final result is **570**.' },
      { role: 'user' },
    ]);
  });

  it('parallel calls run side by side and each goes back with one result (openai responses)', async () => {
    const { entries, steps, prompt } = await play('openai-responses.parallel-tool-calls');
    expect(shown(steps[0])).toMatchObject([
      { type: 'tool-call', index: 0, toolCallId: 'call_parallel_0', toolName: 'weather', input: { location: 'San Francisco' } },
      { type: 'tool-call', index: 1, toolCallId: 'call_parallel_1', toolName: 'cityAttractions', input: { city: 'Rome' } },
    ]);
    expect(entries.find((entry) => entry.kind === 'tool-results')).toMatchObject({
      results: [{ index: 0, outcome: 'done', output: { sky: 'clear' } }, { index: 1, outcome: 'done', output: { city: 'Rome' } }],
    });
    expect(prompt.slice(2, 6)).toMatchObject([
      { type: 'function_call', call_id: 'call_parallel_0', name: 'weather' }, { type: 'function_call', call_id: 'call_parallel_1', name: 'cityAttractions' },
      { type: 'function_call_output', call_id: 'call_parallel_0' }, { type: 'function_call_output', call_id: 'call_parallel_1' },
    ]);
  });

  it('calls that the provider ran are recorded with their results and sources, and never run here (openai web search)', async () => {
    const { entries, steps, end, calls, prompt } = await play('openai-responses.provider-executed-web-search');
    const parts = shown(steps[0]);
    const searches = parts.filter((part) => part.type === 'tool-call');
    const results = parts.filter((part) => part.type === 'tool-result');
    expect(searches).toHaveLength(6);
    for (const search of searches) expect(search).toMatchObject({ toolName: 'web_search', providerExecuted: true });
    expect(results.map(({ toolCallId }) => toolCallId)).toEqual(searches.map(({ toolCallId }) => toolCallId));
    expect(results[0]?.output).toMatchObject({ action: { type: 'search', query: 'tech news today December 5 2025' } });
    expect(parts.filter((part) => part.type === 'source').length).toBeGreaterThan(10);
    expect(parts.find((part) => part.type === 'source')).toMatchObject({ sourceType: 'url', url: 'https://www.wired.com/story/the-big-interview-2025-recap' });
    expect(textOf(parts.find((part) => part.type === 'text'))).toMatch(/^I checked today’s tech headlines/);
    expect(steps).toHaveLength(1);
    expect(entries.filter((entry) => entry.kind === 'tool-results')).toEqual([]);
    expect(end).toMatchObject({ reason: 'complete' });
    expect(calls).toHaveLength(1);
    // Every item of the answer is referred to, in its order, and none twice.
    const completed = recordedResponses('openai-responses.provider-executed-web-search', 'openai-responses')[0]?.at(-1) ?? '';
    const output = (JSON.parse(completed.slice(completed.indexOf('\ndata: ') + 7)) as { response: { output: { id: string }[] } }).response.output;
    expect(prompt.slice(2, -1)).toEqual(output.map(({ id }) => ({ type: 'item_reference', id })));
  });

  it('an approval that the provider asks for is kept and answered with no, so that the history stays valid (openai mcp)', async () => {
    const { steps, end, prompt } = await play('openai-responses.mcp-approval');
    const approvalId = 'mcpr_04a97b4fce127879006949a83ac9308195a7f7b69ea82e91fe';
    const [reasoning, call, request] = shown(steps[0]);
    expect(reasoning).toMatchObject({ type: 'reasoning', providerMetadata: { openai: { itemId: 'rs_04a97b4fce127879006949a83904c88195977de6cc3f06064a' } } });
    expect(call).toMatchObject({ type: 'tool-call', toolName: 'mcp.create_short_url', providerExecuted: true, dynamic: true, input: { url: 'https://ai-sdk.dev/' } });
    expect(request).toEqual({ type: 'other', value: { type: 'tool-approval-request', approvalId, toolCallId: call?.type === 'tool-call' ? call.toolCallId : '' } });
    expect(end).toMatchObject({ reason: 'complete' });
    expect(prompt.slice(2)).toEqual([
      { type: 'item_reference', id: 'rs_04a97b4fce127879006949a83904c88195977de6cc3f06064a' },
      { type: 'item_reference', id: approvalId },
      { type: 'mcp_approval_response', approval_request_id: approvalId, approve: false },
      { role: 'user', content: [{ type: 'input_text', text: 'second' }] },
    ]);
  });
});

/** The parts of a step without what the provider's package adds about itself. */
function shown(step: EntryOf<'assistant-step'> | undefined): readonly StepPart[] {
  return (step?.parts ?? []).filter((part) => part.type !== 'other' || part.value['type'] !== 'custom');
}

function textOf(part: StepPart | undefined): string {
  return part !== undefined && 'text' in part ? part.text : '';
}
