import { describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { StoreError } from '../../src/store/store-error.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { checkEveryPosition, knowledge, record, whatFollows } from '../support/feed-recording.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';

async function bench(script: readonly ScriptedGeneration[], overrides: StoreOverrides = {}, worker: boolean | { readonly chunkIntervalMs: number } = { chunkIntervalMs: 20 }) {
  const system = fakeSystem();
  const listeners = { count: 0 };
  const store = wrappedStore(await sqliteStore({ path: await temporaryDatabase(), system }), {
    onChange: (inner, listener) => {
      listeners.count += 1;
      const end = inner.onChange(listener);
      return () => {
        listeners.count -= 1;
        end();
      };
    },
    ...overrides,
  });
  const holdfast: Holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel(script, { otherwise: 'ok' }) })], store, system, worker });
  return { system, store, holdfast, listeners, session: await holdfast.sessions.create({ agent: 'one' }) };
}

describe('following a session', () => {
  it('reads once for each change, however many follow', async () => {
    let reads = 0;
    const held = gate();
    const { system, session } = await bench([[{ text: 'one ' }, { gate: held }, { text: 'two' }]], { readTail: (inner, key, from) => { reads += 1; return inner.readTail(key, from); } });
    const followers = Array.from({ length: 50 }, () => record(session));
    await system.settle();
    await session.send('go');
    await system.settle();
    reads = 0;
    held.open();
    await system.settle();
    expect(reads).toBeGreaterThan(0);
    expect(reads).toBeLessThan(10);
    const known = knowledge(followers[0]?.events ?? []);
    expect(known).toMatchObject({ status: 'idle', live: null });
    for (const { events } of followers) expect(knowledge(events)).toEqual(known);
  });

  it('takes nobody with it who leaves, and leaves nothing behind', async () => {
    const held = gate();
    const { system, session, listeners } = await bench([[{ text: 'one ' }, { gate: held }, { text: 'two' }]]);
    await system.settle();
    const [timers, listening] = [system.waitingTimers, listeners.count];
    const [stays, leaves] = [record(session), record(session)];
    await system.settle();
    expect(listeners.count).toBe(listening + 1);
    await session.send('go');
    await system.settle();
    await leaves.stop();
    const left = leaves.events.length;
    held.open();
    await system.settle();
    expect(leaves.events).toHaveLength(left);
    expect(knowledge(stays.events)).toMatchObject({ status: 'idle' });
    await stays.stop();
    expect([system.waitingTimers, listeners.count]).toEqual([timers, listening]);
  });

  it('goes on without any hint of the store, by looking now and then', async () => {
    const { system, session } = await bench([], { onChange: () => () => undefined });
    const following = record(session);
    await system.settle();
    await (await session.send('go')).result;
    await system.settle();
    expect(following.events.at(-1)).toMatchObject({ type: 'status', status: 'idle', position: '1' });
    await system.advance(1_000);
    expect(knowledge(following.events)).toMatchObject({ status: 'idle', entries: await session.entries() });
  });

  it('gives more than a page of what was missed, each entry once and in order, from any place', async () => {
    const half = gate();
    const { system, session } = await bench([[{ text: ['so ', 'far '] }, { gate: half }, { error: Object.assign(new Error('overloaded'), { code: 'overloaded_error' }) }]]);
    const whole = record(session);
    await session.send('go');
    await system.advance(100);
    const position = whole.events.find(({ type }) => type === 'chunk')?.position ?? '';
    expect(position).toContain('.');
    half.open();
    await system.advance(60_000);
    for (let count = 0; count < 520; count += 1) await session.update({ title: `title ${count}` });
    const entries = await Promise.all([session.entries(), session.entries({ afterSeq: 500 })]).then((pages) => pages.flat());
    await system.settle();
    const seqs = (await whatFollows(session, '0')).flatMap((event) => (event.type === 'entry' ? [event.entry.seq] : []));
    expect(seqs).toEqual(entries.map(({ seq }) => seq));
    // What was shown of the failed attempt is taken back, though its end lies pages away.
    const cut = whole.events.findIndex((event) => event.position === position);
    const rest = await whatFollows(session, position);
    expect(rest.filter(({ type }) => type === 'chunk-retracted')).toHaveLength(1);
    expect(knowledge(whole.events.slice(0, cut + 1), rest)).toEqual(knowledge(whole.events));
    expect(knowledge(rest).live).toBeNull();
  });

  it('begins with what comes after now', async () => {
    const { system, session } = await bench([]);
    await (await session.send('before')).result;
    const following = record(session, 'now');
    await system.settle();
    expect(following.events.map(({ type }) => type)).toEqual(['queue', 'operation', 'action', 'status']);
    await (await session.send('after')).result;
    await system.settle();
    const shown = following.events.flatMap((event) => (event.type === 'entry' ? [event.entry.kind] : []));
    expect(shown).toEqual(['user-message', 'assistant-step', 'turn-ended']);
  });

  it('is refused from what is no position of this session', async () => {
    const { session, holdfast } = await bench([]);
    const other = await holdfast.sessions.create({ agent: 'one' });
    for (let count = 0; count < 5; count += 1) await other.update({ title: `${count}` });
    const foreign = (await whatFollows(other, '0')).at(-1)?.position ?? '';
    for (const position of ['', 'x', '-1', '1.5', '1e3', '99999999999999999999', '1.att_x.-1', '1.att_x.1.', '12', foreign]) {
      await expect(whatFollows(session, position), position).rejects.toMatchObject({ code: 'bad_position' });
    }
    await session.delete();
    await expect(whatFollows(session, '1')).rejects.toMatchObject({ code: 'session_not_found' });
  });

  it('ends when the session is deleted', async () => {
    const { system, session } = await bench([]);
    const following = (async () => { const seen = []; for await (const event of session.events()) seen.push(event.type); return seen; })();
    await system.settle();
    await session.delete();
    await system.advance(1_000);
    expect(await following).toEqual(['entry', 'queue', 'status']);
  });

  it('is broken off by a store that fails, and goes on after the last position', async () => {
    let down = false;
    const { system, session } = await bench([], { readTail: (inner, key, from) => (down ? Promise.reject(new StoreError('store_unavailable', 'no disk')) : inner.readTail(key, from)) });
    const events: Awaited<ReturnType<typeof whatFollows>>[number][] = [];
    const following = (async () => { for await (const event of session.events()) events.push(event); })().then(() => 'ended', (error: unknown) => (error as StoreError).code);
    await system.settle();
    down = true;
    await session.send('go');
    await system.advance(1_000);
    expect(await following).toBe('store_unavailable');
    down = false;
    await system.advance(1_000);
    const rest = await whatFollows(session, events.at(-1)?.position ?? '');
    expect(knowledge(events, rest)).toMatchObject({ status: 'idle', entries: await session.entries() });
    await checkEveryPosition(session, [...events, ...rest]);
  });
});
