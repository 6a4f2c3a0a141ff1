import { describe, expect, it } from 'vitest';
import type { Transition } from '../../src/core/draft.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { gatedModel } from '../support/gated-model.ts';
import { openHoldfast, temporaryDatabase, type OpenOptions } from '../support/open-holdfast.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';

/** A session whose last two workers died with it. */
const crashedTwice: Transition<null> = ({ session }) => ({ session: { ...session, crashes: 2 }, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null });

const leaseMs = 10_000;
/** A session that must run alone waits this long for an empty process. */
const soloWaitMs = 3 * leaseMs;

/** One database, one clock, a gated model, and a process without a worker that sends. */
async function stage() {
  const path = await temporaryDatabase();
  const system = fakeSystem();
  const { begun, gateOf, agentOf } = gatedModel();
  const agents = [agentOf('one')];
  const sender = await openHoldfast({ agents, store: `sqlite:${path}`, system, worker: false });
  const open = (worker: OpenOptions['worker'] = {}, store: OpenOptions['store'] = `sqlite:${path}`): Promise<Holdfast> => openHoldfast({ agents, store, system, worker: { leaseMs, ...(worker === true || worker === false ? {} : worker) } });
  const ask = (text: string, holdfast = sender): Promise<SessionHandle> => holdfast.sessions.create({ agent: 'one', message: { text } });
  /** Asks for a turn that must run alone. */
  const askCrashed = async (text: string): Promise<SessionHandle> => {
    const session = await sender.sessions.create({ agent: 'one' });
    await sender.store.update({ key: { tenant: 'default', id: session.id }, transition: crashedTwice });
    await session.send(text);
    return session;
  };
  const overriding = async (overrides: StoreOverrides) => wrappedStore(await sqliteStore({ path, system }), overrides);
  return { system, begun, gateOf, sender, open, ask, askCrashed, overriding };
}

