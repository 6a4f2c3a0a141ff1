import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import type { Entry } from '../../src/core/entry.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { tool } from '../../src/index.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { firstNotUnderstood, isUnderstood } from '../../src/worker/not-understood.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { openStore, stores } from '../support/stores.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

const pollMs = 25;
const model = () => scriptedModel([], { otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'user' && JSON.stringify(prompt.at(-1)).includes('call') ? [{ call: 'pay' }] : 'done') });

/** As an entry looks to a version that does not know it yet. */
const disguises: readonly { readonly what: string; readonly of: (entry: Entry) => Entry }[] = [
  { what: 'an entry of an unknown kind', of: (entry) => ({ ...entry, kind: 'from-tomorrow' }) as unknown as Entry },
  { what: 'a message of a newer version', of: (entry) => ({ ...entry, v: 99 }) as unknown as Entry },
];

interface Outdated {
  readonly holdfast: Holdfast;
  readonly logged: readonly { readonly event: string; readonly fields: unknown }[];
  /** How often it has looked for work. */
  readonly looks: () => number;
}

/** A worker of a version that cannot read messages which say `new`. */
async function outdated(url: string, disguise: (entry: Entry) => Entry, { tools = {}, ...worker }: { readonly runsMax?: number; readonly tools?: NonNullable<AgentOptions['tools']> } = {}): Promise<Outdated> {
  const logged: { event: string; fields: unknown }[] = [];
  let looks = 0;
  const store = wrappedStore(await openStore(url), {
    readEntries: async (inner, key, range) => (await inner.readEntries(key, range)).map((entry) => (entry.kind === 'user-message' && JSON.stringify(entry.parts).includes('new') ? disguise(entry) : entry)),
    findClaimable: (inner, query) => { looks += 1; return inner.findClaimable(query); },
  });
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: model(), tools })], store, worker: { pollMs, ...worker }, log: (_level, event, fields) => logged.push({ event, fields }) });
  return { holdfast, logged, looks: () => looks };
}

function row({ store }: Holdfast, id: string) {
  return store.readSession({ tenant: 'default', id });
}

