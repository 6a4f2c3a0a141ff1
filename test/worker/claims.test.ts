import { describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import type { CommandHost } from '../../src/commands/command-host.ts';
import { create } from '../../src/commands/create.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { gatedModel } from '../support/gated-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { startTurn } from '../support/run-turn.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

const overloaded = { error: Object.assign(new Error('overloaded_error: try later'), { code: 'overloaded_error' }) };

describe('a worker', () => {
  it('claims only sessions of agents it defines, and leaves the others as they are', async () => {
    const store = `sqlite:${await temporaryDatabase()}`;
    const [one, two] = ['one', 'two'].map((name) => agent({ name, model: scriptedModel([], { otherwise: `I am ${name}` }) }));
    if (one === undefined || two === undefined) throw new Error('two agents');
    const sender = await openHoldfast({ agents: [one, two], store, worker: false });
    const first = await openHoldfast({ agents: [one], store });
    const [ofOne, ofTwo] = [await sender.sessions.create({ agent: 'one', message: { text: 'go' } }), await sender.sessions.create({ agent: 'two', message: { text: 'go' } })];
    expect((await ofOne.firstTurn?.result)?.text).toBe('I am one');
    first.worker?.wake();
    const again = await ofOne.send('again');
    expect((await again.result).text).toBe('I am one');
    expect(await ofTwo.get()).toMatchObject({ status: 'ready', lastSeq: 2 });
    await openHoldfast({ agents: [two], store });
    expect((await ofTwo.firstTurn?.result)?.text).toBe('I am two');
  });

  it('holds nothing while a retry waits, and goes on when its time comes', async () => {
    const system = fakeSystem();
    // A poll that never comes: only the retry's own time wakes the worker.
    const { holdfast, session, turn, model } = await startTurn({ system, worker: { pollMs: 86_400_000 }, script: [[overloaded], 'here'] });
    await system.settle();
    const { retry, status } = await session.get();
    expect(status).toBe('ready');
    expect(retry).toMatchObject({ attempt: 2, reason: 'overloaded' });
    expect(holdfast.worker?.runs).toBe(0);
    const row = await holdfast.store.readSession({ tenant: 'default', id: session.id });
    expect(row?.claim).toBeNull();
    const waitMs = (retry?.atMs ?? 0) - system.clock.nowMs();
    expect(waitMs).toBeGreaterThan(0);
    await system.advance(waitMs - 1);
    expect(model.calls).toHaveLength(1);
    await system.advance(1);
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'here' });
  });

  it('runs no more sessions than it may; the others wait, and run as places get free', async () => {
    const { model, begun, gateOf } = gatedModel();
    const system = fakeSystem();
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model })], system, worker: { runsMax: 2, pollMs: 86_400_000 } });
    const turns = [];
    for (const name of ['a', 'b', 'c', 'd']) {
      const session = await holdfast.sessions.create({ agent: 'one' });
      turns.push(await session.send(name));
    }
    await system.settle();
    expect(begun).toEqual(['a', 'b']);
    expect(holdfast.worker?.runs).toBe(2);
    for (const [name, next] of [['b', 'c'], ['a', 'd']] as const) {
      gateOf(name).open();
      await system.settle();
      expect(begun.at(-1)).toBe(next);
      expect(holdfast.worker?.runs).toBe(2);
    }
    for (const name of ['c', 'd']) gateOf(name).open();
    for (const turn of turns) expect((await turn.result).reason).toBe('complete');
  });

  it('gives the place of a session that waits for its retry to the next one at once', async () => {
    const system = fakeSystem();
    const model = scriptedModel([[overloaded]], { otherwise: 'here' });
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model })], system, worker: { runsMax: 1, pollMs: 86_400_000 } });
    const [first, second] = [await holdfast.sessions.create({ agent: 'one' }), await holdfast.sessions.create({ agent: 'one' })];
    const turns = await Promise.all([first.send('go'), second.send('go')]);
    await system.settle();
    expect((await second.get()).status).toBe('idle');
    expect((await first.get()).retry).not.toBeNull();
    await system.runUntil(async () => (await first.get()).status === 'idle', 60_000);
    expect((await turns[0].result).text).toBe('here');
  });

  it('never has more in hand than it may, though commands and its own looks for work come together', async () => {
    const path = await temporaryDatabase();
    const system = fakeSystem();
    const { model, begun, gateOf } = gatedModel();
    const one = agent({ name: 'one', model });
    // The look for work stands still between finding a session and claiming it.
    const looked = gate();
    const store = wrappedStore(await sqliteStore({ path, system }), {
      findClaimable: async (inner, query) => {
        const found = await inner.findClaimable(query);
        if (found.length > 0) await looked.pass();
        return found;
      },
    });
    const sender = await openHoldfast({ agents: [one], store: `sqlite:${path}`, system: fakeSystem({ seed: 2 }), worker: false });
    const foreign = await sender.sessions.create({ agent: 'one', message: { text: 'foreign' } });
    const holdfast = await openHoldfast({ agents: [one], store, system, worker: { runsMax: 1 } });
    await looked.reached;
    const own = await holdfast.sessions.create({ agent: 'one', message: { text: 'own' } });
    looked.open();
    await system.advance(5_000);
    expect(begun).toHaveLength(1);
    expect(holdfast.worker?.runs).toBe(1);
    for (const name of ['foreign', 'own']) gateOf(name).open();
    await system.advance(5_000);
    expect((await own.get()).status).toBe('idle');
    expect((await foreign.get()).status).toBe('idle');
    await holdfast.close();
    await store.close();
  });

  it.each([
    { runsMax: 2, begins: ['large 0', 'small 0', 'large 1', 'small 1', 'large 2', 'small 2', 'large 3'] },
    { runsMax: 1, begins: ['large 0', 'small 0', 'large 1', 'small 1', 'large 2', 'small 2', 'large 3'] },
  ])('takes tenants in turn, so that one of them with much waiting does not hold up the others: $runsMax at a time', async ({ runsMax, begins }) => {
    const path = await temporaryDatabase();
    const system = fakeSystem();
    const { model, begun, gateOf } = gatedModel();
    const one = agent({ name: 'one', model });
    const sender = await openHoldfast({ agents: [one], store: `sqlite:${path}`, system, worker: false });
    const host: CommandHost = { store: sender.store, system, agents: new Map([['one', one]]), work: null, committed: () => undefined };
    const ask = async (tenant: string, text: string): Promise<void> => {
      const reply = await create(host, { agent: 'one', message: { text } }, { principal: { tenant, owner: 'ada', roles: [] } });
      expect(isRefusal(reply)).toBe(false);
    };
    for (let count = 0; count < 200; count += 1) await ask('large', `large ${count}`);
    await system.advance(1);
    for (let count = 0; count < 3; count += 1) await ask('small', `small ${count}`);
    await openHoldfast({ agents: [one], store: `sqlite:${path}`, system, worker: { runsMax, pollMs: 86_400_000 } });
    await system.settle();
    for (const [place, name] of begins.entries()) {
      expect(begun.slice(0, begins.length)).toEqual(begins.slice(0, place + runsMax));
      gateOf(name).open();
      await system.settle();
    }
  });
});
