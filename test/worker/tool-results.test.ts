import { tool as aiTool } from 'ai';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AgentTool } from '../../src/agent/tool.ts';
import type { CallResult } from '../../src/core/entry.ts';
import type { JsonValue } from '../../src/core/json.ts';
import { limits } from '../../src/core/limits.ts';
import { tool } from '../../src/index.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { calling, ofKind, runTurn, startTurn, toolOutputs } from '../support/run-turn.ts';

const anything = z.record(z.string(), z.json());

function probe(execute: (input: Record<string, JsonValue>, options: { readonly abortSignal: AbortSignal }) => unknown, policy: Partial<AgentTool> = {}): AgentTool {
  return { ...tool({ inputSchema: anything, execute: execute as never }), ...policy };
}

/** The recorded result of one call, what the model is told of it, and how the turn ended. */
async function outcomeOf(definition: AgentTool, input: JsonValue = {}): Promise<{ readonly result: CallResult; readonly told: unknown; readonly reason: string | null }> {
  const { entries, model, result } = await runTurn({ tools: { probe: definition }, script: [calling(['probe', input]), 'understood'] });
  const [answer] = ofKind(entries, 'tool-results');
  if (answer?.results[0] === undefined) throw new Error('the call has no result');
  return { result: answer.results[0], told: toolOutputs(model, 1)[0], reason: result.reason };
}

describe('a tool that fails', () => {
  const notAnError: unknown = 'no error object';
  it.each<[what: string, execute: () => unknown, errorText: string]>([
    ['throws at once', () => { throw new Error('no luck'); }, 'no luck'],
    ['rejects', () => Promise.reject(new Error('late, no luck')), 'late, no luck'],
    // eslint-disable-next-line typescript/prefer-promise-reject-errors -- what tools do is not ours to choose
    ['rejects with what is no Error', () => Promise.reject(notAnError), 'no error object'],
    ['throws while it streams', async function* fail() { yield 1; throw new Error('broke off'); }, 'broke off'],
  ])('is answered with its error when it %s, and the turn goes on', async (_what, execute, errorText) => {
    const { result, told, reason } = await outcomeOf(probe(execute));
    expect(result).toMatchObject({ index: 0, toolName: 'probe', outcome: 'failed', code: 'tool_error', errorText });
    expect(told).toEqual({ type: 'error-text', value: errorText });
    expect(reason).toBe('complete');
  });

  it('has its error text bounded and made well-formed', async () => {
    const { result } = await outcomeOf(probe(() => { throw new Error(`\u0000\uD800${'x'.repeat(limits.errorTextCharsMax)}`); }));
    expect(result.errorText).toHaveLength(limits.errorTextCharsMax);
    expect(result.errorText?.slice(0, 3)).toBe('\uFFFD\uFFFDx');
  });

  it('is aborted and answered when its time is over, though it never settles', async () => {
    const system = fakeSystem();
    let signal: AbortSignal | undefined;
    const never = probe((_input, { abortSignal }) => { signal = abortSignal; return new Promise(() => undefined); }, { timeoutMs: 7_000 });
    const { session, turn } = await startTurn({ system, tools: { never }, script: [calling(['never']), 'too bad'] });
    await system.advance(6_999);
    expect(signal?.aborted).toBe(false);
    await system.advance(1);
    expect(signal?.aborted).toBe(true);
    expect((await turn.result).text).toBe('too bad');
    const [answer] = ofKind(await session.entries(), 'tool-results');
    expect(answer?.results).toMatchObject([{ outcome: 'failed', code: 'tool_timeout', durationMs: 7_000 }]);
    expect(answer?.results[0]?.errorText).toContain('7000 ms');
  });

  it('is stopped though it never settles: it hears of it, and its call is answered as one that may have run', async () => {
    const begun = gate();
    let signal: AbortSignal | undefined;
    const never = probe((_input, { abortSignal }) => { signal = abortSignal; begun.open(); return new Promise(() => undefined); });
    const { holdfast, session, turn } = await startTurn({ tools: { never }, script: [calling(['never'])] });
    await begun.pass();
    expect(await session.stop()).toMatchObject({ stopped: true, turnId: turn.id });
    expect((await turn.result).reason).toBe('stopped');
    expect(signal?.aborted).toBe(true);
    const [answer] = ofKind(await session.entries(), 'tool-results');
    expect(answer?.results).toMatchObject([{ outcome: 'stopped', mayHaveRun: true }]);
    await expect.poll(() => holdfast.worker?.runs).toBe(0);
  });

  it('is unknown: the model is told which tools there are', async () => {
    const { entries } = await runTurn({ tools: { probe: probe(() => 1) }, script: [calling(['prob']), 'sorry'] });
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ toolName: 'prob', outcome: 'failed', code: 'unknown_tool', errorText: 'there is no tool prob; the tools are probe' }]);
  });

  it('is given input that does not fit: it does not run, and the model is told why', async () => {
    let runs = 0;
    const strict = tool({ inputSchema: z.object({ city: z.string() }), execute: () => { runs += 1; return 1; } });
    const { entries } = await runTurn({ tools: { strict }, script: [calling(['strict', { city: 7 }]), [{ call: 'strict', inputText: '{"city":' }], 'sorry'] });
    const results = ofKind(entries, 'tool-results').map((entry) => entry.results[0]);
    expect(results).toMatchObject([{ outcome: 'failed', code: 'invalid_input' }, { outcome: 'failed', code: 'invalid_input' }]);
    expect(results[0]?.errorText).toContain('city');
    expect(results[1]?.errorText).toContain('not JSON');
    expect(runs).toBe(0);
  });
});

