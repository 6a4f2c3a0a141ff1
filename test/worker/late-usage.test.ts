import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, tool } from '../../src/index.ts';
import type { AgentTool } from '../../src/agent/tool.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

/** A worker that hears of other processes' commits only when it commits itself, and another process that stops what it has in hand. */
async function workingUnawares(model: ScriptedModel, tools: Readonly<Record<string, AgentTool>> = {}) {
  const path = await temporaryDatabase();
  const systems = [fakeSystem({ seed: 1 }), fakeSystem({ seed: 2 })] as const;
  const agents = [agent({ name: 'one', model, tools, prices: { 'scripted-1': { input: 1, output: 1 } } })];
  const deaf = wrappedStore(await sqliteStore({ path, system: systems[0] }), { onChange: () => () => undefined });
  const worker = await openHoldfast({ agents, system: systems[0], store: deaf, worker: { stopGraceMs: 500 } });
  const outside = await openHoldfast({ agents, system: systems[1], store: `sqlite:${path}`, worker: false });
  const { id } = await worker.sessions.create({ agent: 'one', message: { text: 'go' } });
  return { system: systems[0], worker, session: await outside.sessions.get(id) };
}

const total = { attempts: 1, attemptsWithoutUsage: 0, attemptsWithoutCost: 0, inputTokens: 10, outputTokens: 5, costMicros: 15 };

describe('a generation that was stopped by another process, and was whole before its worker heard of it', () => {
  it('is one attempt with what it used, in every sum of its session', async () => {
    const rest = gate();
    const { system, session } = await workingUnawares(scriptedModel([[{ gate: rest }, { text: 'late' }]]));
    await rest.reached;
    await session.stop();
    rest.open();
    await system.settle();
    const used = await session.usage();
    expect(used.attempts.items.map(({ outcome }) => outcome)).toEqual(['stopped', 'late']);
    expect(used.total).toMatchObject(total);
    expect(used.models).toMatchObject([{ provider: 'scripted', model: 'scripted-1', ...total }]);
    expect(used.purposes).toMatchObject([{ purpose: 'step', ...total }]);
  });

  it('so is one that its worker was about to hand over', async () => {
    const checked = gate();
    const look = tool({ inputSchema: z.object({}).refine(async () => { await checked.pass(); return true; }), execute: () => 'seen' });
    const { system, worker, session } = await workingUnawares(scriptedModel([[{ call: 'look' }]]), { look });
    await checked.reached;
    const closed = worker.close();
    await system.advance(499);
    await session.stop();
    await system.advance(1);
    await closed;
    const used = await session.usage();
    expect(used.attempts.items.map(({ outcome }) => outcome)).toEqual(['stopped', 'late']);
    expect(used.total).toMatchObject(total);
  });
});
