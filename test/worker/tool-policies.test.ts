import { tool as sdkTool } from 'ai';
import { type } from 'arktype';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AgentTool } from '../../src/agent/tool.ts';
import { agent, tool } from '../../src/index.ts';
import { gate } from '../../src/testing/gate.ts';
import { eventually } from '../support/eventually.ts';
import { calling, ofKind, runTurn, startTurn, toolOutputs } from '../support/run-turn.ts';
import { stores } from '../support/stores.ts';

const nothing = z.object({});

describe.each(stores)('a result over its cap ($name)', (kind) => {
  it('is shown with head and tail, and its whole is kept', async () => {
    const whole = { text: `head ${'é'.repeat(40_000)} tail`, list: [1, 2] };
    const big = tool({ inputSchema: nothing, maxResultBytes: 16_384, execute: () => whole });
    const { session, entries } = await runTurn({ store: await kind.newUrl(), tools: { big }, script: [calling(['big']), 'done'] });
    const [result] = ofKind(entries, 'tool-results')[0]?.results ?? [];
    const stepSeq = ofKind(entries, 'assistant-step')[0]?.seq ?? 0;
    expect(result).toMatchObject({ outcome: 'done', wholeBytes: Buffer.byteLength(JSON.stringify(whole)) });
    expect(Buffer.byteLength(JSON.stringify(result?.output ?? null))).toBeLessThan(17_000);
    expect(await session.callResult(`${stepSeq}-0`)).toEqual(whole);
  });

  it('is kept as it was when it is text, and goes with its session', async () => {
    const text = 'x'.repeat(50_000);
    const big = tool({ inputSchema: nothing, maxResultBytes: 16_384, execute: () => text });
    const { holdfast, session, entries } = await runTurn({ store: await kind.newUrl(), tools: { big }, script: [calling(['big']), 'done'] });
    const wholeId = ofKind(entries, 'tool-results')[0]?.results[0]?.wholeId ?? '';
    expect(await session.callResult(`${ofKind(entries, 'assistant-step')[0]?.seq ?? 0}-0`)).toBe(text);
    await session.delete();
    expect(await holdfast.store.readWholeResult({ tenant: 'default', id: session.id }, wholeId)).toBeNull();
  });
});

describe.each(stores)('a real result that comes after its call was given up ($name)', (kind) => {
  it('by a stop, is kept beside the call\'s outcome', async () => {
    const work = gate();
    const slow = tool({ inputSchema: nothing, execute: async () => { await work.pass(); return 'paid'; } });
    const { session, turn } = await startTurn({ store: await kind.newUrl(), tools: { slow }, script: [calling(['slow']), 'never'] });
    await work.reached;
    await session.stop();
    expect((await turn.result).reason).toBe('stopped');
    work.open();
    const late = await eventually('the late result', async () => ofKind(await session.entries(), 'late-result')[0]);
    expect(late.result).toMatchObject({ outcome: 'done', output: 'paid' });
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results[0]).toMatchObject({ outcome: 'stopped', mayHaveRun: true });
  });

  it('by its timeout, too', async () => {
    const work = gate();
    const slow = tool({ inputSchema: nothing, timeoutMs: 30, execute: async () => { await work.pass(); return 'paid'; } });
    const { session, result } = await runTurn({ store: await kind.newUrl(), tools: { slow }, script: [calling(['slow']), 'done'] });
    expect(result.reason).toBe('complete');
    work.open();
    const late = await eventually('the late result', async () => ofKind(await session.entries(), 'late-result')[0]);
    expect(late.result).toMatchObject({ outcome: 'done', output: 'paid' });
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results[0]).toMatchObject({ outcome: 'failed', code: 'tool_timeout' });
  });

  it('by its timeout while a sibling still runs, as well', async () => {
    const sibling = gate();
    const slow = tool({
      inputSchema: nothing, timeoutMs: 30,
      execute: async (_input, { abortSignal }) => {
        await new Promise((resolve) => abortSignal.addEventListener('abort', resolve));
        return 'paid';
      },
    });
    const other = tool({ inputSchema: nothing, execute: async () => { await sibling.pass(); return 'other'; } });
    const { session, turn } = await startTurn({ store: await kind.newUrl(), tools: { slow, other }, script: [calling(['slow'], ['other']), 'done'] });
    await sibling.reached;
    await eventually('the late result', async () => ofKind(await session.entries(), 'late-result')[0]);
    sibling.open();
    await turn.result;
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results.map(({ outcome }) => outcome)).toEqual(['failed', 'done']);
  });

  it('is none when the tool only hears that it is to end', async () => {
    const ended = gate();
    const slow = tool({
      inputSchema: nothing,
      execute: async (_input, { abortSignal }) => {
        ended.open();
        await new Promise((_resolve, reject) => abortSignal.addEventListener('abort', () => reject(new Error('told to end'))));
      },
    });
    const { session, turn } = await startTurn({ store: await kind.newUrl(), tools: { slow }, script: [calling(['slow']), 'never', 'after'] });
    await ended.pass();
    await session.stop();
    await turn.result;
    await (await session.send('go on')).result;
    expect(ofKind(await session.entries(), 'late-result')).toEqual([]);
  });
});

