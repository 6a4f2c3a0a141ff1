import {
  APICallError,
  type LanguageModelV4CallOptions,
  type LanguageModelV4Prompt,
  type LanguageModelV4StreamPart,
  type LanguageModelV4ToolResultOutput,
} from '@ai-sdk/provider';
import { describe, expect, it } from 'vitest';
import { deniedCall, expiredCall, failedCall, unknownCall } from '../../src/core/call-result.ts';
import { classifyFailure } from '../../src/core/retry.ts';
import { failureKinds } from '../../src/demo/provider-failure.ts';
import { ruleModel } from '../../src/demo/rule-model.ts';

type Part = LanguageModelV4StreamPart;

const allTools = ['weather', 'refund', 'location', 'ask_user', 'index_documents', 'sleep', 'sleep_once'];

/** A model whose waits take no time and are written down. */
function modelWithWaits(): { readonly model: ReturnType<typeof ruleModel>; readonly waitsMs: number[] } {
  const waitsMs: number[] = [];
  const model = ruleModel({
    delay: (ms) => {
      waitsMs.push(ms);
      return Promise.resolve();
    },
  });
  return { model, waitsMs };
}

function said(text: string): LanguageModelV4Prompt {
  return [{ role: 'system', content: 'Be kind.' }, { role: 'user', content: [{ type: 'text', text }] }];
}

function withResult(prompt: LanguageModelV4Prompt, toolName: string, output: LanguageModelV4ToolResultOutput): LanguageModelV4Prompt {
  return [
    ...prompt,
    { role: 'assistant', content: [{ type: 'tool-call', toolCallId: 'c1', toolName, input: {} }] },
    { role: 'tool', content: [{ type: 'tool-result', toolCallId: 'c1', toolName, output }] },
  ];
}

function call(prompt: LanguageModelV4Prompt | string, toolNames: readonly string[] = allTools): LanguageModelV4CallOptions {
  return {
    prompt: typeof prompt === 'string' ? said(prompt) : prompt,
    tools: toolNames.map((name) => ({ type: 'function', name, inputSchema: { type: 'object' } })),
  };
}

