import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import type { Holdfast, HoldfastOptions } from '../../src/create-holdfast.ts';
import { tool } from '../../src/index.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { requireNewerVersion } from '../support/schema-requirement.ts';
import { stores } from '../support/stores.ts';

const deadlineMs = 15_000;
const overloaded = { error: Object.assign(new Error('overloaded'), { code: 'overloaded_error' }) };
const input = z.object({});

/** Answers `call NAME` by a call of that tool and anything else, a tool's result too, by `done`. */
const caller: ScriptedGeneration = ({ prompt }) => {
  const last = prompt.at(-1);
  const text = last?.role === 'user' && last.content[0]?.type === 'text' ? last.content[0].text : '';
  return text.startsWith('call ') ? [{ call: text.slice(5) }] : 'done';
};

function callingAgent(tools: Parameters<typeof agent>[0]['tools'] = {}) {
  return agent({ name: 'one', model: scriptedModel([], { otherwise: caller }), tools });
}

function idle(store: string, options: Partial<HoldfastOptions> = {}): Promise<Holdfast> {
  return openHoldfast({ agents: [callingAgent()], worker: false, store, ...options });
}

async function ask(holdfast: Holdfast, text: string) {
  const session = await holdfast.sessions.create({ agent: 'one', message: { text } });
  if (session.firstTurn === null) throw new Error('the message opens a turn');
  return { session, turn: session.firstTurn };
}