describe('a session that crashed its workers', () => {
  it('keeps no other waiting while it waits: a message is claimed at once, though every worker is in a long tool', async () => {
    const { system, begun, gateOf, open, ask, askCrashed } = await stage();
    const workers = [await open(), await open()] as const;
    for (const [place, worker] of workers.entries()) {
      await ask(`${place} with tool`, worker);
      gateOf(`${place} with tool`).open();
    }
    await system.settle();
    expect(begun.slice(-2).toSorted()).toEqual(['tool of 0 with tool', 'tool of 1 with tool']);
    await askCrashed('crashed');
    await system.advance(5_000);
    begun.length = 0;
    // Sent by a process that does no work: one of the two hears of it by the store's hint, well before a poll.
    await ask('foreign');
    await system.advance(50);
    expect(begun).toEqual(['foreign']);
    // Sent by a worker's own process: claimed in its commit.
    await ask('own', workers[1]);
    await system.settle();
    expect(begun).toEqual(['foreign', 'own']);
    expect(workers.reduce((runs, { worker }) => runs + (worker?.runs ?? 0), 0)).toBe(4);
    for (const name of ['foreign', 'own', 'tool of 0 with tool']) gateOf(name).open();
    await system.advance(50);
    expect(begun).toEqual(['foreign', 'own', 'crashed']);
    expect(workers.map(({ worker }) => worker?.runs)).toEqual([1, 1]);
  });

  it('has its process for itself: what comes there meanwhile is claimed at once by another', async () => {
    const { system, begun, gateOf, open, ask, askCrashed } = await stage();
    const alone = await open();
    const crashed = await askCrashed('crashed');
    await system.advance(1_000);
    expect(begun).toEqual(['crashed']);
    const other = await open();
    const names = ['first', 'second', 'third'];
    for (const name of names) await ask(name, alone);
    await system.advance(50);
    expect(begun).toEqual(['crashed', ...names]);
    // Longer than what nobody takes is left.
    await system.advance(2 * leaseMs);
    await ask('fourth', alone);
    await system.advance(50);
    expect([alone.worker?.runs, other.worker?.runs]).toEqual([1, 4]);
    gateOf('crashed').open();
    await system.settle();
    expect((await crashed.get()).status).toBe('idle');
    await ask('last', alone);
    await system.settle();
    expect([alone.worker?.runs, other.worker?.runs]).toEqual([1, 4]);
  });

  it('keeps what no other worker takes waiting for a lease and no longer, however long it runs', async () => {
    const { system, begun, gateOf, open, ask, askCrashed } = await stage();
    const holdfast = await open();
    const crashed = await askCrashed('crashed');
    await system.advance(1_000);
    const waiting = [await ask('own', holdfast), await ask('foreign')];
    await system.advance(leaseMs - 1_000);
    expect(begun).toEqual(['crashed']);
    await system.advance(3_000);
    expect(begun.toSorted()).toEqual(['crashed', 'foreign', 'own']);
    expect((await crashed.get()).status).toBe('running');
    // Nobody else is there to take work, so the next is not kept waiting.
    waiting.push(await ask('later', holdfast));
    await system.settle();
    expect(begun.at(-1)).toBe('later');
    for (const name of ['own', 'foreign', 'later']) gateOf(name).open();
    await system.settle();
    for (const session of waiting) expect((await session.get()).status).toBe('idle');
  });

  it('is one like any other from its next commit on', async () => {
    const { system, begun, gateOf, open, ask, askCrashed } = await stage();
    const holdfast = await open({ pollMs: 86_400_000 });
    await askCrashed('crashed with tool');
    await system.advance(100);
    await ask('left', holdfast);
    await system.settle();
    expect(begun).toEqual(['crashed with tool']);
    gateOf('crashed with tool').open();
    await system.settle();
    expect(begun.slice(1).toSorted()).toEqual(['left', 'tool of crashed with tool']);
    await ask('next', holdfast);
    await system.settle();
    expect(begun.slice(3)).toEqual(['next']);
    expect(holdfast.worker?.runs).toBe(3);
  });

  it('is taken beside others when no process was ever empty for three leases, and never beside a second one of its kind', async () => {
    const { system, begun, gateOf, open, ask, askCrashed } = await stage();
    const holdfast = await open();
    await ask('never empty', holdfast);
    const crashed = [await askCrashed('crashed 1'), await askCrashed('crashed 2')];
    await system.advance(soloWaitMs - 1_000);
    expect(begun).toEqual(['never empty']);
    await system.advance(3_000);
    expect(begun).toEqual(['never empty', 'crashed 1']);
    // Its process takes no more beside it than it had.
    await ask('own', holdfast);
    await system.advance(leaseMs - 3_000);
    expect(begun).toEqual(['never empty', 'crashed 1']);
    await system.advance(6_000);
    expect(begun).toEqual(['never empty', 'crashed 1', 'own']);
    await system.advance(leaseMs / 2);
    expect(begun).toEqual(['never empty', 'crashed 1', 'own']);
    gateOf('crashed 1').open();
    await system.settle();
    expect(begun).toEqual(['never empty', 'crashed 1', 'own', 'crashed 2']);
    gateOf('crashed 2').open();
    await system.settle();
    for (const { id } of crashed) expect(await holdfast.store.readSession({ tenant: 'default', id })).toMatchObject({ turn: null, crashes: 0, lastTurn: { reason: 'complete' } });
  });

  it('hides no other behind it, however many of its kind wait and however few places are free', async () => {
    const { system, begun, gateOf, open, ask, askCrashed } = await stage();
    const holdfast = await open({ runsMax: 2 });
    await ask('long', holdfast);
    for (let count = 0; count < 40; count += 1) await askCrashed(`crashed ${count}`);
    await system.advance(1);
    const others = ['first', 'second'];
    for (const name of others) await ask(name);
    await system.advance(50);
    expect(begun).toEqual(['long', 'first']);
    gateOf('first').open();
    await system.advance(50);
    expect(begun).toEqual(['long', 'first', 'second']);
  });

  it('comes first when its process is empty, though commands come all the time', async () => {
    const { system, begun, gateOf, open, ask, askCrashed, overriding } = await stage();
    let late: Promise<SessionHandle> | null = null;
    const store = await overriding({
      findClaimable: async (inner, query) => {
        // The moment between the end of the last run and the look for what comes next.
        if (begun.length > 0 && holdfast.worker?.runs === 0) await (late ??= ask('late', holdfast));
        return inner.findClaimable(query);
      },
    });
    const holdfast = await open({ pollMs: 86_400_000 }, store);
    await ask('long', holdfast);
    await askCrashed('crashed');
    await system.advance(100);
    gateOf('long').open();
    await system.settle();
    expect(late).not.toBe(null);
    expect(begun).toEqual(['long', 'crashed']);
    gateOf('crashed').open();
    await system.settle();
    expect(begun).toEqual(['long', 'crashed', 'late']);
    gateOf('late').open();
    await system.settle();
    await holdfast.close();
    await store.close();
  });

  it('comes first in a process that has just begun, before the siblings that died with it', async () => {
    const { system, begun, sender, open, ask, askCrashed } = await stage();
    const sessions = [await ask('sibling'), await askCrashed('crashed')];
    // All name a worker that nobody announced, as after its death.
    for (const { id } of sessions) {
      await sender.store.update({
        key: { tenant: 'default', id },
        transition: ({ session }) => ({ session: { ...session, claim: { worker: 'wrk_dead', claimedAtMs: 0, solo: false } }, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null }),
      });
    }
    await open();
    await system.advance(1_000);
    expect(begun).toEqual(['crashed']);
    await system.advance(leaseMs + 2_000);
    expect(begun).toEqual(['crashed', 'sibling']);
  });

  it.each([
    { when: 'before it is known that it must run alone', stopsAt: 0, begins: ['beside', 'crashed'] },
    { when: 'when it is about to run alone', stopsAt: 1, begins: ['crashed', 'beside'] },
  ])('is taken alone: a command that comes $when gets its turn before or after, not beside', async ({ stopsAt, begins }) => {
    const { system, begun, gateOf, open, ask, askCrashed, overriding } = await stage();
    const crashed = await askCrashed('crashed');
    // A claim stands still before its commit: the command comes between.
    const claiming = gate();
    let claims = 0;
    const store = await overriding({
      update: async (inner, request) => {
        if (request.key.id === crashed.id && request.reads?.outcomes === true) {
          claims += 1;
          if (claims - 1 === stopsAt) await claiming.pass();
        }
        return inner.update(request);
      },
    });
    const holdfast = await open({}, store);
    await claiming.reached;
    const beside = await ask('beside', holdfast);
    claiming.open();
    await system.advance(leaseMs - 1_000);
    expect(begun).toEqual(begins.slice(0, 1));
    expect(holdfast.worker?.runs).toBe(1);
    for (const [place, name] of begins.entries()) {
      gateOf(name).open();
      await system.settle();
      expect(begun).toEqual(begins);
      expect(holdfast.worker?.runs).toBe(1 - place);
    }
    for (const { id } of [beside, crashed]) expect(await store.readSession({ tenant: 'default', id })).toMatchObject({ turn: null, lastTurn: { reason: 'complete' }, crashes: 0 });
    await holdfast.close();
    await store.close();
  });

  it('is taken at once when the last run beside it ends, and what came meanwhile when its own does', async () => {
    const { system, begun, gateOf, open, ask, askCrashed } = await stage();
    const holdfast = await open({ pollMs: 86_400_000 });
    await ask('before', holdfast);
    await askCrashed('crashed');
    await system.advance(100);
    expect(begun).toEqual(['before']);
    gateOf('before').open();
    await system.settle();
    expect(begun).toEqual(['before', 'crashed']);
    const next = await ask('next', holdfast);
    await system.advance(100);
    expect(begun).toEqual(['before', 'crashed']);
    gateOf('crashed').open();
    await system.settle();
    expect(begun).toEqual(['before', 'crashed', 'next']);
    gateOf('next').open();
    await system.settle();
    expect((await next.get()).status).toBe('idle');
  });

  it('does not keep its process waiting when another has taken it', async () => {
    const { system, begun, gateOf, open, ask, askCrashed } = await stage();
    const workers = [await open({ pollMs: 86_400_000 }), await open({ pollMs: 86_400_000 })] as const;
    for (const [place, worker] of workers.entries()) await ask(`before ${place}`, worker);
    await askCrashed('crashed');
    await system.advance(100);
    gateOf('before 0').open();
    await system.advance(100);
    expect(begun).toEqual(['before 0', 'before 1', 'crashed']);
    gateOf('before 1').open();
    await system.settle();
    await ask('next', workers[1]);
    await system.settle();
    expect(begun.at(-1)).toBe('next');
    expect(workers.map(({ worker }) => worker?.runs)).toEqual([1, 1]);
  });

  it('is one like any other when its turn was stopped meanwhile', async () => {
    const { system, begun, open, ask, askCrashed } = await stage();
    const holdfast = await open();
    await ask('long', holdfast);
    const crashed = await askCrashed('crashed');
    await system.advance(2_000);
    await crashed.stop();
    await crashed.send('another');
    // A poll, at most a quarter late.
    await system.advance(1_250);
    expect(begun).toEqual(['long', 'another']);
  });

  it('is taken at once when a command that kept a place for itself leaves it unused', async () => {
    const { system, begun, gateOf, sender, open, ask, askCrashed, overriding } = await stage();
    const accepting = gate();
    let resting = '';
    const store = await overriding({
      update: async (inner, request) => {
        if (request.key.id === resting) await accepting.pass();
        return inner.update(request);
      },
    });
    const holdfast = await open({ pollMs: 86_400_000 }, store);
    const rested = await ask('rested', sender);
    await system.advance(100);
    gateOf('rested').open();
    await system.settle();
    resting = rested.id;
    const titled = (await holdfast.sessions.get(rested.id)).update({ title: 'a title' });
    await accepting.reached;
    await askCrashed('crashed');
    await system.advance(100);
    expect(begun).toEqual(['rested']);
    accepting.open();
    await titled;
    await system.settle();
    expect(begun).toEqual(['rested', 'crashed']);
    gateOf('crashed').open();
    await system.settle();
    await holdfast.close();
    await store.close();
  });

  it('leaves its process to others when its turn is stopped', async () => {
    const { system, begun, open, ask, askCrashed } = await stage();
    const holdfast = await open({ pollMs: 86_400_000 });
    const crashed = await askCrashed('crashed');
    await system.advance(100);
    await ask('left', holdfast);
    await system.settle();
    expect(begun).toEqual(['crashed']);
    await crashed.stop();
    await system.advance(100);
    expect(begun).toEqual(['crashed', 'left']);
    await ask('next', holdfast);
    await system.settle();
    expect(begun).toEqual(['crashed', 'left', 'next']);
  });

  it('waits anew after each crash, and so do those that it keeps waiting after each turn', async () => {
    const { system, begun, gateOf, sender, open, ask, askCrashed } = await stage();
    const [first, second] = [await open({ runsMax: 2 }), await open({ runsMax: 1 })] as const;
    await ask('long', first);
    await ask('short', second);
    const crashed = await askCrashed('crashed');
    await system.advance(soloWaitMs - 5_000);
    // The second takes it, with the first still counting.
    gateOf('short').open();
    await system.advance(100);
    gateOf('crashed').open();
    await system.advance(100);
    expect(begun).toEqual(['long', 'short', 'crashed']);
    await ask('long too', second);
    await sender.store.update({ key: { tenant: 'default', id: crashed.id }, transition: crashedTwice });
    await crashed.send('crashed again');
    await system.advance(8_000);
    expect(begun).toEqual(['long', 'short', 'crashed', 'long too']);
    gateOf('long').open();
    await system.advance(100);
    expect(begun.at(-1)).toBe('crashed again');
    // The same for one that was passed over here and taken there.
    const other = await ask('other', first);
    await system.advance(100);
    gateOf('long too').open();
    await system.advance(100);
    gateOf('other').open();
    await system.advance(100);
    expect(begun.slice(5)).toEqual(['other']);
    await ask('long at last', second);
    await system.advance(leaseMs);
    await other.send('other again');
    await system.advance(5_000);
    expect(begun.slice(5)).toEqual(['other', 'long at last']);
    await system.advance(8_000);
    expect(begun.slice(5)).toEqual(['other', 'long at last', 'other again']);
  });

  it('keeps operations out of its process too, for a lease', async () => {
    const { system, begun, gateOf, open, ask, askCrashed } = await stage();
    await open();
    await askCrashed('crashed');
    await system.advance(1_000);
    const other = await open({ operationsMax: 0 });
    await ask('index in background', other);
    gateOf('index in background').open();
    await system.advance(leaseMs - 2_000);
    expect(begun).toEqual(['crashed', 'index in background']);
    await system.advance(2_500);
    expect(begun).toEqual(['crashed', 'index in background', 'tool of index in background']);
  });

  it('is not alone where an operation runs', async () => {
    const { system, begun, gateOf, open, ask, askCrashed } = await stage();
    const holdfast = await open();
    await ask('index in background', holdfast);
    gateOf('index in background').open();
    await system.settle();
    expect(begun.at(-1)).toBe('tool of index in background');
    expect(holdfast.worker?.runs).toBe(0);
    await askCrashed('crashed');
    await system.advance(leaseMs);
    expect(begun.at(-1)).toBe('tool of index in background');
    gateOf('tool of index in background').open();
    await system.advance(1_250);
    expect(begun.at(-1)).toBe('crashed');
  });
});
