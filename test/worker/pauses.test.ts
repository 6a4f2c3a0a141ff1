import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { ToolOptions } from '../../src/agent/tool.ts';
import { question, tool } from '../../src/index.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { eventually } from '../support/eventually.ts';
import { calling, ofKind, runTurn, startTurn, toolOutputs } from '../support/run-turn.ts';
import { sqliteFiles, stores } from '../support/stores.ts';

const amount = z.object({ amount: z.number() });

/** A tool that needs approval, and what it was run with. */
function refundTool() {
  const runs: { readonly amount: number; readonly callKey: string }[] = [];
  const refund = tool({
    inputSchema: amount, needsApproval: true,
    execute: ({ amount: refunded }, { callKey }: ToolOptions) => {
      runs.push({ amount: refunded, callKey });
      return `refunded ${refunded}`;
    },
  });
  return { refund, runs };
}

describe.each(stores)('a call that needs approval ($name)', (kind) => {
  it('waits without a claim, and runs once approved', async () => {
    const { refund, runs } = refundTool();
    const { turn, session, model, holdfast, result } = await runTurn({ store: await kind.newUrl(), tools: { refund }, script: [calling(['refund', { amount: 5 }]), 'done'] });
    expect(result).toMatchObject({ status: 'requires_action', actions: [{ type: 'approval', toolName: 'refund', input: { amount: 5 } }] });
    expect(runs).toEqual([]);
    expect(await holdfast.store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ claim: null });
    await session.approve(result.actions[0]?.id ?? '');
    expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete', text: 'done' });
    expect(runs).toHaveLength(1);
    expect(toolOutputs(model, 1)).toEqual([{ type: 'text', value: 'refunded 5' }]);
  });

  it('does not run when denied, and the model is told why', async () => {
    const { refund, runs } = refundTool();
    const { turn, session, model, result } = await runTurn({ store: await kind.newUrl(), tools: { refund }, script: [calling(['refund', { amount: 5 }]), 'sorry'] });
    await session.deny(result.actions[0]?.id ?? '', 'too much');
    expect(await turn.result).toMatchObject({ reason: 'complete' });
    expect(runs).toEqual([]);
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results[0]).toMatchObject({ outcome: 'denied' });
    expect(JSON.stringify(toolOutputs(model, 1))).toContain('too much');
  });

  it('runs with the input that its approver gave it, which the model is told', async () => {
    const { refund, runs } = refundTool();
    const { turn, session, model, result } = await runTurn({ store: await kind.newUrl(), tools: { refund }, script: [calling(['refund', { amount: 500 }]), 'done'] });
    await session.approve(result.actions[0]?.id ?? '', { input: { amount: 50 } });
    await turn.result;
    expect(runs.map((run) => run.amount)).toEqual([50]);
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results[0]).toMatchObject({ outcome: 'done', approvedInput: { amount: 50 } });
    expect(JSON.stringify(toolOutputs(model, 1))).toContain('{\\"amount\\":50}');
  });

  it('is asked for only where the predicate says so', async () => {
    const runs: number[] = [];
    const refund = tool({ inputSchema: amount, needsApproval: (input) => input.amount > 100, execute: (input) => { runs.push(input.amount); return 'ok'; } });
    const { result } = await runTurn({ store: await kind.newUrl(), tools: { refund }, script: [calling(['refund', { amount: 5 }], ['refund', { amount: 500 }]), 'done'] });
    expect(result.actions.map(({ input }) => input)).toEqual([{ amount: 500 }]);
    expect(runs).toEqual([5]);
  });

  it('is denied when the predicate throws: run unasked it might do what nobody wanted', async () => {
    const refund = tool({ inputSchema: amount, needsApproval: () => { throw new Error('rules are down'); }, execute: () => 'ran' });
    const { result, entries } = await runTurn({ store: await kind.newUrl(), tools: { refund }, script: [calling(['refund', { amount: 5 }]), 'done'] });
    expect(result).toMatchObject({ reason: 'complete' });
    expect(ofKind(entries, 'tool-results')[0]?.results[0]).toMatchObject({ outcome: 'denied', code: 'approval_check_failed' });
  });

  it('follows the agent\'s toolApproval before the tool\'s own rule', async () => {
    const { refund, runs } = refundTool();
    const free = tool({ inputSchema: amount, execute: () => 'free' });
    const { result, entries } = await runTurn({ store: await kind.newUrl(),
      tools: { refund, free, never: free }, script: [calling(['refund', { amount: 1 }], ['free', { amount: 2 }], ['never', { amount: 3 }]), 'done'],
      agent: { toolApproval: { refund: 'approved', free: { type: 'user-approval', reason: 'look first' }, never: () => ({ type: 'denied', reason: 'never' }) } },
    });
    expect(runs).toHaveLength(1);
    expect(result.actions).toMatchObject([{ toolName: 'free', reason: 'look first' }]);
    expect(ofKind(entries, 'assistant-step')[0]?.parts[2]).toMatchObject({ denied: { code: 'denied', reason: 'never' } });
  });

  it('begins while its siblings still run', async () => {
    const { refund, runs } = refundTool();
    const slow = gate();
    const wait = tool({ inputSchema: z.object({}), execute: async () => { await slow.pass(); return 'waited'; } });
    const { session, turn } = await startTurn({ store: await kind.newUrl(), tools: { refund, wait }, script: [calling(['wait'], ['refund', { amount: 5 }]), 'done'] });
    await slow.reached;
    const [action] = await eventually('the action', async () => ((await session.actions()).length > 0 ? session.actions() : null));
    await session.approve(action?.id ?? '');
    await eventually('the approved call', () => runs.length === 1);
    slow.open();
    expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results.map(({ outcome }) => outcome)).toEqual(['done', 'done']);
    expect(runs).toHaveLength(1);
  });
});

