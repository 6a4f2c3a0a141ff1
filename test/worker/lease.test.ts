import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { tool } from '../../src/index.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { StoreError } from '../../src/store/store-error.ts';
import { fakeSystem, type FakeSystem } from '../../src/testing/fake-system.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';

const leaseMs = 9_000;

interface Bench {
  readonly system: FakeSystem;
  readonly store: Store;
  readonly path: string;
  readonly holdfast: Awaited<ReturnType<typeof openHoldfast>>;
  /** Each run of the agent's one tool, which ends only when it is told to. */
  readonly runs: readonly { readonly signal: AbortSignal; readonly end: () => void }[];
  readonly logged: readonly string[];
}

/** A worker in the middle of a tool call of a session, on a store that can be made to fail. */
async function workingBench(overrides: StoreOverrides): Promise<Bench & { readonly session: Awaited<ReturnType<Bench['holdfast']['sessions']['create']>> }> {
  const system = fakeSystem();
  const path = await temporaryDatabase();
  const store = wrappedStore(await sqliteStore({ path, system }), overrides);
  const runs: { signal: AbortSignal; end: () => void }[] = [];
  const logged: string[] = [];
  const work = tool({
    recovery: 'rerun',
    inputSchema: z.object({}),
    execute: (_input, { abortSignal }) => new Promise<string>((resolve) => runs.push({ signal: abortSignal, end: () => resolve('worked') })),
  });
  const model = scriptedModel([], { otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'user' ? [{ call: 'work' }] : 'done') });
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model, tools: { work } })], store, system, worker: { leaseMs }, log: (_level, event) => logged.push(event) });
  const session = await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
  await system.settle();
  expect(runs).toHaveLength(1);
  return { system, store, path, holdfast, runs, logged, session };
}

describe('a worker whose lease is held', () => {
  it('renews it at a third, so that nobody takes its sessions while it lives', async () => {
    const renewedAtMs: number[] = [];
    const { system, holdfast, runs, session } = await workingBench({
      renewWorker: (inner, worker, forMs) => { renewedAtMs.push(inner.nowMs()); return inner.renewWorker(worker, forMs); },
    });
    const { id } = holdfast.worker ?? { id: '' };
    const startMs = system.clock.nowMs();
    await system.advance(leaseMs * 3);
    expect(renewedAtMs.map((atMs) => atMs - startMs)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].map((third) => (third * leaseMs) / 3));
    expect(holdfast.worker).toMatchObject({ id, ready: true, runs: 1 });
    runs[0]?.end();
    await system.settle();
    expect(await session.get()).toMatchObject({ status: 'idle' });
    expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'worked' }] }]);
  });

  it('renews it again at once when a renewal took longer than a third, and so keeps it on a slow store', async () => {
    const tookMs = leaseMs * 0.4;
    let bench: Bench | null = null;
    bench = await workingBench({
      renewWorker: (inner, worker, forMs) => new Promise((resolve) => {
        bench?.system.clock.after(tookMs, () => resolve(inner.renewWorker(worker, forMs)));
      }),
    });
    await bench.system.advance(leaseMs * 5);
    expect(bench.logged).not.toContain('lease-lost');
    expect(bench.holdfast.worker).toMatchObject({ ready: true, runs: 1 });
    expect(bench.runs).toHaveLength(1);
    bench.runs[0]?.end();
  });
});

