import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, tool } from '../../src/index.ts';
import { dateOfDay, dayOf } from '../../src/core/calendar.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { stores } from '../support/stores.ts';

/** What the scripted model says that each of its generations used. */
const said = { inputTokens: 10, outputTokens: 5, cachedInputTokens: 0, reasoningTokens: 0 };
const overloaded = Object.assign(new Error('overloaded'), { statusCode: 529 });

describe.each(stores)('usage on $name', ({ newUrl }) => {
  it('is recorded with its cost by each attempt, and summed by the turn, the session, its models, its owner and all', async () => {
    const model = scriptedModel([[{ call: 'look', input: {} }], 'done', 'and more']);
    const tools = { look: tool({ inputSchema: z.object({}), execute: () => 'seen' }) };
    const store = await newUrl();
    const holdfast = await openHoldfast({ store, agents: [agent({ name: 'priced', model, tools, prices: { 'scripted-1': { input: 2, output: 4 } } })] });
    const session = await holdfast.sessions.create({ agent: 'priced', owner: 'ada' });
    const first = await (await session.send('go')).result;
    expect(first.usage).toEqual({ inputTokens: 20, outputTokens: 10, cachedInputTokens: 0, reasoningTokens: 0, costMicros: 80 });
    await (await session.send('more')).result;
    const total = { attempts: 3, attemptsWithoutUsage: 0, attemptsWithoutCost: 0, inputTokens: 30, outputTokens: 15, cachedInputTokens: 0, reasoningTokens: 0, costMicros: 120 };
    expect((await session.get()).usage).toEqual({ attempts: 3, inputTokens: 30, outputTokens: 15, cachedInputTokens: 0, reasoningTokens: 0, costMicros: 120 });
    const used = await session.usage();
    expect(used).toMatchObject({ sessionId: session.id, total, models: [{ provider: 'scripted', model: 'scripted-1', ...total }], purposes: [{ purpose: 'step', ...total }] });
    expect(used.attempts.items.map(({ outcome, purpose, number, usage, costMicros, providerResponseId }) => [outcome, purpose, number, usage, costMicros, providerResponseId])).toEqual(
      [0, 1, 2].map((number) => ['done', 'step', 1, said, 40, `response_${number}`]),
    );
    const pages = [await session.usage({ limit: 2 }), await session.usage({ limit: 2, after: used.attempts.items[1]?.seq })];
    expect(pages.map(({ attempts: { items, nextCursor } }) => [items.map(({ id }) => id), nextCursor])).toEqual([
      [used.attempts.items.slice(0, 2).map(({ id }) => id), used.attempts.items[1]?.seq], [used.attempts.items.slice(2).map(({ id }) => id), null],
    ]);
    const today = dateOfDay(dayOf(holdfast.store.nowMs()));
    for (const owner of ['ada', undefined]) {
      expect(await holdfast.usage({ owner })).toEqual({ owner: owner ?? null, from: expect.any(String), to: today, total, days: [{ day: today, ...total }] });
    }
    expect((await holdfast.usage({ owner: 'bob' })).days).toEqual([]);
  });

  it('of a price that changes is not changed', async () => {
    const store = await newUrl();
    const model = scriptedModel(['one', 'two', 'three']);
    const open = (input: number) => openHoldfast({ store, agents: [agent({ name: 'priced', model, prices: { 'scripted-1': { input, output: 0 } } })] });
    const before = await open(1);
    const session = await before.sessions.create({ agent: 'priced', owner: 'ada' });
    await (await session.send('go')).result;
    await before.close();
    const after = await open(100);
    const same = await after.sessions.get(session.id);
    await (await same.send('go on')).result;
    expect((await same.usage()).attempts.items.map(({ costMicros }) => costMicros)).toEqual([10, 1_000]);
    expect((await after.usage({ owner: 'ada' })).total.costMicros).toBe(1_010);
  });

  it('without a price has no cost, and where the provider says nothing it is not known; both are counted as such', async () => {
    const model = scriptedModel(['one', [{ text: 'two' }, { finish: 'stop', usage: { inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined }, outputTokens: { total: undefined, text: undefined, reasoning: undefined } } }]]);
    const holdfast = await openHoldfast({ store: await newUrl(), agents: [agent({ name: 'plain', model })] });
    const session = await holdfast.sessions.create({ agent: 'plain' });
    await (await session.send('go')).result;
    expect((await (await session.send('go on')).result).usage).toEqual({});
    const used = await session.usage();
    expect(used.total).toMatchObject({ attempts: 2, attemptsWithoutUsage: 1, attemptsWithoutCost: 2, inputTokens: 10, costMicros: 0 });
    expect(used.attempts.items.map(({ usage, costMicros }) => [usage, costMicros])).toEqual([[said, null], [null, null]]);
    expect((await holdfast.usage()).total).toEqual(used.total);
  });

  it('that is no whole number of tokens is not known, and keeps no turn from its end', async () => {
    const strange = (total: number, output: number) => [{ text: 'said' }, { finish: 'stop' as const, usage: { inputTokens: { total, noCache: undefined, cacheRead: -1, cacheWrite: undefined }, outputTokens: { total: output, text: undefined, reasoning: Infinity } } }];
    const model = scriptedModel([strange(Number.NaN, 2.5), strange(1e300, 7)]);
    const holdfast = await openHoldfast({ store: await newUrl(), agents: [agent({ name: 'plain', model, prices: { 'scripted-1': { input: 1, output: 1 } } })] });
    const session = await holdfast.sessions.create({ agent: 'plain' });
    for (const text of ['go', 'go on']) expect(await (await session.send(text)).result).toMatchObject({ reason: 'complete' });
    expect((await session.usage()).attempts.items.map(({ usage, costMicros }) => [usage, costMicros])).toEqual([[null, null], [{ outputTokens: 7 }, null]]);
    expect((await holdfast.usage()).total).toMatchObject({ attempts: 2, attemptsWithoutUsage: 1, attemptsWithoutCost: 2, outputTokens: 7 });
  });

  it('counts failed and stopped attempts too', async () => {
    const rest = gate();
    const model = scriptedModel([[{ error: overloaded }], [{ text: 'shown' }, { gate: rest }]]);
    const holdfast = await openHoldfast({ store: await newUrl(), agents: [agent({ name: 'plain', model })] });
    const session = await holdfast.sessions.create({ agent: 'plain' });
    const turn = await session.send('go');
    for await (const part of turn.stream) if (part.type === 'text') break;
    await session.stop();
    const used = await session.usage();
    expect(used.attempts.items.map(({ outcome, usage }) => [outcome, usage])).toEqual([['failed', null], ['stopped', null]]);
    expect(used.total).toMatchObject({ attempts: 2, attemptsWithoutUsage: 2 });
    expect((await holdfast.usage()).total).toEqual(used.total);
    rest.open();
  });

  it('of a session stays counted when it is deleted, with the attempt that was in flight', async () => {
    const never = gate();
    const model = scriptedModel(['one', [{ text: 'shown' }, { gate: never }]]);
    const holdfast = await openHoldfast({ store: await newUrl(), agents: [agent({ name: 'plain', model })] });
    const session = await holdfast.sessions.create({ agent: 'plain' });
    await (await session.send('go')).result;
    await session.send('go on');
    await model.called(1);
    await session.delete();
    expect((await holdfast.usage()).total).toMatchObject({ attempts: 2, attemptsWithoutUsage: 1, inputTokens: 10 });
    expect(await holdfast.store.usage.countKept({ tenant: 'default', id: session.id })).toBe(2);
    await expect(session.usage()).rejects.toMatchObject({ code: 'session_not_found' });
  });

  it('of a session that is deleted while labels are made of it counts those generations, as not known', async () => {
    const never = gate();
    const titles = { model: scriptedModel([[{ gate: never }, { text: 'Late' }]]) };
    const holdfast = await openHoldfast({ store: await newUrl(), agents: [agent({ name: 'plain', model: scriptedModel(['one']), titles })] });
    const session = await holdfast.sessions.create({ agent: 'plain' });
    await (await session.send('go')).result;
    await never.reached;
    await session.delete();
    expect((await holdfast.usage()).total).toMatchObject({ attempts: 2, attemptsWithoutUsage: 1, inputTokens: 10 });
    expect(await holdfast.store.usage.countKept({ tenant: 'default', id: session.id })).toBe(2);
    never.open();
  });

  it('says of labels that came to nothing that they failed', async () => {
    const titles = { model: scriptedModel([[{ error: Object.assign(new Error('no'), { statusCode: 401 }) }]]) };
    const holdfast = await openHoldfast({ store: await newUrl(), agents: [agent({ name: 'plain', model: scriptedModel(['one']), titles })] });
    const session = await holdfast.sessions.create({ agent: 'plain' });
    await (await session.send('go')).result;
    await eventually('the title to fail', async () => (await session.entries()).some(({ kind }) => kind === 'label-failed'));
    expect((await session.usage()).attempts.items.map(({ outcome, purpose }) => [outcome, purpose])).toEqual([['done', 'step'], ['failed', 'title']]);
  });

  it('is asked for by dates, of at most 366 days', async () => {
    const holdfast = await openHoldfast({ store: await newUrl(), agents: [], worker: false });
    expect(await holdfast.usage({ from: '2026-01-01', to: '2026-12-31' })).toMatchObject({ from: '2026-01-01', to: '2026-12-31', days: [] });
    for (const range of [{ from: '2026-13-01' }, { to: 'today' }, { from: '2026-01-02', to: '2026-01-01' }, { from: '2025-01-01', to: '2026-01-02' }]) {
      await expect(holdfast.usage(range)).rejects.toMatchObject({ code: 'invalid_request' });
    }
  });
});

describe('prices', () => {
  it('that are negative, or no numbers, are refused', () => {
    const model = scriptedModel([]);
    for (const price of [{ input: -1, output: 1 }, { input: 1 }, { input: 1, output: Number.NaN }, { input: 1, output: 1, reasoning: -2 }]) {
      expect(() => agent({ name: 'priced', model, prices: { 'scripted-1': price as never } })).toThrow(expect.objectContaining({ code: 'agent_invalid' }));
    }
  });
});