describe('what a tool returns', () => {
  const cycle: Record<string, unknown> = { deep: {} };
  cycle['deep'] = { again: cycle };
  it.each<[what: string, value: unknown, place: string]>([
    ['a cycle', cycle, '.deep.again'],
    ['a function', { done: () => 1 }, '.done'],
    ['a symbol', { list: [Symbol('s')] }, '.list[0]'],
    ['a Map', new Map([[1, 2]]), 'Map'],
    ['a Set', { seen: new Set([1]) }, '.seen'],
    ['a value that throws when it is read', { get broken(): string { throw new Error('do not look'); } }, 'do not look'],
  ])('is an error the model sees when it is %s', async (_what, value, place) => {
    const { result, reason } = await outcomeOf(probe(() => value));
    expect(result).toMatchObject({ outcome: 'failed', code: 'not_json' });
    expect(result.errorText).toContain(place);
    expect(reason).toBe('complete');
  });

  it.each<[what: string, value: unknown, stored: JsonValue]>([
    ['a date is its ISO text', { at: new Date(Date.UTC(2026, 1, 3)) }, { at: '2026-02-03T00:00:00.000Z' }],
    ['bytes are base64', { png: Uint8Array.from([137, 80, 78]), all: Uint8Array.from([1, 2]).buffer }, { png: 'iVBO', all: 'AQI=' }],
    ['a bigint is its digits', { id: 2n ** 64n }, { id: '18446744073709551616' }],
    ['what is no number is null', [Number.NaN, Number.POSITIVE_INFINITY, undefined], [null, null, null]],
    ['undefined is null, and left out of objects', { left: undefined, kept: 1 }, { kept: 1 }],
    ['toJSON is obeyed', { url: new URL('https://example.org/a') }, { url: 'https://example.org/a' }],
    ['the same thing twice is no cycle', ((shared) => [shared, shared])({ a: 1 }), [{ a: 1 }, { a: 1 }]],
    ['NUL and halves of characters become U+FFFD, in keys too', { ['a\u0000']: 'x\u0000\uD83Dy \u{1F600}' }, { ['a\uFFFD']: 'x\uFFFD\uFFFDy \u{1F600}' }],
    ['a key named __proto__ is a key', JSON.parse('{"__proto__":{"a":1}}'), JSON.parse('{"__proto__":{"a":1}}') as JsonValue],
    ['nothing is null', undefined, null],
  ])('is stored as JSON: %s', async (_what, value, stored) => {
    const { result, told } = await outcomeOf(probe(() => value));
    expect(result.outcome).toBe('done');
    expect(JSON.stringify(result.output)).toBe(JSON.stringify(stored));
    expect(told).toEqual({ type: 'json', value: stored });
  });

  it('counts by its last value where it comes in several', async () => {
    const { result, told } = await outcomeOf(probe(async function* grow() { yield { percent: 10 }; yield { percent: 100 }; }));
    expect(result).toMatchObject({ outcome: 'done', output: { percent: 100 } });
    expect(told).toEqual({ type: 'json', value: { percent: 100 } });
  });

  it('keeps head and tail where it is larger than its cap, and says how large it was', async () => {
    const text = `BEGIN ${'é'.repeat(5_000)} END`;
    const { result, told } = await outcomeOf(probe(() => text, { maxResultBytes: 3_000 }));
    expect(result).toMatchObject({ outcome: 'done', wholeBytes: Buffer.byteLength(text) });
    const kept = result.output as string;
    const [head = '', marker = '', tail = ''] = kept.split('\n');
    expect(text.startsWith(head)).toBe(true);
    expect(text.endsWith(tail)).toBe(true);
    // Two thirds of the cap and one, but for a character that the cut goes through.
    expect([2_000, 1_999]).toContain(Buffer.byteLength(head));
    expect([1_000, 999]).toContain(Buffer.byteLength(tail));
    expect(marker).toBe(`[… ${Buffer.byteLength(text) - 3_000} of ${Buffer.byteLength(text)} bytes left out …]`);
    expect(told).toEqual({ type: 'text', value: kept });
  });

  it('is whole at exactly its cap, and cut as text where it is an object', async () => {
    const value = { text: 'x'.repeat(100) };
    const bytes = JSON.stringify(value).length;
    expect((await outcomeOf(probe(() => value, { maxResultBytes: bytes }))).result).toMatchObject({ output: value });
    const { result } = await outcomeOf(probe(() => value, { maxResultBytes: bytes - 1 }));
    expect(result.wholeBytes).toBe(bytes);
    expect(result.output).toMatch(/^\{"text":"x+\n\[… 1 of 111 bytes left out …\]\nx+"\}$/);
  });

  it('is told to the model as its toModelOutput says, and stored as it is', async () => {
    const given: unknown[] = [];
    const definition: AgentTool = {
      ...probe(() => ({ rows: [1, 2, 3] })),
      toModelOutput: (options: unknown) => { given.push(options); return { type: 'text', value: '3 rows' }; },
    };
    const { result, told } = await outcomeOf(definition, { table: 'a' });
    expect(result).toMatchObject({ outcome: 'done', output: { rows: [1, 2, 3] }, modelOutput: { type: 'text', value: '3 rows' } });
    expect(told).toEqual({ type: 'text', value: '3 rows' });
    expect(given).toEqual([{ toolCallId: result.toolCallId, input: { table: 'a' }, output: { rows: [1, 2, 3] } }]);
  });
});

describe("the AI SDK's own tool()", () => {
  it('works unchanged: it gets its parsed input and the options it knows', async () => {
    const seen: unknown[] = [];
    const forecast = aiTool({
      description: 'The forecast',
      inputSchema: z.object({ city: z.string().transform((city) => city.toUpperCase()), days: z.number().default(3) }),
      execute: ({ city, days }, { toolCallId, messages, abortSignal }) => {
        seen.push({ city, days, toolCallId, roles: messages.map(({ role }) => role), aborted: abortSignal?.aborted });
        return { forecast: `${city} for ${days} days` };
      },
    });
    const { entries, result } = await runTurn({ tools: { forecast }, agent: { instructions: 'be brief' }, script: [[{ call: 'forecast', input: { city: 'Oslo' }, id: 'call_7' }], 'sunny'] });
    expect(result.text).toBe('sunny');
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'done', output: { forecast: 'OSLO for 3 days' } }]);
    expect(seen).toEqual([{ city: 'OSLO', days: 3, toolCallId: 'call_7', roles: ['user', 'assistant'], aborted: false }]);
  });
});