async function partsOf(options: LanguageModelV4CallOptions, model = modelWithWaits().model): Promise<readonly Part[]> {
  const { stream } = await model.doStream(options);
  const parts: Part[] = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

function deltasOf(parts: readonly Part[]): readonly string[] {
  return parts.flatMap((part) => (part.type === 'text-delta' ? [part.delta] : []));
}

async function answerTo(prompt: LanguageModelV4Prompt | string, model = modelWithWaits().model): Promise<string> {
  return deltasOf(await partsOf(call(prompt), model)).join('');
}

async function failureOf(prompt: string, model = modelWithWaits().model): Promise<APICallError> {
  const failure: unknown = await model.doStream(call(prompt)).then(() => null, (error: unknown) => error);
  if (!APICallError.isInstance(failure)) throw new Error('the call did not fail with an APICallError', { cause: failure });
  return failure;
}

describe('what it streams', () => {
  it('is framed by its start, its metadata and its finish', async () => {
    const parts = await partsOf(call('hi'));
    expect(parts.map(({ type }) => type)).toEqual([
      'stream-start', 'response-metadata', 'text-start', 'text-delta', 'text-delta', 'text-delta', 'text-end', 'finish',
    ]);
    expect(parts[1]).toMatchObject({ id: expect.stringMatching(/^demo_[0-9a-f]{24}$/), modelId: 'demo-rules' });
    expect(parts.at(-1)).toMatchObject({ finishReason: { unified: 'stop', raw: 'stop' } });
  });

  it('has its usage counted in words, the instructions included', async () => {
    expect((await partsOf(call('four words in all'))).at(-1)).toMatchObject({
      usage: { inputTokens: { total: 6 }, outputTokens: { total: 6 } },
    });
  });

  it('is the same for the same prompt', async () => {
    expect(await partsOf(call('weather in Rome'))).toEqual(await partsOf(call('weather in Rome')));
  });

  it('says when, if it is given a clock', async () => {
    const model = ruleModel({ delay: () => Promise.resolve(), now: () => 1_000 });
    expect((await partsOf(call('hi'), model))[1]).toMatchObject({ timestamp: new Date(1_000) });
  });

  it('comes whole from doGenerate', async () => {
    const { model } = modelWithWaits();
    expect(await model.doGenerate(call('count to 3'))).toMatchObject({ content: [{ type: 'text', text: '1 2 3' }], finishReason: { unified: 'stop' } });
    expect(await model.doGenerate(call('weather in Rome'))).toMatchObject({ content: [{ type: 'tool-call', toolName: 'weather', input: '{"city":"Rome"}' }] });
    await expect(model.doGenerate(call('fail truncated'))).rejects.toThrow('broke off');
  });
});

describe('anything without a rule', () => {
  it('is said back word by word, with its white space', async () => {
    const { model, waitsMs } = modelWithWaits();
    const deltas = deltasOf(await partsOf(call('  so\n  it goes '), model));
    expect(deltas).toEqual(['You', ' said:', ' so', '\n  it', ' goes']);
    expect(waitsMs).toEqual([2, 2, 2, 2]);
  });

  it.each(['please count to 3', 'count to three', 'weather', 'sleep well', 'fail', 'fail overloaded twice'])('is %j, as rules take the whole message', async (text) => {
    expect(await answerTo(text)).toBe(`You said: ${text}`);
  });

  it('may be empty, or missing where the agent speaks first', async () => {
    expect(await answerTo('')).toBe('You sent no text.');
    expect(await answerTo([{ role: 'system', content: 'Greet.' }])).toMatch(/^Hello\./);
  });

  it('is the last user message only', async () => {
    expect(await answerTo([...said('count to 3'), { role: 'assistant', content: [{ type: 'text', text: '1 2 3' }] }, ...said('thanks')])).toBe('You said: thanks');
  });
});

describe('count to N', () => {
  it('streams one number per delta, 20 ms apart', async () => {
    const { model, waitsMs } = modelWithWaits();
    expect(deltasOf(await partsOf(call(' Count  TO 4 '), model))).toEqual(['1', ' 2', ' 3', ' 4']);
    expect(waitsMs).toEqual([20, 20, 20]);
  });

  it('streams at the pace that is asked for', async () => {
    const { model, waitsMs } = modelWithWaits();
    await partsOf(call('count to 3 every 150'), model);
    expect(waitsMs).toEqual([150, 150]);
    await partsOf(call('count to 3 every 0'), model);
    expect(waitsMs).toHaveLength(2);
  });

  it('goes to 10,000 and no further', async () => {
    expect(deltasOf(await partsOf(call('count to 10000')))).toHaveLength(10_000);
    expect(await answerTo('count to 10001')).toBe('I can count to any number from 1 to 10,000.');
    expect(await answerTo('count to 0')).toBe('I can count to any number from 1 to 10,000.');
  });
});

describe('a rule with a tool', () => {
  it.each([
    ['weather in New York', 'weather', { city: 'New York' }],
    ['sleep 300', 'sleep', { ms: 300 }],
    ['Sleep 300 once', 'sleep_once', { ms: 300 }],
    ['refund 12.50', 'refund', { amount: 12.5 }],
    ['locate me', 'location', {}],
    ['index 20', 'index_documents', { count: 20 }],
    ['index 20 in the background', 'index_documents', { count: 20, inBackground: true }],
    ['ask me How are you?', 'ask_user', { question: 'How are you?' }],
    ['ask me Tea or coffee? tea / coffee', 'ask_user', { question: 'Tea or coffee?', options: ['tea', 'coffee'] }],
    ['ask me about 1/2', 'ask_user', { question: 'about 1/2' }],
  ])('calls it: %j', async (text, toolName, input) => {
    const parts = await partsOf(call(text));
    expect(parts.map(({ type }) => type)).toEqual([
      'stream-start', 'response-metadata', 'tool-input-start', 'tool-input-delta', 'tool-input-end', 'tool-call', 'finish',
    ]);
    expect(parts[5]).toMatchObject({ toolName, input: JSON.stringify(input) });
    expect(parts[6]).toMatchObject({ finishReason: { unified: 'tool-calls' } });
  });

  it('says so when the tool is not on offer', async () => {
    const withoutWeather = await partsOf(call('weather in Rome', ['sleep']));
    expect(deltasOf(withoutWeather).join('')).toBe('I would call the tool "weather" for that, but I was not given it.');
    const withoutAny = await partsOf({ ...call('sleep 5'), toolChoice: { type: 'none' } });
    expect(deltasOf(withoutAny).join('')).toContain('"sleep"');
  });

  it.each<[text: string, toolName: string, output: LanguageModelV4ToolResultOutput, answer: string]>([
    ['weather in Rome', 'weather', { type: 'json', value: { sky: 'sunny', celsius: 21 } }, 'The weather in Rome: sunny, 21 °C.'],
    ['weather in Rome', 'weather', { type: 'json', value: { wind: 3 } }, 'The weather in Rome: {"wind":3}'],
    ['weather in Rome', 'weather', { type: 'text', value: 'fog' }, 'The weather in Rome: fog'],
    ['weather in Rome', 'weather', { type: 'content', value: [{ type: 'text', text: 'hail' }] }, 'The weather in Rome: hail'],
    ['sleep 300', 'sleep', { type: 'json', value: null }, 'Slept for 300 ms.'],
    ['refund 50', 'refund', { type: 'json', value: { refunded: 50 } }, 'I refunded 50.'],
    ['locate me', 'location', { type: 'json', value: { latitude: 38.7, longitude: -9.1 } }, 'You are at 38.7, -9.1.'],
    ['locate me', 'location', { type: 'json', value: { place: 'Lisbon' } }, 'You are at Lisbon.'],
    ['ask me How are you?', 'ask_user', { type: 'text', value: 'fine' }, 'You answered: fine'],
    ['index 1', 'index_documents', { type: 'json', value: { indexed: 1 } }, 'I indexed 1 document.'],
    ['index 9 in the background', 'index_documents', { type: 'json', value: { operationId: 'op_1', status: 'started' } }, 'The indexing of 9 documents has begun in the background. I will say when it is done.'],
    ['index 9 in the background', 'index_documents', { type: 'json', value: { operationId: 'op_1', status: 'in_progress' } }, 'The indexing of 9 documents is in progress already.'],
    ['sleep 300', 'sleep', { type: 'error-text', value: 'too long' }, 'The sleep of 300 ms failed: too long'],
    ['sleep 300 once', 'sleep_once', { type: 'error-json', value: { outcome: 'unknown' } }, 'The sleep of 300 ms failed: {"outcome":"unknown"}'],
    ['sleep 300 once', 'sleep_once', { type: 'execution-denied', reason: 'not today' }, 'The sleep of 300 ms was denied: not today'],
  ])('says what came of it: %j, %s, %j', async (text, toolName, output, answer) => {
    expect(await answerTo(withResult(said(text), toolName, output))).toBe(answer);
  });

  it('calls it again when the result belongs to an earlier message', async () => {
    const earlier = withResult(said('sleep 300'), 'sleep', { type: 'text', value: 'ok' });
    const parts = await partsOf(call([...earlier, ...said('sleep 300')]));
    expect(parts.some(({ type }) => type === 'tool-call')).toBe(true);
  });
});

describe('a call that did not come to a result', () => {
  const named = { index: 0, toolCallId: 'c1', toolName: 'refund' };
  const told = (text: string | undefined): LanguageModelV4ToolResultOutput => ({ type: 'error-text', value: text ?? '' });

  it.each([
    [deniedCall(named, 'too much'), 'The refund of 50 was denied: too much'],
    [deniedCall(named, undefined), 'The refund of 50 was denied. It did not run.'],
    [expiredCall(named), 'The refund of 50 expired: nobody answered in time, and it did not run.'],
    [unknownCall(named), 'The refund of 50 has an unknown outcome: the process that ran it died before it reported. It may have run, so please look before you ask again.'],
    [failedCall(named, 'tool_error', 'the bank is closed'), 'The refund of 50 failed: the bank is closed'],
  ])('is said as what it is: %o', async ({ errorText }, answer) => {
    expect(await answerTo(withResult(said('refund 50'), 'refund', told(errorText)))).toBe(answer);
  });

  it('is said beside a sibling that did', async () => {
    const prompt = withResult(withResult(said('weather in Rome and refund 50'), 'weather', { type: 'json', value: { sky: 'sunny', celsius: 21 } }), 'refund', told(deniedCall(named, 'no').errorText));
    expect(await answerTo(prompt)).toBe('The weather in Rome: sunny, 21 °C. The refund of 50 was denied: no');
  });
});

describe('weather in CITY and refund AMOUNT', () => {
  it('makes both calls in one step, each with its own id', async () => {
    const calls = (await partsOf(call('weather in New York and refund 5'))).filter((part) => part.type === 'tool-call');
    expect(calls).toMatchObject([{ toolName: 'weather', input: '{"city":"New York"}' }, { toolName: 'refund', input: '{"amount":5}' }]);
    expect(new Set(calls.map(({ toolCallId }) => toolCallId)).size).toBe(2);
  });
});

describe('the end of an operation in the background', () => {
  const ended = (text: string): LanguageModelV4Prompt => [{ role: 'user', content: [{ type: 'text', text: `[operation op_1 of the tool index_documents has ended: ${text}` }] }];
  const begun = [...said('index 3 in the background'), { role: 'assistant' as const, content: [{ type: 'text' as const, text: 'It has begun.' }] }];

  it.each([
    ['done] It came to: {"indexed":3}', 'The indexing in the background is done: 3 documents.'],
    ['failed] the disk is full', 'The indexing in the background failed: the disk is full'],
    [`unknown] ${unknownCall({ index: 0, toolCallId: 'c', toolName: 't' }).errorText}`, 'The indexing in the background has an unknown outcome: the process that ran it died before it reported. It may have run, so please look before you ask again.'],
  ])('is said: %j', async (text, answer) => {
    expect(await answerTo([...begun, ...ended(text)])).toBe(answer);
  });

  it('is said before the answer to what was said meanwhile, and once', async () => {
    const together = [...begun, ...ended('done] It came to: {"indexed":3}'), ...said('hello').slice(1)];
    expect(await answerTo(together)).toBe('The indexing in the background is done: 3 documents. You said: hello');
    expect(await answerTo([...begun, ...said('hello').slice(1), ...ended('done] It came to: {"indexed":3}')])).toBe('The indexing in the background is done: 3 documents. You said: hello');
    expect(await answerTo([...together, { role: 'assistant', content: [{ type: 'text', text: 'All said.' }] }, ...said('bye').slice(1)])).toBe('You said: bye');
  });

  it('waits for the result of a call that was asked for meanwhile', async () => {
    const asked = [...begun, ...said('weather in Rome').slice(1), ...ended('done] It came to: {"indexed":3}')];
    expect((await partsOf(call(asked))).some((part) => part.type === 'tool-call' && part.toolName === 'weather')).toBe(true);
    expect(await answerTo(withResult(asked, 'weather', { type: 'text', value: 'fog' }))).toBe('The indexing in the background is done: 3 documents. The weather in Rome: fog');
  });

  it('of another tool is said as it is', async () => {
    expect(await answerTo([...begun, { role: 'user', content: [{ type: 'text', text: '[operation op_2 of the tool dig has ended: done] It came to: {"deep":true}' }] }])).toBe('The operation of dig is done: {"deep":true}');
  });
});

describe('fail KIND', () => {
  it.each([
    ['overloaded', 529, true, 'overloaded'],
    ['rate_limit', 429, true, 'rate_limit'],
    ['server_error', 500, true, 'provider_error'],
    ['timeout', 504, true, 'timeout'],
    ['connection', undefined, true, 'connection_reset'],
    ['authentication', 401, false, 'authentication'],
    ['quota', 429, false, 'quota'],
    ['context_length', 400, false, 'context_overflow'],
  ])('%s is an error that is classified as what it is', async (kind, httpStatus, retryable, code) => {
    const { statusCode, message, isRetryable } = await failureOf(`fail ${kind}`);
    expect(statusCode).toBe(httpStatus);
    const classified = classifyFailure({ message, retryableHint: isRetryable, ...(statusCode === undefined ? {} : { httpStatus: statusCode }) });
    expect(classified).toMatchObject({ code, retryable });
  });

  it('rate_limit says how long to wait', async () => {
    expect((await failureOf('fail rate_limit')).responseHeaders).toMatchObject({ 'retry-after': '1' });
  });

  it('connection has the cause of a reset socket', async () => {
    expect((await failureOf('fail connection')).cause).toMatchObject({ code: 'ECONNRESET' });
  });

  it('content finishes as refused', async () => {
    expect((await partsOf(call('fail content'))).at(-1)).toMatchObject({ type: 'finish', finishReason: { unified: 'content-filter', raw: 'refusal' } });
  });

  it('truncated streams a little and closes without a finish', async () => {
    const parts = await partsOf(call('fail truncated'));
    expect(deltasOf(parts).join('')).toBe('Let me think about');
    expect(parts.at(-1)).toMatchObject({ type: 'text-delta' });
  });

  it('silence streams a little and then says nothing until it is aborted', async () => {
    const ending = new AbortController();
    const { stream } = await modelWithWaits().model.doStream({ ...call('fail silence'), abortSignal: ending.signal });
    const reader = stream.getReader();
    let text = '';
    while (text !== 'Let me think about') {
      const { value } = await reader.read();
      if (value?.type === 'text-delta') text += value.delta;
    }
    const next = reader.read();
    ending.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');
  });

  it('goes on for ever unless a number is said', async () => {
    const { model } = modelWithWaits();
    for (let times = 0; times < 5; times += 1) expect((await failureOf('FAIL Overloaded', model)).statusCode).toBe(529);
  });

  it('fails so many times and then answers', async () => {
    const { model } = modelWithWaits();
    await failureOf('fail overloaded 2', model);
    await failureOf('fail overloaded 2', model);
    expect(await answerTo('fail overloaded 2', model)).toBe('Recovered after 2 failures.');
    expect(await answerTo('fail overloaded 0', model)).toBe('Recovered after 0 failures.');
  });

  it('counts streams that go wrong as well', async () => {
    const { model } = modelWithWaits();
    expect(await answerTo('fail truncated 1', model)).toBe('Let me think about');
    expect(await answerTo('fail truncated 1', model)).toBe('Recovered after 1 failure.');
  });

  it('counts anew once it has recovered, and in each place of a conversation', async () => {
    const { model } = modelWithWaits();
    await failureOf('fail timeout 1', model);
    await expect(model.doStream(call([...said('hi'), ...said('fail timeout 1')]))).rejects.toThrow('timed out');
    expect(await answerTo('fail timeout 1', model)).toMatch(/^Recovered/);
    await failureOf('fail timeout 1', model);
  });

  it('forgets the oldest of more than 1,000 places', async () => {
    const { model } = modelWithWaits();
    for (let place = 0; place <= 1_000; place += 1) {
      await expect(model.doStream(call([...said(`place ${place}`), ...said('fail timeout 1')]))).rejects.toThrow('timed out');
    }
    const again = (place: number): Promise<string> => answerTo([...said(`place ${place}`), ...said('fail timeout 1')], model);
    expect(await again(1_000)).toMatch(/^Recovered/);
    await expect(again(0)).rejects.toThrow('timed out');
  });

  it('names the kinds it knows when it does not know one', async () => {
    expect(await answerTo('fail loudly')).toBe(`I do not know the failure "loudly". I can fail with: ${failureKinds.join(', ')}.`);
  });
});

describe('an abort', () => {
  it('before the call rejects it with the reason', async () => {
    const options = { ...call('hi'), abortSignal: AbortSignal.abort(new Error('too late')) };
    await expect(modelWithWaits().model.doStream(options)).rejects.toThrow('too late');
  });

  it('ends the stream at once, even while a wait goes on that does not heed it', async () => {
    const ending = new AbortController();
    const waiting = Promise.withResolvers<void>();
    const model = ruleModel({
      delay: () => {
        waiting.resolve();
        return new Promise(() => undefined);
      },
    });
    const { stream } = await model.doStream({ ...call('count to 5'), abortSignal: ending.signal });
    const read = (async () => {
      for await (const _part of stream) continue;
    })();
    await waiting.promise;
    ending.abort(new Error('stopped'));
    await expect(read).rejects.toThrow('stopped');
  });

  it('is handed on to the wait, as is the reader’s own leaving', async () => {
    const waiting = Promise.withResolvers<AbortSignal | undefined>();
    const model = ruleModel({
      delay: (_ms, signal) => {
        waiting.resolve(signal);
        return new Promise(() => undefined);
      },
    });
    const { stream } = await model.doStream(call('count to 5'));
    const reader = stream.getReader();
    for (let read = 0; read < 4; read += 1) await reader.read();
    const pending = reader.read();
    const signal = await waiting.promise;
    await reader.cancel();
    expect(await pending).toMatchObject({ done: true });
    expect(signal?.aborted).toBe(true);
  });
});
