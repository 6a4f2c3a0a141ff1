import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { ToolOptions } from '../../src/agent/tool.ts';
import type { CallResult } from '../../src/core/entry.ts';
import { tool } from '../../src/index.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate, type Gate } from '../../src/testing/gate.ts';
import { eventually } from '../support/eventually.ts';
import { calling, ofKind, runTurn, startTurn, toolOutputs } from '../support/run-turn.ts';
import { stores } from '../support/stores.ts';

const numbered = z.object({ n: z.number() });

/** A tool whose every call waits at a gate of its own, and what became of them. */
function gatedTool(policy: { readonly recovery?: 'rerun' | 'report' } = {}) {
  const gates = new Map<number, Gate>();
  const begun: number[] = [];
  const gateOf = (n: number): Gate => gates.get(n) ?? gates.set(n, gate()).get(n) ?? gate();
  const definition = tool({
    ...policy,
    inputSchema: numbered,
    execute: async ({ n }) => {
      begun.push(n);
      await gateOf(n).pass();
      return `result ${n}`;
    },
  });
  return { definition, begun, gateOf };
}

const sixCalls = calling(...[0, 1, 2, 3, 4, 5].map((n) => ['work', { n }] as const));

describe.each(stores)('the calls of a step ($name)', (kind) => {
  it('run side by side up to the limit, and are answered in call order in one entry', async () => {
    const { definition, begun, gateOf } = gatedTool({ recovery: 'rerun' });
    const { session, turn, model } = await startTurn({ store: await kind.newUrl(), tools: { work: definition }, agent: { limits: { parallelCalls: 3 } }, script: [sixCalls, 'done'] });
    await Promise.all([0, 1, 2].map((n) => gateOf(n).reached));
    expect(begun).toEqual([0, 1, 2]);
    gateOf(2).open();
    await gateOf(3).reached;
    gateOf(3).open();
    await gateOf(4).reached;
    expect(begun).toEqual([0, 1, 2, 3, 4]);
    for (const n of [5, 4, 1, 0]) gateOf(n).open();
    await turn.result;
    const answers = ofKind(await session.entries(), 'tool-results');
    expect(answers).toHaveLength(1);
    expect(answers[0]?.results.map(({ index, output }) => [index, output])).toEqual([0, 1, 2, 3, 4, 5].map((n) => [n, `result ${n}`]));
    expect(toolOutputs(model, 1)).toEqual([0, 1, 2, 3, 4, 5].map((n) => ({ type: 'text', value: `result ${n}` })));
  });

  it('begin only after a commit has named them as dispatched: the first by their step, each further one by its own', async () => {
    const limit = 2;
    const begun: number[] = [];
    const seen: [n: number, dispatchedIndexes: number[]][] = [];
    const release = gate();
    const work = tool({
      inputSchema: numbered,
      execute: async ({ n }) => {
        begun.push(n);
        // From the store, not from the run: it has to be committed.
        const row = await started.holdfast.store.readSession({ tenant: 'default', id: started.session.id });
        const open = row?.turn?.lastStep?.openCalls ?? [];
        expect(open.find(({ index }) => index === n)?.dispatchedFence).toBe(row?.fence);
        seen.push([n, open.filter((call) => call.dispatchedFence !== undefined).map(({ index }) => index)]);
        await release.pass();
        return n;
      },
    });
    const started = await startTurn({ store: await kind.newUrl(), tools: { work }, agent: { limits: { parallelCalls: limit } }, script: [sixCalls, 'done'] });
    await eventually('the first calls', () => seen.length === limit);
    expect(seen.map(([, dispatched]) => dispatched)).toEqual([[0, 1], [0, 1]]);
    release.open();
    expect((await started.turn.result).reason).toBe('complete');
    const [answer] = ofKind(await started.session.entries(), 'tool-results');
    expect(answer?.results.map(({ outcome, output }) => [outcome, output])).toEqual([0, 1, 2, 3, 4, 5].map((n) => ['done', n]));
    for (const [n, dispatched] of seen) expect(dispatched).toContain(n);
    expect(begun).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('do not run when one of them must be the only one: every call is told which', async () => {
    let runs = 0;
    const count = { inputSchema: z.object({}), execute: () => { runs += 1; return runs; } };
    const tools = { wipe: tool({ ...count, exclusive: true }), look: tool(count) };
    const { entries, model } = await runTurn({ store: await kind.newUrl(), tools, script: [calling(['look'], ['wipe'], ['look']), calling(['wipe']), 'done'] });
    const [refused, alone] = ofKind(entries, 'tool-results');
    expect(refused?.results).toHaveLength(3);
    for (const result of refused?.results ?? []) expect(result).toMatchObject({ outcome: 'failed', code: 'exclusive_tool', errorText: 'wipe must be the only call of its step; nothing was run' });
    expect(alone?.results).toMatchObject([{ outcome: 'done', output: 1 }]);
    expect(toolOutputs(model, 1)).toHaveLength(3);
    expect(runs).toBe(1);
  });

  it('can be as many as come: those beyond the bound of a step are told so, and do not run', async () => {
    let runs = 0;
    const work = tool({ recovery: 'rerun', inputSchema: numbered, execute: ({ n }) => { runs += 1; return n; } });
    const { entries, result } = await runTurn({ store: await kind.newUrl(), tools: { work }, script: [calling(...Array.from({ length: 130 }, (_, n) => ['work', { n }] as const)), 'done'] });
    expect(result.reason).toBe('complete');
    const outcomes = ofKind(entries, 'tool-results')[0]?.results.map(({ outcome }) => outcome) ?? [];
    expect(outcomes.slice(0, 128).every((outcome) => outcome === 'done')).toBe(true);
    expect(outcomes.slice(128)).toEqual(['failed', 'failed']);
    expect(runs).toBe(128);
  });
});

describe.each(stores)('a tool that ends the turn ($name)', (kind) => {
  const submit = (fails: () => boolean) => tool({ stopAfter: true, inputSchema: z.object({}), execute: () => { if (fails()) throw new Error('not yet'); return 'sent'; } });

  it('does so when it succeeds', async () => {
    const { result, entries, model } = await runTurn({ store: await kind.newUrl(), tools: { submit: submit(() => false) }, script: [calling(['submit'])] });
    expect(result).toMatchObject({ reason: 'stop_after_tool', steps: 1 });
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'done', output: 'sent', stopsTurn: true }]);
    expect(model.calls).toHaveLength(1);
  });

  it('does not when it fails: the model may try again', async () => {
    let tries = 0;
    const { result, entries } = await runTurn({ store: await kind.newUrl(), tools: { submit: submit(() => (tries += 1) === 1) }, script: [calling(['submit']), calling(['submit'])] });
    expect(result).toMatchObject({ reason: 'stop_after_tool', steps: 2 });
    expect(ofKind(entries, 'tool-results').map(({ results }) => results[0]?.outcome)).toEqual(['failed', 'done']);
    expect(ofKind(entries, 'tool-results')[0]?.results[0]?.stopsTurn).toBeUndefined();
  });
});

