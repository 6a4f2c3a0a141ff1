import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { tool } from '../../src/index.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { StoreError } from '../../src/store/store-error.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import type { AgentTool, ToolOptions } from '../../src/agent/tool.ts';
import type { Operation } from '../../src/core/operation.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';

const unavailable = (): Promise<never> => Promise.reject(new StoreError('store_unavailable', 'the disk is full'));

async function bench(script: readonly ScriptedGeneration[], overrides: StoreOverrides, tools: Readonly<Record<string, AgentTool>> = {}, limits: { readonly parallelCalls?: number } = {}) {
  const system = fakeSystem();
  const logged: string[] = [];
  const store = wrappedStore(await sqliteStore({ path: await temporaryDatabase(), system }), overrides);
  const model = scriptedModel(script);
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model, tools, limits })], store, system, log: (_level, event) => logged.push(event) });
  const session = await holdfast.sessions.create({ agent: 'one' });
  const row = async () => store.readSession({ tenant: 'default', id: session.id });
  return { system, store, holdfast, session, model, logged, row };
}

describe('a store that fails while a session runs', () => {
  it('does not leave the session stuck: it is given up, and goes on when somebody can', async () => {
    let updates = 0;
    // The command is the first update; the step's commit the second.
    const { system, session, model, logged, row } = await bench(['first try', 'second try'], {
      update: (inner, request) => { updates += 1; return updates === 2 ? unavailable() : inner.update(request); },
    });
    const turn = await session.send('go');
    await system.settle();
    expect(logged).toEqual(['run-failed']);
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'second try' });
    expect(model.calls).toHaveLength(2);
    const entries = await session.entries();
    expect(entries.map(({ kind }) => kind)).toEqual(['session-created', 'user-message', 'attempt-lost', 'assistant-step', 'turn-ended']);
    expect(await row()).toMatchObject({ claim: null, crashes: 0 });
  });

  it('does not leave a session stuck whose claim landed though it came back as an error', async () => {
    let updates = 0;
    const { system, session, row } = await bench(['answered'], {
      update: async (inner, request) => {
        updates += 1;
        const result = await inner.update(request);
        return updates === 1 ? unavailable() : result;
      },
    });
    await expect(session.send({ text: 'go', messageId: 'm1' })).rejects.toMatchObject({ code: 'store_unavailable' });
    const { claim, turn } = (await row()) ?? {};
    expect(claim).not.toBe(null);
    await system.advance(10_000);
    expect(await session.turn({ turnId: turn?.id ?? '' }).result).toMatchObject({ reason: 'complete', text: 'answered' });
    // The client that asked again, with the same message id, is told of the one turn there is.
    expect((await session.send({ text: 'go', messageId: 'm1' })).id).toBe(turn?.id);
  });

  it('is tried again for as long as it fails', async () => {
    let down = false;
    const { system, holdfast, session, logged } = await bench(['first try', 'second try'], { update: (inner, request) => (down ? unavailable() : inner.update(request)) });
    const sending = session.send('go');
    await sending;
    down = true;
    await system.advance(4_000);
    expect(logged.filter((event) => event === 'abandon-failed').length).toBeGreaterThan(3);
    expect(holdfast.worker?.runs).toBe(1);
    down = false;
    await system.advance(6_000);
    expect(await session.get()).toMatchObject({ status: 'idle' });
    expect(holdfast.worker?.runs).toBe(0);
  });

  it('tells the siblings of a call that could not be dispatched, and runs what has to run', async () => {
    let dispatches = 0;
    const signals: AbortSignal[] = [];
    const ended = gate();
    const long = tool({ recovery: 'rerun', inputSchema: z.object({}), execute: async (_input, { abortSignal }) => { signals.push(abortSignal); if (signals.length === 1) await new Promise(() => undefined); return 'long'; } });
    const short = tool({ recovery: 'rerun', inputSchema: z.object({}), execute: async () => { await ended.pass(); return 'short'; } });
    const reported = tool({ inputSchema: z.object({}), execute: () => 'reported' });
    const { system, session } = await bench(
      [[{ call: 'long' }, { call: 'short' }, { call: 'reported' }], 'done'],
      { update: (inner, request) => { dispatches += 1; return dispatches === 3 ? unavailable() : inner.update(request); } },
      { long, short, reported }, { parallelCalls: 2 },
    );
    const turn = await session.send('go');
    await system.settle();
    ended.open();
    await system.settle();
    expect(signals[0]?.aborted).toBe(true);
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'done' });
    expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: ['long', 'short', 'reported'].map((output) => ({ outcome: 'done', output })) }]);
  });

  it('costs nothing where only live output or an early outcome is not stored', async () => {
    const waiting = gate();
    const slow = tool({ inputSchema: z.object({}), execute: async () => { await waiting.pass(); return 'slow'; } });
    const fast = tool({ inputSchema: z.object({}), execute: () => 'fast' });
    const { system, session, logged, row } = await bench(
      [[{ text: ['a', 'b'] }, { call: 'slow' }, { call: 'fast' }], 'done'], { appendChunkIfHeld: unavailable, storeOutcomeIfHeld: unavailable }, { slow, fast },
    );
    const turn = await session.send('go');
    await system.advance(500);
    expect(logged).toEqual(['early-outcome-not-stored']);
    waiting.open();
    await system.settle();
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'done', steps: 2 });
    expect((await row())?.lastSeq).toBe(6);
  });

  it('lets a tool ask once more for the completion of its operation, and ends the operation of one that goes on without', async () => {
    let asked = 0;
    const isAllowing = (before: Operation, after: Operation): boolean => after.tokenHashes.length > before.tokenHashes.length;
    const overrides: StoreOverrides = {
      updateOperation: (inner, request) => inner.updateOperation({
        ...request,
        transition: (loaded) => {
          const change = request.transition(loaded);
          if ('refused' in change || !isAllowing(loaded.operation, change.operation)) return change;
          asked += 1;
          if (asked <= 2) throw new StoreError('store_unavailable', 'the disk is full');
          return change;
        },
      }),
    };
    const again = tool({ inputSchema: z.object({}), background: 'await', execute: async (_input, { externalCompletion }: ToolOptions) => { await externalCompletion().catch(() => externalCompletion()); } });
    const without = tool({ inputSchema: z.object({}), background: 'await', execute: async (_input, { externalCompletion }: ToolOptions) => { await externalCompletion().catch(() => null); return 'alone'; } });
    const { system, session, store } = await bench([[{ call: 'without' }], [{ call: 'again' }], 'done'], overrides, { again, without });
    await session.send('go');
    await system.settle();
    expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'alone' }] }]);
    const [operation] = (await store.listOperations({ tenant: 'default', id: session.id }, { limit: 1 })).items;
    expect(operation).toMatchObject({ toolName: 'again', external: true, status: 'running' });
    expect(asked).toBe(3);
  });

  it('does not end the looking for work', async () => {
    let fails = true;
    const { system, session, logged, holdfast } = await bench(['hello'], { findClaimable: (inner, query) => (fails ? unavailable() : inner.findClaimable(query)) });
    const full = Array.from({ length: 128 }, () => holdfast.worker?.reserve());
    await session.send('go');
    await system.advance(5_000);
    for (const slot of full) slot?.release();
    await system.advance(2_000);
    expect(logged.filter((event) => event === 'scan-failed').length).toBeGreaterThan(0);
    expect((await session.get()).status).toBe('ready');
    fails = false;
    await system.advance(2_000);
    expect((await session.get()).status).toBe('idle');
  });
});
