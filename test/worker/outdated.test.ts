import { describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import { createHoldfast, type Holdfast } from '../../src/create-holdfast.ts';
import { gate, type Gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { requireNewerVersion } from '../support/schema-requirement.ts';
import { openStore, stores } from '../support/stores.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

async function readiness(holdfast: Holdfast): Promise<number> {
  return (await holdfast.fetch(new Request('http://localhost/readyz'))).status;
}

/** A worker in the middle of the generations of two sessions, each at its gate, with a process beside it that only looks on. */
async function working(url: string, worker: { readonly stopGraceMs?: number } = {}) {
  const gates = { first: gate(), second: gate() };
  const logged: string[] = [];
  const waits = (at: Gate) => [{ gate: at }, { text: 'an answer' }];
  const holdfast = await openHoldfast({
    agents: ['first', 'second'].map((name) => agent({ name, model: scriptedModel([waits(gates[name as 'first'])]) })),
    store: url, worker: { leaseMs: 600, pollMs: 50, ...worker }, log: (_level, event) => logged.push(event),
  });
  const sender = await openHoldfast({ agents: ['first', 'second'].map((name) => agent({ name, model: scriptedModel([]) })), store: url, worker: false });
  const sessions = [await sender.sessions.create({ agent: 'first', message: { text: 'go' } }), await sender.sessions.create({ agent: 'second', message: { text: 'go' } })];
  for (const { reached } of Object.values(gates)) await reached;
  return { holdfast, sender, sessions, gates, logged };
}

describe.each(stores)('on $name a worker that the data asks to be newer', (kind) => {
  it('hands over what it has, takes nothing more, says that it is not ready, and leaves', async () => {
    const url = await kind.newUrl();
    const { holdfast, sender, sessions, gates, logged } = await working(url, { stopGraceMs: 300 });
    expect([await readiness(holdfast), await readiness(sender)]).toEqual([200, 200]);
    await requireNewerVersion(url);
    await eventually('it to notice', () => logged.includes('outdated'));
    expect(await readiness(holdfast)).toBe(503);
    // One step ends within the grace time, the other does not.
    gates.first.open();
    await eventually('it to leave', async () => (await sender.store.listWorkers()).length === 0);
    const left = await Promise.all(sessions.map(({ id }) => sender.store.readSession({ tenant: 'default', id })));
    expect(left).toMatchObject([{ turn: null, lastTurn: { reason: 'complete' }, crashes: 0 }, { claim: null, crashes: 0, turn: { attempt: null } }]);
    const more = await sender.sessions.create({ agent: 'first', message: { text: 'who takes it?' } });
    await (await holdfast.sessions.get(sessions[0]?.id ?? '')).send('a command of its own');
    holdfast.worker?.wake();
    await sender.sessions.list();
    expect(await sender.store.readSession({ tenant: 'default', id: more.id })).toMatchObject({ fence: 0, claim: null });
    expect(holdfast.worker).toMatchObject({ ready: false, runs: 0 });
    expect(logged.filter((event) => event === 'outdated')).toHaveLength(1);
    await eventually('a process that only takes requests to say so too', async () => await readiness(sender) === 503);
  });

  it('that is closed while it hands over waits until that is done', async () => {
    const url = await kind.newUrl();
    const { holdfast, sender, sessions, gates, logged } = await working(url, { stopGraceMs: 2_000 });
    await requireNewerVersion(url);
    await eventually('it to notice', () => logged.includes('outdated'));
    const closing = holdfast.close();
    for (const each of Object.values(gates)) each.open();
    await closing;
    for (const { id } of sessions) expect(await sender.store.readSession({ tenant: 'default', id })).toMatchObject({ turn: null, lastTurn: { reason: 'complete' } });
    expect(await sender.store.listWorkers()).toEqual([]);
  });

  it('does not announce itself again after a lost lease', async () => {
    const url = await kind.newUrl();
    const store = await openStore(url);
    const logged: string[] = [];
    let registered = 0;
    const holdfast = await openHoldfast({
      agents: [agent({ name: 'one', model: scriptedModel([]) })], worker: { leaseMs: 600, pollMs: 50 }, log: (_level, event) => logged.push(event),
      store: wrappedStore(store, { renewWorker: () => Promise.resolve('lost'), registerWorker: (inner, worker) => { registered += 1; return inner.registerWorker(worker); } }),
    });
    await requireNewerVersion(url);
    await eventually('it to notice', () => logged.includes('outdated'));
    expect(await readiness(holdfast)).toBe(503);
    expect(registered).toBe(1);
    expect(await store.listWorkers()).toEqual([]);
  });

  it('does not start', async () => {
    const url = await kind.newUrl();
    await openStore(url);
    await requireNewerVersion(url);
    await expect(createHoldfast({ agents: [], store: url })).rejects.toMatchObject({ code: 'store_unsupported' });
    await expect(createHoldfast({ agents: [], store: url, worker: false })).rejects.toMatchObject({ code: 'store_unsupported' });
  });
});
