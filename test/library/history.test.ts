import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import type { HoldfastOptions } from '../../src/create-holdfast.ts';
import { postgres, RefusedError, tool, type TurnPart } from '../../src/index.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { uniqueSchema } from '../support/postgres-database.ts';
import { calling, ofKind } from '../support/run-turn.ts';

type StoreOption = NonNullable<HoldfastOptions['store']>;

const stores: readonly (readonly [name: string, open: () => Promise<StoreOption>])[] = [
  ['SQLite', async () => `sqlite:${await temporaryDatabase()}`],
  ['Postgres', async () => {
    const { url, schema, drop } = await uniqueSchema();
    onTestFinished(drop);
    return postgres({ url, schema, connectionsMax: 4 });
  }],
];

async function bench(store: StoreOption, script: readonly ScriptedGeneration[] = []) {
  const held = gate();
  const tools = {
    pay: tool({ inputSchema: z.object({ to: z.string() }), execute: ({ to }) => `paid ${to}` }),
    index: tool({ inputSchema: z.object({}), background: 'detach', execute: () => held.pass().then(() => 'indexed') }),
  };
  const model = scriptedModel(script, { otherwise: 'ok' });
  const agents = [agent({ name: 'one', model, tools })];
  const holdfast = await openHoldfast({ agents, store });
  return { holdfast, agents, model, held, session: await holdfast.sessions.create({ agent: 'one', owner: 'ada' }) };
}

async function say(session: SessionHandle, text: string): Promise<string> {
  const turn = await session.send(text);
  await turn.result;
  return turn.id;
}

async function said(session: SessionHandle): Promise<readonly string[]> {
  const { items } = await session.messages({ limit: 100 });
  return items.filter(({ role }) => role === 'user').map(({ parts }) => parts.map((part) => ('text' in part ? part.text : '')).join(''));
}