describe('a worker whose lease is lost', () => {
  it('drops what it has in hand, announces itself under a new id, and takes the session again as if another had died', async () => {
    let lost = false;
    const { system, store, holdfast, runs, logged, session } = await workingBench({
      renewWorker: (inner, worker, forMs) => (lost ? Promise.resolve('lost') : inner.renewWorker(worker, forMs)),
    });
    const { worker } = holdfast;
    const firstId = worker?.id;
    lost = true;
    await system.advance(leaseMs / 3 - 1);
    expect(runs[0]?.signal.aborted).toBe(false);
    lost = true;
    await system.advance(1);
    lost = false;
    expect(runs[0]?.signal.aborted).toBe(true);
    expect(logged).toContain('lease-lost');
    await system.advance(5_000);
    expect(worker?.id).not.toBe(firstId);
    expect(worker).toMatchObject({ ready: true, runs: 1 });
    expect(runs).toHaveLength(2);
    expect(await store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ claim: { worker: worker?.id }, crashes: 1 });
    // The first run's result comes now: it is of a fence that is gone.
    runs[0]?.end();
    await system.settle();
    expect(ofKind(await session.entries(), 'tool-results')).toEqual([]);
    runs[1]?.end();
    await system.settle();
    expect(await store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ turn: null, crashes: 0, lastTurn: { reason: 'complete' } });
    expect(ofKind(await session.entries(), 'tool-results')).toHaveLength(1);
  });

  it('stops itself at two thirds when it cannot renew, before anybody may take over, and comes back when the store does', async () => {
    let down = false;
    const unavailable = (): Promise<never> => Promise.reject(new StoreError('store_unavailable', 'the disk is gone'));
    const { system, holdfast, runs, logged, session } = await workingBench({
      renewWorker: (inner, worker, forMs) => (down ? unavailable() : inner.renewWorker(worker, forMs)),
      retireWorker: (inner, worker) => (down ? unavailable() : inner.retireWorker(worker)),
      registerWorker: (inner, worker) => (down ? unavailable() : inner.registerWorker(worker)),
      update: (inner, request) => (down ? unavailable() : inner.update(request)),
    });
    const { worker } = holdfast;
    const firstId = worker?.id;
    down = true;
    await system.advance((leaseMs * 2) / 3 - 1);
    expect([runs[0]?.signal.aborted, worker?.ready]).toEqual([false, true]);
    await system.advance(1);
    expect([runs[0]?.signal.aborted, worker?.ready]).toEqual([true, false]);
    expect(worker?.reserve()).toBeNull();
    // It goes on trying, however long that lasts.
    await system.advance(leaseMs * 4);
    expect(worker?.ready).toBe(false);
    expect(logged.filter((event) => event === 'lease-announce-failed').length).toBeGreaterThan(2);
    down = false;
    await system.advance(leaseMs);
    expect(worker?.ready).toBe(true);
    expect(worker?.id).not.toBe(firstId);
    expect(runs).toHaveLength(2);
    runs[1]?.end();
    await system.settle();
    expect(await session.get()).toMatchObject({ status: 'idle' });
  });

  it('is one worker when it comes back, though looking for the dead fails then', async () => {
    let lost = false;
    let looksFail = false;
    const registered: string[] = [];
    const { system, holdfast, runs, session } = await workingBench({
      renewWorker: (inner, worker, forMs) => (lost ? Promise.resolve('lost') : inner.renewWorker(worker, forMs)),
      registerWorker: (inner, worker) => { registered.push(worker.id); return inner.registerWorker(worker); },
      findDeadWorkers: (inner) => (looksFail ? Promise.reject(new StoreError('store_unavailable', 'busy')) : inner.findDeadWorkers()),
    });
    lost = true;
    looksFail = true;
    await system.advance(leaseMs / 3);
    lost = false;
    await system.advance(leaseMs);
    expect(registered).toHaveLength(2);
    looksFail = false;
    await system.advance(leaseMs);
    expect(registered).toHaveLength(2);
    expect(holdfast.worker).toMatchObject({ id: registered[1], ready: true });
    runs.at(-1)?.end();
    await system.settle();
    expect(await session.get()).toMatchObject({ status: 'idle' });
  });
});

describe('a turn that another process stops', () => {
  it.each([{ hears: 'by the hint of the store', hints: true, withinMs: 100 }, { hears: 'by the next renewal where no hint comes', hints: false, withinMs: leaseMs / 3 }])(
    'is ended for its silent tool $hears', async ({ hints, withinMs }) => {
      const { system, store, holdfast, runs, session, path } = await workingBench(hints ? {} : { onChange: () => () => undefined });
      await system.advance(leaseMs / 3);
      const other = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([]) })], store: `sqlite:${path}`, system, worker: false });
      await (await other.sessions.get(session.id)).stop();
      expect(await store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ turn: null, lastTurn: { reason: 'stopped' } });
      expect(runs[0]?.signal.aborted).toBe(false);
      await system.advance(withinMs);
      expect(runs[0]?.signal.aborted).toBe(true);
      expect(holdfast.worker?.runs).toBe(0);
    });
});

describe('an announcement that fails', () => {
  it('leaves no lock behind', async () => {
    const path = await temporaryDatabase();
    const store = await sqliteStore({ path, system: fakeSystem() });
    // There is no table yet.
    await expect(store.registerWorker({ id: 'wrk_1', leaseMs: 1, agents: [] })).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(readdirSync(`${path}-workers`)).toEqual([]);
    await store.migrate();
    await store.registerWorker({ id: 'wrk_1', leaseMs: 1, agents: [] });
    expect(readdirSync(`${path}-workers`)).toEqual(['wrk_1.lock']);
    await store.close();
  });
});

describe('a session that another took', () => {
  it('is dropped by the worker that had it, at the latest when it renews; its other sessions go on', async () => {
    const { system, store, holdfast, runs, session } = await workingBench({});
    const sibling = await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
    await system.advance(leaseMs / 3);
    expect(runs).toHaveLength(2);
    // As a takeover by another process leaves it; nothing tells this one of it.
    await store.registerWorker({ id: 'wrk_0', leaseMs: leaseMs * 10, agents: [] });
    await store.update({
      key: { tenant: 'default', id: session.id },
      transition: ({ session: row }) => ({ session: { ...row, fence: row.fence + 1, claim: { worker: 'wrk_0', claimedAtMs: 0, solo: false } }, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null }),
    });
    await system.advance(leaseMs / 3 - 1);
    expect(runs.map(({ signal }) => signal.aborted)).toEqual([false, false]);
    await system.advance(1);
    expect(runs.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    expect(holdfast.worker?.runs).toBe(1);
    runs[1]?.end();
    await system.settle();
    expect(await sibling.get()).toMatchObject({ status: 'idle' });
  });
});