describe.each(stores)('a tool of the AI SDK ($name)', (kind) => {
  it('with needsApproval is asked for, and without execute runs at the client, as it is', async () => {
    const runs: string[] = [];
    const pay = sdkTool({ inputSchema: z.object({ to: z.string() }), needsApproval: ({ to }) => to !== 'me', execute: ({ to }) => { runs.push(to); return `paid ${to}`; } });
    const locate = sdkTool({ inputSchema: nothing, outputSchema: z.object({ place: z.string() }) });
    const { session, turn, result, model } = await runTurn({ store: await kind.newUrl(), tools: { pay, locate }, script: [calling(['pay', { to: 'me' }], ['pay', { to: 'you' }], ['locate']), 'done'] });
    expect(result.actions.map(({ type, input }) => [type, input])).toEqual([['approval', { to: 'you' }], ['client-tool', {}]]);
    await expect(session.respond(result.actions[1]?.id ?? '', { type: 'result', output: { place: 1 } })).rejects.toMatchObject({ code: 'invalid_request' });
    await session.respondAll([{ actionId: result.actions[0]?.id ?? '', type: 'approve' }, { actionId: result.actions[1]?.id ?? '', type: 'result', output: { place: 'here' } }]);
    await turn.result;
    expect(runs).toEqual(['me', 'you']);
    expect(toolOutputs(model, 1)).toEqual([{ type: 'text', value: 'paid me' }, { type: 'text', value: 'paid you' }, { type: 'json', value: { place: 'here' } }]);
  });
});

describe('a definition that cannot be honoured', () => {
  const model = { specificationVersion: 'v4', doStream: () => undefined } as never;
  it.each<[string, AgentTool]>([
    ['background without execute', { inputSchema: nothing, background: 'await' }],
    ['operationKey without background', { inputSchema: nothing, operationKey: () => 'k', execute: () => 1 }],
    ['background with the recovery ask', { inputSchema: nothing, background: 'detach', recovery: 'ask', execute: () => 1 }],
    ['a timeout that is no time', { inputSchema: nothing, timeoutMs: Number.NaN, execute: () => 1 }],
    ['an expiry in the past', { inputSchema: nothing, actionExpiresAfterMs: 0 }],
    ['a question with execute', { inputSchema: nothing, isQuestion: true, execute: () => 1 }],
  ])('is refused: %s', (_what, definition) => {
    expect(() => agent({ name: 'one', model, tools: { it: definition } })).toThrow(expect.objectContaining({ code: 'agent_invalid' }) as Error);
  });

  it('is refused: a tool named as those of an MCP server are', () => {
    const mcp = { docs: { transport: { type: 'stdio', command: 'docs' } } } as const;
    expect(() => agent({ name: 'one', model, mcp, tools: { docs__search: { inputSchema: nothing, execute: () => 1 } } })).toThrow(/docs__search/);
  });
});

describe.each(stores)('a schema of another library (Standard Schema) ($name)', (kind) => {
  it('checks the input, fills it and is told to the model, as one of zod does', async () => {
    const seen: unknown[] = [];
    const book = tool({
      inputSchema: type({ seat: 'string.trim', extras: 'number = 2' }),
      execute: (input) => { seen.push(input); return 'booked'; },
    });
    const { entries, result } = await runTurn({ store: await kind.newUrl(), tools: { book }, script: [calling(['book', { seat: ' 12A ' }], ['book', { seat: 7 }]), 'done'] });
    expect(result.reason).toBe('complete');
    expect(seen).toEqual([{ seat: '12A', extras: 2 }]);
    expect(ofKind(entries, 'tool-results')[0]?.results.map(({ outcome, code }) => [outcome, code])).toEqual([['done', undefined], ['failed', 'invalid_input']]);
  });
});