describe.each(stores)('a session\'s history on %s', (_name, open) => {
  it('is shortened, brought back, gone on with from another place, restored and copied', async () => {
    const { session, model } = await bench(await open(), ['1', '2', calling(['pay', { to: 'ada' }]), '3']);
    const [first, second] = [await say(session, 'one'), await say(session, 'two')];
    const third = await say(session, 'three');
    const rewound = await session.rewind(second);
    expect(rewound).toMatchObject({ turns: 1, moreEffects: false, effects: [{ toolName: 'pay', turnId: third, input: { to: 'ada' }, outcome: 'done' }] });
    expect(await session.effects()).toEqual({ items: rewound.effects, nextCursor: null });
    expect((await session.redo()).turns).toBe(1);
    expect(await said(session)).toEqual(['one', 'two', 'three']);

    const instead = await session.edit(second, 'two instead');
    expect(instead.left).toMatchObject({ turns: 2, effects: rewound.effects });
    expect((await instead.result).reason).toBe('complete');
    const again = await session.retry({ turnId: instead.id });
    expect([again.left.turns, (await again.result).reason, await said(session)]).toEqual([1, 'complete', ['one', 'two instead']]);
    expect(JSON.stringify(model.calls.at(-1)?.prompt)).not.toMatch(/three|paid/);

    const { items, nextCursor } = await session.branches.list();
    expect([items.map(({ fromTurnId, turns }) => [fromTurnId, turns]), nextCursor]).toEqual([[[instead.id, 1], [second, 2]], null]);
    expect((await session.branches.restore(items[1]?.id ?? '')).turns).toBe(2);
    expect(await said(session)).toEqual(['one', 'two', 'three']);
    expect((await session.get()).branches.count).toBe(2);

    const copy = await session.fork({ turnId: first, title: 'A copy' });
    await say(copy, 'elsewhere');
    expect([await said(copy), await said(session)]).toEqual([['one', 'elsewhere'], ['one', 'two', 'three']]);
    expect(await copy.get()).toMatchObject({ title: 'A copy', owner: 'ada', forkedFrom: { sessionId: session.id, turnId: first }, usage: { attempts: 1 } });
  });

  it('refuses by code what cannot be done', async () => {
    const { session } = await bench(await open());
    const turnId = await say(session, 'one');
    const codeOf = async (work: Promise<unknown>): Promise<unknown> => work.then(() => null, (error: unknown) => (error instanceof RefusedError ? error.code : error));
    expect(await codeOf(session.rewind('turn_unknown'))).toBe('turn_not_found');
    expect(await codeOf(session.edit('turn_unknown', 'no'))).toBe('turn_not_found');
    expect(await codeOf(session.fork({ turnId: 'turn_unknown' }))).toBe('turn_not_found');
    expect(await codeOf(session.branches.restore('br_unknown'))).toBe('branch_not_found');
    expect(await codeOf(session.edit(turnId, {}))).toBe('invalid_request');
    expect(await codeOf(session.rewind(turnId, { expectedRevision: 1 }))).toBe('revision_conflict');
    await session.end();
    expect(await codeOf(session.redo())).toBe('session_ended');
  });

  it('is left by another process: the worker that ran the turn there lands nothing more, and its turn has ended for whoever follows it', async () => {
    const store = await open();
    const shown = gate();
    const { session, agents } = await bench(store, ['1', [{ text: 'half' }, { gate: shown }, { text: ' and half' }]]);
    const first = await say(session, 'one');
    const turn = await session.send('two');
    await shown.reached;
    const elsewhere = await openHoldfast({ agents, store, worker: false });
    const there = await elsewhere.sessions.get(session.id);
    expect((await there.rewind(first, { stop: true })).turns).toBe(1);
    const left = (await session.entries()).length;
    shown.open();
    const parts: TurnPart[] = [];
    for await (const part of turn.stream) parts.push(part);
    expect(parts.at(-1)).toEqual({ type: 'end', reason: 'stopped', error: null });
    expect(await turn.result).toMatchObject({ status: 'ended', reason: 'stopped' });
    await say(session, 'three');
    expect(ofKind((await session.entries()).slice(left), 'assistant-step').filter(({ turnId }) => turnId === turn.id)).toEqual([]);
    expect([await said(session), await said(there)]).toEqual([['one', 'three'], ['one', 'three']]);
  });

  it('takes the result of an operation along: what comes while its call is left is given to the model when that is restored, once', async () => {
    const { session, model, held } = await bench(await open(), ['1', calling(['index']), 'it runs', 'elsewhere', 'it has run']);
    const first = await say(session, 'one');
    await say(session, 'two');
    await session.rewind(first, { keepOperations: true });
    await say(session, 'instead');
    const [branch] = (await session.branches.list()).items;
    held.open();
    await eventually('the operation to end', async () => (await session.operations()).items[0]?.status === 'succeeded');
    expect(await session.get()).toMatchObject({ status: 'idle', operations: { count: 0 } });
    expect(ofKind(await session.entries(), 'turn-started')).toEqual([]);
    const calls = model.calls.length;
    await session.branches.restore(branch?.id ?? '');
    await eventually('the result to be given to the model', async () => (await session.get()).status === 'idle' && model.calls.length > calls);
    expect(JSON.stringify(model.calls.at(-1)?.prompt)).toContain('indexed');
    await session.redo();
    await say(session, 'and?');
    const entries = await session.entries();
    expect([ofKind(entries, 'turn-started').map(({ origin }) => origin), ofKind(entries, 'operation-result').length]).toEqual([['operation'], 1]);
    expect(await said(session)).toEqual(['one', 'two', 'and?']);
  });

  it('of a running turn is copied without ending that for whoever waits for it, and hooks are told of what happens, not of what is copied', async () => {
    const store = await open();
    const held = gate();
    const heard: string[] = [];
    const holdfast = await openHoldfast({
      agents: [agent({ name: 'one', model: scriptedModel(['1', [{ text: 'half' }, { gate: held }, { text: ' and half' }]], { otherwise: 'ok' }) })], store,
      hooks: { onTurnEnd: ({ sessionId, entry }) => void heard.push(`${sessionId} ${entry.reason}`) },
    });
    const session = await holdfast.sessions.create({ agent: 'one' });
    await say(session, 'one');
    const turn = await session.send('two');
    await held.reached;
    const copy = await session.fork();
    expect(await copy.turn({ turnId: turn.id }).result).toMatchObject({ reason: 'stopped', sessionId: copy.id });
    held.open();
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'half and half', sessionId: session.id });
    await say(copy, 'three');
    await eventually('the hooks to be told', () => Promise.resolve(heard.length >= 4));
    expect(heard.toSorted()).toEqual([`${session.id} complete`, `${session.id} complete`, `${copy.id} stopped`, `${copy.id} complete`].toSorted());
  });

  it('has one effect for a call that is made twice with one key', async () => {
    const { session } = await bench(await open());
    const turnId = await say(session, 'one');
    const options = { idempotencyKey: 'once' };
    const turns = await Promise.all(Array.from({ length: 4 }, () => session.edit(turnId, 'one instead', options)));
    await turns[0]?.result;
    expect(new Set(turns.map(({ id }) => id)).size).toBe(1);
    const forks = await Promise.all(Array.from({ length: 4 }, () => session.fork({}, options)));
    expect(new Set(forks.map(({ id }) => id)).size).toBe(1);
    expect((await session.branches.list()).items).toHaveLength(1);
  });
});
