import { appendFileSync } from 'node:fs';
import { z } from 'zod';
import { agent, createHoldfast, tool, type Budgets } from '../../../src/index.ts';
import { scriptedModel } from '../../../src/testing/scripted-model.ts';
import { realSystem } from '../../../src/system.ts';

/** A worker whose agent never comes to an end by itself. As JSON. */
export interface SpendingConfig {
  readonly url: string;
  readonly budgets: Budgets;
  /** How long a generation takes. */
  readonly stepMs: number;
  /** File to which each generation appends a line as it begins. */
  readonly journal: string;
}

/** What the scripted model says that a generation used, in and out. */
export const tokensPerStep = 15;

export function spendingAgent({ stepMs, journal }: Pick<SpendingConfig, 'stepMs' | 'journal'>) {
  const model = scriptedModel([], {
    clock: realSystem().clock,
    otherwise: () => {
      appendFileSync(journal, 'begun\n');
      return [{ text: 'and on' }, { delayMs: stepMs }, { call: 'look', input: {} }];
    },
  });
  return agent({ name: 'spender', model, tools: { look: tool({ inputSchema: z.object({}), recovery: 'rerun', execute: () => 'seen' }) }, prices: { 'scripted-1': { input: 1, output: 1 } }, limits: { maxSteps: 10_000 } });
}

if (process.argv[2] !== undefined && process.send !== undefined) {
  const config = JSON.parse(process.argv[2]) as SpendingConfig;
  await createHoldfast({ agents: [spendingAgent(config)], store: config.url, budgets: config.budgets, worker: { leaseMs: 1_000, pollMs: 100, chunkIntervalMs: 20 } });
  process.on('disconnect', () => process.exit(0));
  process.send({ event: 'ready' });
}
