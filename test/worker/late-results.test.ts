import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, tool } from '../../src/index.ts';
import type { AgentTool } from '../../src/agent/tool.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

const inputSchema = z.object({});

/** A worker that hears of other processes' commits only when it commits itself, and another process that stops what it has in hand. */
async function workingUnawares(tools: Readonly<Record<string, AgentTool>>) {
  const path = await temporaryDatabase();
  const systems = [fakeSystem({ seed: 1 }), fakeSystem({ seed: 2 })] as const;
  const agents = [agent({ name: 'one', model: scriptedModel([Object.keys(tools).map((call) => ({ call }))]), tools })];
  const deaf = wrappedStore(await sqliteStore({ path, system: systems[0] }), { onChange: () => () => undefined });
  const worker = await openHoldfast({ agents, system: systems[0], store: deaf });
  const outside = await openHoldfast({ agents, system: systems[1], store: `sqlite:${path}`, worker: false });
  const { id } = await worker.sessions.create({ agent: 'one', message: { text: 'go' } });
  return { system: systems[0], worker, outside, session: await outside.sessions.get(id) };
}

describe('a call that was stopped by another process, and came to something before its worker heard of it', () => {
  it('has its real result kept beside', async () => {
    const work = gate();
    const pay = tool({ inputSchema, execute: async () => { await work.pass(); return 'paid'; } });
    const { system, session } = await workingUnawares({ pay });
    await work.reached;
    await session.stop();
    work.open();
    await system.settle();
    const entries = await session.entries();
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'stopped', mayHaveRun: true }] }]);
    expect(ofKind(entries, 'late-result')).toMatchObject([{ stepSeq: 3, result: { index: 0, outcome: 'done', output: 'paid' } }]);
  });

  it('so has one that ended at once, and one that failed; what was stored before the stop is not kept twice', async () => {
    const work = gate();
    const [first, second] = [gate(), gate()];
    const early = tool({ inputSchema, execute: () => 'early' });
    const after = tool({ inputSchema, execute: async () => { await first.pass(); return 'after'; } });
    const fails = tool({ inputSchema, execute: async () => { await second.pass(); throw new Error('card declined'); } });
    const pay = tool({ inputSchema, execute: async () => { await work.pass(); return 'paid'; } });
    const { system, session } = await workingUnawares({ early, after, fails, pay });
    await work.reached;
    await system.advance(200);
    for (const each of [first, second]) each.open();
    await system.settle();
    await session.stop();
    work.open();
    await system.settle();
    const entries = await session.entries();
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'done' }, { outcome: 'stopped' }, { outcome: 'stopped' }, { outcome: 'stopped' }] }]);
    expect(ofKind(entries, 'late-result').map(({ result: { index, outcome } }) => `${index} ${outcome}`).toSorted()).toEqual(['1 done', '2 failed', '3 done']);
  });

  it('so has one that had ended when a stop of its own process cut off its siblings', async () => {
    const work = gate();
    const early = tool({ inputSchema, execute: () => 'early' });
    const pay = tool({ inputSchema, execute: async () => { await work.pass(); return 'paid'; } });
    const { system, worker, session } = await workingUnawares({ early, pay });
    await work.reached;
    await (await worker.sessions.get(session.id)).stop();
    await system.settle();
    expect(ofKind(await session.entries(), 'late-result')).toMatchObject([{ result: { index: 0, outcome: 'done', output: 'early' } }]);
    work.open();
    await system.settle();
    expect(ofKind(await session.entries(), 'late-result').map(({ result: { index } }) => index)).toEqual([0, 1]);
  });
});

describe('an operation that was cancelled by another process, and came to something before its worker heard of it', () => {
  it('has its real result kept beside', async () => {
    const work = gate();
    const index = tool({ inputSchema, background: 'await', execute: async () => { await work.pass(); return 'indexed'; } });
    const { system, session } = await workingUnawares({ index });
    await work.reached;
    await session.stop();
    work.open();
    await system.settle();
    const entries = await session.entries();
    expect(ofKind(entries, 'operation-ended')).toMatchObject([{ status: 'cancelled' }]);
    expect(ofKind(entries, 'late-result')).toMatchObject([{ stepSeq: 3, result: { index: 0, outcome: 'done', output: 'indexed' } }]);
  });
});