describe.each(stores)('drain on $name', ({ newUrl }) => {
  it('does all that is due, and what follows from it, and leaves no worker behind', async () => {
    const tools = { look: tool({ inputSchema: input, recovery: 'rerun', execute: () => 'seen' }), index: tool({ inputSchema: input, background: 'await', recovery: 'rerun', execute: () => 'indexed' }) };
    const holdfast = await idle(await newUrl(), { agents: [callingAgent(tools)] });
    const asked = [];
    for (const text of ['go', 'call look', 'call index']) asked.push(await ask(holdfast, text));
    await asked[0]?.session.send('and then');
    expect(await holdfast.drain({ deadlineMs })).toEqual({ turns: 4, operations: 1, left: false });
    for (const { session, turn } of asked) {
      expect(await turn.result).toMatchObject({ reason: 'complete', text: 'done' });
      expect(await holdfast.store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ turn: null, queue: [], crashes: 0, claim: null });
    }
    expect(await holdfast.store.listWorkers()).toEqual([]);
    expect(await holdfast.drain({ deadlineMs })).toEqual({ turns: 0, operations: 0, left: false });
    await asked[1]?.session.send('call look');
    expect(await holdfast.drain({ deadlineMs })).toEqual({ turns: 1, operations: 0, left: false });
  });

  it('is not kept by what waits: for a retry, for a person, for somebody outside', async () => {
    const tools = { refund: tool({ inputSchema: input, needsApproval: true, execute: () => 'paid' }), print: tool({ inputSchema: input, background: 'await', execute: async (_input, { externalCompletion }) => { await externalCompletion(); } }) };
    const url = await newUrl();
    const model = scriptedModel([], { otherwise: ({ prompt, ...call }) => (JSON.stringify(prompt).includes('overload') ? [overloaded] : typeof caller === 'function' ? caller({ prompt, ...call }) : 'done') });
    const holdfast = await idle(url, { agents: [agent({ name: 'one', model, tools })] });
    const [retry, approval, outside] = [await ask(holdfast, 'overload'), await ask(holdfast, 'call refund'), await ask(holdfast, 'call print')];
    expect(await holdfast.drain({ deadlineMs })).toMatchObject({ turns: 0, left: false });
    const states = await Promise.all([retry, approval, outside].map(async ({ session }) => (await session.get()).status));
    expect(states).toEqual(['ready', 'requires_action', 'waiting']);
    await approval.session.approve((await approval.turn.result).actions[0]?.id ?? '');
    expect(await holdfast.drain({ deadlineMs })).toMatchObject({ turns: 1, left: false });
    expect(await approval.turn.result).toMatchObject({ reason: 'complete' });
  });

  it('hands over in order when its time is over, says that something is left, and goes on the next time', async () => {
    const held = gate();
    let generations = 0;
    const model = scriptedModel([], { otherwise: () => { generations += 1; return generations === 1 ? [{ text: 'half' }, { gate: held }] : 'whole'; } });
    const holdfast = await idle(await newUrl(), { agents: [agent({ name: 'one', model })] });
    const { session, turn } = await ask(holdfast, 'go');
    const drained = holdfast.drain({ deadlineMs: 300, stopGraceMs: 50 });
    await held.reached;
    expect(await drained).toEqual({ turns: 0, operations: 0, left: true });
    expect(await holdfast.store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ claim: null, crashes: 0, turn: { id: turn.id, attempt: null } });
    expect(await holdfast.drain({ deadlineMs })).toEqual({ turns: 1, operations: 0, left: false });
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'whole' });
    expect(ofKind(await session.entries(), 'attempt-lost')).toHaveLength(1);
  });

  it('lets a step finish that runs when its time is over', async () => {
    const held = gate();
    const holdfast = await idle(await newUrl(), { agents: [agent({ name: 'one', model: scriptedModel([[{ text: 'a long ' }, { gate: held }, { text: 'answer' }]]) })] });
    const { turn } = await ask(holdfast, 'go');
    let over = false;
    const drained = holdfast.drain({ deadlineMs: 200 }).finally(() => { over = true; });
    await held.reached;
    // Past its time.
    await new Promise((resolve) => { setTimeout(resolve, 250); });
    expect(over).toBe(false);
    held.open();
    expect(await drained).toEqual({ turns: 1, operations: 0, left: false });
    expect(await turn.result).toMatchObject({ text: 'a long answer' });
  });

  it('may be called by many processes at once, and by one many times at once: each turn is done once', async () => {
    const url = await newUrl();
    const sender = await idle(url);
    const asked = [];
    for (let count = 0; count < 24; count += 1) asked.push(await ask(sender, `message ${count}`));
    const others = await Promise.all([1, 2, 3].map(() => idle(url)));
    const drained = await Promise.all([sender, ...others, sender, ...others].map((holdfast) => holdfast.drain({ deadlineMs })));
    expect(drained.reduce((turns, each) => turns + each.turns, 0)).toBe(asked.length);
    expect(drained.map(({ left }) => left)).toEqual(drained.map(() => false));
    for (const { session, turn } of asked) {
      expect(await turn.result).toMatchObject({ reason: 'complete' });
      expect(ofKind(await session.entries(), 'assistant-step')).toHaveLength(1);
      expect(await sender.store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ crashes: 0 });
    }
    expect(await sender.store.listWorkers()).toEqual([]);
  });

  it('hears the commands of its own process: a stop ends what it runs', async () => {
    const held = gate();
    const holdfast = await idle(await newUrl(), { agents: [agent({ name: 'one', model: scriptedModel([[{ text: 'never ' }, { gate: held }]], { otherwise: 'again' }) })] });
    const { session, turn } = await ask(holdfast, 'go');
    const drained = holdfast.drain({ deadlineMs });
    await held.reached;
    await session.stop();
    const next = await session.send('once more');
    expect(await drained).toEqual({ turns: 1, operations: 0, left: false });
    expect(await turn.result).toMatchObject({ reason: 'stopped' });
    expect(await next.result).toMatchObject({ reason: 'complete', text: 'again' });
  });

  it('has called the hooks of what it did when it returns', async () => {
    let heard = 0;
    const holdfast = await idle(await newUrl(), {
      hooks: { onTurnEnd: async () => { await new Promise((resolve) => { setTimeout(resolve, 100); }); heard += 1; } },
    });
    await ask(holdfast, 'go');
    expect(await holdfast.drain({ deadlineMs })).toMatchObject({ turns: 1 });
    expect(heard).toBe(1);
  });

  it('is over when its Holdfast closes: what it has in hand is handed over', async () => {
    const url = await newUrl();
    const held = gate();
    const holdfast = await idle(url, { agents: [agent({ name: 'one', model: scriptedModel([[{ gate: held }]]) })] });
    const { session } = await ask(holdfast, 'go');
    const drains = [holdfast.drain({ deadlineMs, stopGraceMs: 50 }), holdfast.drain({ deadlineMs, stopGraceMs: 50 })];
    await held.reached;
    await holdfast.close();
    expect(await Promise.all(drains)).toEqual([{ turns: 0, operations: 0, left: true }, { turns: 0, operations: 0, left: true }]);
    const other = await idle(url);
    expect(await other.store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ claim: null, crashes: 0 });
    expect(await other.store.listWorkers()).toEqual([]);
  });

  it('is refused where the data asks for a newer version by now', async () => {
    const url = await newUrl();
    const holdfast = await idle(url);
    const { session } = await ask(holdfast, 'go');
    await requireNewerVersion(url);
    await expect(holdfast.drain({ deadlineMs })).rejects.toMatchObject({ code: 'store_unsupported' });
    expect(await holdfast.store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ fence: 0 });
  });
});

describe('drain', () => {
  it('is refused where the Holdfast has a worker of its own, and without a time', async () => {
    const working = await openHoldfast({ agents: [callingAgent()] });
    await expect(working.drain({ deadlineMs })).rejects.toMatchObject({ code: 'options_invalid' });
    const holdfast = await openHoldfast({ agents: [callingAgent()], worker: false });
    for (const wrong of [Number.NaN, -1, Number.POSITIVE_INFINITY]) await expect(holdfast.drain({ deadlineMs: wrong })).rejects.toMatchObject({ code: 'options_invalid' });
    await expect(holdfast.drain({ deadlineMs, runsMax: -1 })).rejects.toMatchObject({ code: 'options_invalid' });
  });
});
