import { expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { tool } from '../../src/index.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ownPostgresServer } from '../support/postgres-database.ts';
import { ofKind } from '../support/run-turn.ts';

it('while Postgres is down for longer than a lease, workers let go of what they have; when it is back they go on, and what was sent meanwhile is kept', { timeout: 60_000 }, async () => {
  const server = await ownPostgresServer();
  const logged: string[] = [];
  const runs: string[] = [];
  const running = gate();
  const generating = gate();
  const model = scriptedModel([], {
    otherwise: ({ prompt }) => {
      const last = JSON.stringify(prompt.at(-1));
      if (last.includes('stream') && generations.length === 0) {
        generations.push('first');
        return [{ text: 'half ' }, { gate: generating }, { text: 'lost' }];
      }
      return prompt.at(-1)?.role === 'user' && last.includes('call') ? [{ call: 'work' }] : 'whole';
    },
  });
  const generations: string[] = [];
  const work = tool({
    inputSchema: z.object({}), recovery: 'rerun-keyed',
    execute: async (_input, { callKey }) => { runs.push(callKey); if (runs.length === 1) await running.pass(); return `run ${runs.length}`; },
  });
  const one = agent({ name: 'one', model, tools: { work } });
  const options = { store: server.url, log: (_level: string, event: string): void => { logged.push(event); } };
  const holdfasts: Holdfast[] = [];
  for (let count = 0; count < 2; count += 1) holdfasts.push(await openHoldfast({ agents: [one], worker: { leaseMs: 900, pollMs: 100, chunkIntervalMs: 20 }, ...options }));
  const sender = await openHoldfast({ agents: [one], worker: false, store: server.url });
  const calling = await sender.sessions.create({ agent: 'one', message: { text: 'call' } });
  const streaming = await sender.sessions.create({ agent: 'one', message: { text: 'stream' } });
  await Promise.all([running.reached, generating.reached]);
  const idsBefore = holdfasts.map(({ worker }) => worker?.id);

  await server.crash();
  await eventually('both to let go', () => logged.filter((event) => event === 'lease-lost').length === 2);
  expect(holdfasts.map(({ worker }) => worker?.ready)).toEqual([false, false]);
  const sent = calling.send('and then');
  running.open();
  generating.open();
  await server.start();

  const turn = await sent;
  expect(await calling.firstTurn?.result).toMatchObject({ reason: 'complete', text: 'whole' });
  expect(await streaming.firstTurn?.result).toMatchObject({ reason: 'complete', text: 'whole' });
  expect(await turn.result).toMatchObject({ reason: 'complete' });
  expect(runs).toEqual([runs[0], runs[0]]);
  expect(ofKind(await calling.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'run 2' }] }]);
  expect(ofKind(await streaming.entries(), 'attempt-lost')).toHaveLength(1);
  await eventually('both to be workers again, under new ids', () => holdfasts.every(({ worker }, place) => worker?.ready === true && worker.id !== idsBefore[place]));
  await eventually('the dead to be forgotten', async () => (await sender.store.listWorkers()).length === 2);
});