describe.each(stores)('an agent with nobody to ask ($name)', (kind) => {
  it('denies instead of waiting, except what is on its allow list', async () => {
    const { refund, runs } = refundTool();
    const { refund: allowed, runs: allowedRuns } = refundTool();
    const locate = { inputSchema: z.object({}) };
    const { result, entries } = await runTurn({ store: await kind.newUrl(),
      tools: { refund, allowed, locate, ask: question() }, agent: { headless: { allow: ['allowed'] } },
      script: [calling(['refund', { amount: 1 }], ['allowed', { amount: 2 }], ['locate'], ['ask', { question: 'Really?' }]), 'done'],
    });
    expect(result).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(runs).toEqual([]);
    expect(allowedRuns).toHaveLength(1);
    expect(ofKind(entries, 'tool-results')[0]?.results.map(({ outcome, code }) => [outcome, code])).toEqual([['denied', 'headless'], ['done', undefined], ['denied', 'headless'], ['denied', 'headless']]);
  });
});

describe.each(stores)('what comes from outside ($name)', (kind) => {
  it('is the result of a client tool, given as {output} or as an error', async () => {
    const locate = { inputSchema: z.object({}) };
    const { result, session, turn, model } = await runTurn({ store: await kind.newUrl(), tools: { locate }, script: [calling(['locate'], ['locate']), 'done'] });
    expect(result.actions.map(({ type }) => type)).toEqual(['client-tool', 'client-tool']);
    await session.respondAll([
      { actionId: result.actions[1]?.id ?? '', type: 'error', errorText: 'no signal' },
      { actionId: result.actions[0]?.id ?? '', type: 'result', output: { place: 'here' } },
    ]);
    await turn.result;
    expect(toolOutputs(model, 1)).toEqual([{ type: 'json', value: { place: 'here' } }, { type: 'error-text', value: 'no signal' }]);
  });

  it('is the answer to a question', async () => {
    const { result, session, turn, model } = await runTurn({ store: await kind.newUrl(), tools: { ask: question() }, script: [calling(['ask', { question: 'Which?' }]), 'done'] });
    expect(result.actions).toMatchObject([{ type: 'question', input: { question: 'Which?' }, expiresAtMs: null }]);
    await session.respond(result.actions[0]?.id ?? '', { type: 'answer', value: 'the left one' });
    await turn.result;
    expect(toolOutputs(model, 1)).toEqual([{ type: 'text', value: 'the left one' }]);
  });

  // Where the store has a clock of its own, no test can move it.
  if (kind === sqliteFiles) it('expires by the clock, to the millisecond, and the turn goes on without it', async () => {
    const system = fakeSystem();
    const locate = { inputSchema: z.object({}), actionExpiresAfterMs: 2_000 };
    const started = await startTurn({ system, tools: { locate }, script: [calling(['locate']), 'done'] });
    await system.runUntil(async () => (await started.session.get()).status === 'requires_action');
    const [action] = await started.session.actions();
    await system.advance((action?.expiresAtMs ?? 0) - system.clock.nowMs() - 1);
    expect((await started.session.get()).status).toBe('requires_action');
    await system.advance(1);
    await system.runUntil(async () => (await started.session.get()).status === 'idle');
    expect(ofKind(await started.session.entries(), 'tool-results')[0]?.results[0]).toMatchObject({ outcome: 'expired' });
    await expect(started.session.respond(action?.id ?? '', { type: 'result', output: 1 })).rejects.toMatchObject({ code: 'action_expired' });
  });
  else it('expires by the clock of the database, and the turn goes on without it', async () => {
    const locate = { inputSchema: z.object({}), actionExpiresAfterMs: 1_000 };
    const started = await startTurn({ store: await kind.newUrl(), tools: { locate }, script: [calling(['locate']), 'done'] });
    await eventually('the call to wait', async () => (await started.session.get()).status === 'requires_action');
    const [action] = await started.session.actions();
    await eventually('the turn to go on', async () => (await started.session.get()).status === 'idle');
    expect(ofKind(await started.session.entries(), 'tool-results')[0]).toMatchObject({ results: [{ outcome: 'expired' }] });
    expect(ofKind(await started.session.entries(), 'tool-results')[0]?.atMs).toBeGreaterThanOrEqual(action?.expiresAtMs ?? Number.NaN);
    await expect(started.session.respond(action?.id ?? '', { type: 'result', output: 1 })).rejects.toMatchObject({ code: 'action_expired' });
  });

  it('may be a tool that the client brings for one turn', async () => {
    const { holdfast, session, turn, model } = await startTurn({ store: await kind.newUrl(), script: ['hello', calling(['paint', { color: 'red' }]), 'done', 'bye'] });
    await turn.result;
    const painting = await session.send({ text: 'paint it', clientTools: [{ name: 'paint', description: 'Paints the page', inputSchema: { type: 'object', properties: { color: { type: 'string' } } } }] });
    const paused = await painting.result;
    expect(model.calls[1]?.options.tools).toMatchObject([{ name: 'paint', description: 'Paints the page' }]);
    expect(paused.actions).toMatchObject([{ type: 'client-tool', toolName: 'paint', input: { color: 'red' } }]);
    await session.respond(paused.actions[0]?.id ?? '', { type: 'result', output: 'painted' });
    await painting.result;
    await (await session.send('and now?')).result;
    expect(model.calls[3]?.options.tools ?? []).toEqual([]);
    expect(holdfast.worker?.runs).toBe(0);
  });
});