describe.each(stores)('a turn ($name)', (kind) => {
  it('ends at the bound of its steps, with the last calls answered, and says so', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error): void => void warnings.push(warning);
    process.on('warning', listen);
    const look = tool({ recovery: 'rerun', inputSchema: z.object({}), execute: () => 'nothing yet' });
    const { result, entries, model, session } = await runTurn({ store: await kind.newUrl(), tools: { look }, agent: { limits: { maxSteps: 15 } }, script: Array.from({ length: 15 }, () => calling(['look'])) });
    process.off('warning', listen);
    expect(result).toMatchObject({ reason: 'max_steps', steps: 15 });
    expect(model.calls).toHaveLength(15);
    expect(ofKind(entries, 'tool-results')).toHaveLength(15);
    expect((await session.get()).status).toBe('idle');
    expect(warnings).toEqual([]);
  });
});

describe.each(stores)("a call's key ($name)", (kind) => {
  it('names it for ever: session, step and place, whatever id the provider gave', async () => {
    const keys: string[] = [];
    const look = tool({ inputSchema: z.object({}), execute: (_input, { callKey }: ToolOptions) => { keys.push(callKey); return 1; } });
    const same = [{ call: 'look', id: 'call_1' }, { call: 'look', id: 'call_1' }];
    const { session, entries } = await runTurn({ store: await kind.newUrl(), tools: { look }, script: [same, same, 'done'] });
    const steps = ofKind(entries, 'assistant-step').map(({ seq }) => seq);
    expect(keys).toEqual([0, 1].flatMap((step) => [0, 1].map((index) => `${session.id}/${steps[step]}/${index}`)));
  });
});

describe('an outcome whose siblings still run', () => {
  const stored = async (started: Awaited<ReturnType<typeof startTurn>>): Promise<readonly CallResult[]> => {
    let found: readonly CallResult[] = [];
    // A transition that changes nothing: it only reads.
    await started.holdfast.store.update({ key: { tenant: 'default', id: started.session.id }, reads: { outcomes: true }, transition: ({ outcomes }) => { found = outcomes; return { refused: 'not_claimable', message: 'only looked' }; } });
    return found;
  };

  it('is stored after 100 ms, outside the history, and goes with the step that answers all', async () => {
    const system = fakeSystem();
    const { definition, gateOf } = gatedTool();
    const started = await startTurn({ system, tools: { work: definition }, script: [calling(['work', { n: 0 }], ['work', { n: 1 }]), 'done'] });
    await gateOf(1).reached;
    gateOf(1).open();
    await system.advance(99);
    expect(await stored(started)).toEqual([]);
    await system.advance(1);
    expect(await stored(started)).toMatchObject([{ index: 1, outcome: 'done', output: 'result 1' }]);
    expect(ofKind(await started.session.entries(), 'tool-results')).toEqual([]);
    gateOf(0).open();
    await system.settle();
    expect((await started.turn.result).reason).toBe('complete');
    expect(await stored(started)).toEqual([]);
    expect(ofKind(await started.session.entries(), 'tool-results')[0]?.results.map(({ index }) => index)).toEqual([0, 1]);
  });

  it('is not stored at all where the siblings are done by then', async () => {
    const system = fakeSystem();
    const { definition, gateOf } = gatedTool();
    const writes: number[] = [];
    const started = await startTurn({ system, tools: { work: definition }, script: [calling(['work', { n: 0 }], ['work', { n: 1 }]), 'done'] });
    const { store } = started.holdfast;
    const original = store.storeOutcomeIfHeld.bind(store);
    store.storeOutcomeIfHeld = (outcome) => { writes.push(outcome.result.index); return original(outcome); };
    await gateOf(1).reached;
    gateOf(1).open();
    await system.advance(50);
    gateOf(0).open();
    await system.advance(1_000);
    expect((await started.turn.result).reason).toBe('complete');
    expect(writes).toEqual([]);
  });
});
