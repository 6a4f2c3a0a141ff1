import { describe, expect, it } from 'vitest';
import { PromptHistory } from '../../src/agent/prompt.ts';
import type { AssistantStep, CallResult, Entry, EntryBody, StepPart, ToolCallPart } from '../../src/core/entry.ts';
import { wholeLog } from '../../src/core/intervals.ts';

describe('the history as a model is sent it', () => {
  it('answers calls whose ids repeat, in one step and in later ones, each by its own id', () => {
    const messages = promptOf(
      user('one'), step([call(0, 'call_1', { at: 0 }), call(1, 'call_1', { at: 1 })]), results(2, [done(0, 'call_1', 'a'), done(1, 'call_1', 'b')]),
      step([call(0, 'call_1', { at: 2 })]), results(4, [done(0, 'call_1', 'c')]),
    );
    const calls = messages.flatMap(({ content }) => (typeof content === 'string' ? [] : content.filter((part) => part.type === 'tool-call')));
    const answers = messages.flatMap(({ content }) => (typeof content === 'string' ? [] : content.filter((part) => part.type === 'tool-result')));
    expect(new Set(calls.map(({ toolCallId }) => toolCallId)).size).toBe(3);
    expect(calls[0]?.toolCallId).toBe('call_1');
    expect(answers.map(({ toolCallId }) => toolCallId)).toEqual(calls.map(({ toolCallId }) => toolCallId));
    expect(answers.map(({ output }) => output)).toEqual(['a', 'b', 'c'].map((value) => ({ type: 'text', value })));
  });

  it('gives the same ids when it is put together again from the log', () => {
    const entries = logOf(user('one'), step([call(0, 'x', {})]), results(2, [done(0, 'x', 'a')]), step([call(0, 'x', {})]), results(4, [done(0, 'x', 'b')]));
    const atOnce = new PromptHistory(wholeLog);
    atOnce.append(entries);
    const oneByOne = new PromptHistory(wholeLog);
    for (const entry of entries) oneByOne.append([entry]);
    expect(oneByOne.messages).toEqual(atOnce.messages);
  });

  it('sends the input of an invalid call as an object, which providers insist on', () => {
    for (const input of [null, 'half a te', 7, [1]]) {
      const [, assistant] = promptOf(user('one'), step([{ ...call(0, 'c', {}), input, problem: 'the input is not JSON' }]), results(2, [failed(0, 'c')]));
      expect(assistant).toEqual({ role: 'assistant', content: [{ type: 'tool-call', toolCallId: 'c', toolName: 'weather', input: {} }] });
    }
    const [, kept] = promptOf(user('one'), step([{ ...call(0, 'c', {}), input: { city: 7 }, problem: 'city is no string' }]), results(2, [failed(0, 'c')]));
    expect(kept).toMatchObject({ content: [{ input: { city: 7 } }] });
  });

  it('keeps the text that is the input of a tool which takes text', () => {
    const [, assistant] = promptOf(user('one'), step([{ ...call(0, 'c', {}), input: 'SELECT 1' }]), results(2, [done(0, 'c', '1')]));
    expect(assistant).toMatchObject({ content: [{ input: 'SELECT 1' }] });
  });

  it('sends the name of an unknown tool in letters that providers take, the same in call and result', () => {
    const named = { toolName: 'multi_tool_use.parallel/é' };
    const [, assistant, tool] = promptOf(user('one'), step([{ ...call(0, 'c', {}), ...named, problem: 'there is no such tool' }]), results(2, [{ ...failed(0, 'c'), ...named }]));
    expect(assistant).toMatchObject({ content: [{ toolName: 'multi_tool_use_parallel__' }] });
    expect(tool).toMatchObject({ content: [{ toolName: 'multi_tool_use_parallel__' }] });
  });

  it('leaves out reasoning that led to nothing, which providers refuse', () => {
    const thought: StepPart = { type: 'reasoning', text: 'hm', providerMetadata: { openai: { itemId: 'rs_1' } } };
    const partial: StepPart = { type: 'partial-call', toolName: 'weather', inputText: '{"ci' };
    const unanswered: StepPart = { ...call(0, 'ws_1', {}), providerExecuted: true };
    for (const parts of [[thought], [thought, partial], [thought, unanswered], [thought, thought]]) {
      expect(promptOf(user('one'), step(parts), user('two'))).toMatchObject([{ role: 'user' }, { role: 'user' }]);
    }
    expect(promptOf(user('one'), step([{ type: 'text', text: 'well' }, thought]), user('two'))[1]).toEqual({ role: 'assistant', content: [{ type: 'text', text: 'well' }] });
    expect(promptOf(user('one'), step([thought, { type: 'text', text: 'well' }]), user('two'))[1]).toMatchObject({ content: [{ type: 'reasoning' }, { type: 'text' }] });
  });

  it('gives custom content back to the provider that sent it, but for the announcement of a message', () => {
    const custom = (kind: string): StepPart => ({ type: 'other', value: { type: 'custom', kind, providerMetadata: { openai: { itemId: 'cmp_1' } } } });
    expect(promptOf(user('one'), step([custom('anthropic.message_start'), custom('openai.compaction')]))[1]).toEqual({
      role: 'assistant', content: [{ type: 'custom', kind: 'openai.compaction', providerOptions: { openai: { itemId: 'cmp_1' } } }],
    });
    expect(promptOf(user('one'), step([custom('anthropic.message_start')]), user('two'))).toHaveLength(2);
  });

  it('answers an approval that the provider asked for with no, unless its call has a result', () => {
    const asked: readonly StepPart[] = [
      { ...call(0, 'c', {}), toolName: 'mcp.x', providerExecuted: true }, { type: 'other', value: { type: 'tool-approval-request', approvalId: 'mcpr_1', toolCallId: 'c' } },
    ];
    expect(promptOf(user('one'), step(asked), user('two'))).toMatchObject([
      { role: 'user' }, { role: 'tool', content: [{ type: 'tool-approval-response', approvalId: 'mcpr_1', approved: false }] }, { role: 'user' },
    ]);
    const answered = promptOf(user('one'), step([...asked, { type: 'tool-result', toolCallId: 'c', toolName: 'mcp.x', output: 1 }]), user('two'));
    expect(answered.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
  });
});

function promptOf(...bodies: readonly EntryBody[]) {
  const history = new PromptHistory(wholeLog);
  history.append(logOf(...bodies));
  return history.messages;
}

function logOf(...bodies: readonly EntryBody[]): readonly Entry[] {
  return bodies.map((body, place) => ({ ...body, seq: place + 1, v: 1, atMs: 0 }));
}

function user(text: string): EntryBody {
  return { kind: 'user-message', turnId: 'turn_1', messageId: text, parts: [{ type: 'text', text }] };
}

function step(parts: readonly StepPart[]): EntryBody & AssistantStep {
  return { kind: 'assistant-step', turnId: 'turn_1', attempt: { id: 'att_1', number: 1, startedAtMs: 0, usage: null }, parts, finishReason: 'stop' };
}

function results(stepSeq: number, all: readonly CallResult[]): EntryBody {
  return { kind: 'tool-results', turnId: 'turn_1', stepSeq, results: all };
}

function call(index: number, toolCallId: string, input: ToolCallPart['input']): ToolCallPart {
  return { type: 'tool-call', index, toolCallId, toolName: 'weather', input };
}

function done(index: number, toolCallId: string, output: string): CallResult {
  return { index, toolCallId, toolName: 'weather', outcome: 'done', output };
}

function failed(index: number, toolCallId: string): CallResult {
  return { index, toolCallId, toolName: 'weather', outcome: 'failed', errorText: 'no' };
}