describe.each(stores)('on $name a worker', (kind) => {
  it.each(disguises)('gives a session back whose history has $what, takes it no more, and another goes on with it', async ({ of }) => {
    const url = await kind.newUrl();
    const sender = await openHoldfast({ agents: [agent({ name: 'one', model: model() })], store: url, worker: false });
    const session = await sender.sessions.create({ agent: 'one', message: { text: 'something new' } });
    const { logged, looks } = await outdated(url, of);
    await eventually('the worker to say that it does not understand', () => logged.length > 0);
    const left = await eventually('the session to be given back', async () => { const now = await row(sender, session.id); return now?.claim === null && now; });
    const looksBefore = looks();
    await eventually('it to look for work some more times', () => looks() > looksBefore + 3);
    expect(await row(sender, session.id)).toMatchObject({ fence: left.fence, claim: null, crashes: 0, turn: { attempt: null, failedAttempts: 0 } });
    expect((await sender.sessions.list({ status: 'ready' })).items).toMatchObject([{ id: session.id }]);
    expect(logged).toEqual([{ event: 'not-understood', fields: expect.objectContaining({ session: session.id, agent: 'one', seq: 2 }) as unknown }]);

    await openHoldfast({ agents: [agent({ name: 'one', model: model() })], store: url, worker: { pollMs } });
    expect(await session.firstTurn?.result).toMatchObject({ reason: 'complete', text: 'done' });
    expect(await row(sender, session.id)).toMatchObject({ crashes: 0, turn: null });
  });

  it('tries such a session again when its revision has changed, once', async () => {
    const url = await kind.newUrl();
    const sender = await openHoldfast({ agents: [agent({ name: 'one', model: model() })], store: url, worker: false });
    const session = await sender.sessions.create({ agent: 'one', message: { text: 'new' } });
    const { holdfast, logged, looks } = await outdated(url, (entry) => ({ ...entry, v: 99 }) as unknown as Entry);
    await eventually('the worker to say that it does not understand', () => logged.length === 1);
    // By a process without a worker, and by its own.
    await session.send('something else');
    await eventually('the worker to say so again', () => logged.length === 2);
    await (await holdfast.sessions.get(session.id)).send('and more');
    await eventually('the worker to say so a third time', () => logged.length === 3);
    const looksBefore = looks();
    await eventually('it to look for work some more times', () => looks() > looksBefore + 3);
    expect(logged).toHaveLength(3);
    expect(await row(sender, session.id)).toMatchObject({ claim: null, crashes: 0, queue: [{}, {}] });
  });

  it('is kept from no other session by many that it cannot read', async () => {
    const url = await kind.newUrl();
    const sender = await openHoldfast({ agents: [agent({ name: 'one', model: model() })], store: url, worker: false });
    for (let count = 0; count < 40; count += 1) await sender.sessions.create({ agent: 'one', message: { text: `new ${count}` } });
    const { logged } = await outdated(url, (entry) => ({ ...entry, kind: 'from-tomorrow' }) as unknown as Entry, { runsMax: 1 });
    const known = await sender.sessions.create({ agent: 'one', message: { text: 'known' } });
    expect(await known.firstTurn?.result).toMatchObject({ reason: 'complete' });
    await eventually('all of the others to be left', () => logged.length === 40);
    const again = await sender.sessions.create({ agent: 'one', message: { text: 'known' } });
    expect(await again.firstTurn?.result).toMatchObject({ reason: 'complete' });
    expect(logged).toHaveLength(40);
  });

  it('begins no call of such a session: the one that goes on runs it, once', async () => {
    const url = await kind.newUrl();
    let ran = 0;
    const tools = { pay: tool({ inputSchema: z.object({}), needsApproval: true, execute: () => { ran += 1; return 'paid'; } }) };
    const paying = agent({ name: 'one', model: model(), tools });
    const newer = await openHoldfast({ agents: [paying], store: url, worker: { pollMs } });
    const session = await newer.sessions.create({ agent: 'one', message: { text: 'new call' } });
    const { actions } = (await session.firstTurn?.result) ?? { actions: [] };
    await newer.close();
    const sender = await openHoldfast({ agents: [paying], store: url, worker: false });
    const { holdfast, logged } = await outdated(url, (entry) => ({ ...entry, v: 99 }) as unknown as Entry, { tools });
    const seen = await sender.sessions.get(session.id);
    await seen.approve(actions[0]?.id ?? '');
    await eventually('the worker to say that it does not understand', () => logged.length === 1);
    await eventually('the session to be given back', async () => (await row(sender, session.id))?.claim === null);
    await openHoldfast({ agents: [paying], store: url, worker: { pollMs } });
    await eventually('the turn to end', async () => (await seen.get()).status === 'idle');
    expect(ofKind(await seen.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'paid' }] }]);
    expect(ran).toBe(1);
    expect(holdfast.worker?.ready).toBe(true);
  });

  it('leaves sessions of agents that it does not define; they wait, are listed as ready, and begin when one comes that does', async () => {
    const url = await kind.newUrl();
    const agents = ['here', 'nowhere'].map((name) => agent({ name, model: model() }));
    const sender = await openHoldfast({ agents, store: url, worker: false });
    const left = await sender.sessions.create({ agent: 'nowhere', message: { text: 'go' } });
    const background = await sender.sessions.create({ agent: 'here', message: { text: 'go' } });
    await openHoldfast({ agents: agents.slice(0, 1), store: url, worker: { pollMs } });
    expect(await background.firstTurn?.result).toMatchObject({ reason: 'complete' });
    const again = await background.send('again');
    expect(await again.result).toMatchObject({ reason: 'complete' });
    expect((await sender.sessions.list({ status: 'ready' })).items.map(({ id }) => id)).toEqual([left.id]);
    expect(await row(sender, left.id)).toMatchObject({ fence: 0, claim: null });
    expect((await sender.store.listWorkers()).map((worker) => worker.agents)).toEqual([['here']]);
    await openHoldfast({ agents: agents.slice(1), store: url, worker: { pollMs } });
    expect(await left.firstTurn?.result).toMatchObject({ reason: 'complete' });
  });
});

describe('an entry', () => {
  const of = (kind: string, v = 1, seq = 1): Entry => ({ kind, v, seq }) as unknown as Entry;

  it('is understood when its kind is known and, in the timeline, its version too', () => {
    expect([of('user-message'), of('title-set', 99)].map(isUnderstood)).toEqual([true, true]);
    expect([of('user-message', 2), of('from-tomorrow'), of('constructor')].map(isUnderstood)).toEqual([false, false, false]);
  });

  it('does not matter in a branch that was discarded', () => {
    const entries = [of('user-message'), of('from-tomorrow', 1, 2), of('user-message', 1, 3), of('from-tomorrow', 1, 4)];
    expect(firstNotUnderstood({ visible: [{ fromSeq: 1, toSeq: 1 }, { fromSeq: 3, toSeq: null }] }, entries)?.seq).toBe(4);
    expect(firstNotUnderstood({ visible: [{ fromSeq: 1, toSeq: 1 }, { fromSeq: 3, toSeq: 3 }] }, entries)).toBeNull();
  });
});
