import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as holdfastOf from '../../../src/index.ts';
import type * as systemOf from '../../../src/system.ts';
import type * as scriptedOf from '../../../src/testing/scripted-model.ts';

/** A process of the version whose sources are in the folder: one that works, or one that takes messages. As JSON. */
export interface DeployConfig {
  readonly folder: string;
  readonly url: string;
  readonly works: boolean;
  /** File to which each run of the tool appends its call's key. */
  readonly journal: string;
}

const { folder, url, works, journal } = JSON.parse(process.argv[2] ?? '{}') as DeployConfig;
const load = async (name: string): Promise<unknown> => import(pathToFileURL(path.join(folder, 'src', name)).href);
const { createHoldfast, agent, tool } = (await load('index.ts')) as typeof holdfastOf;
const { scriptedModel } = (await load('testing/scripted-model.ts')) as typeof scriptedOf;
const { realSystem } = (await load('system.ts')) as typeof systemOf;
const { z } = await import('zod');

const holdfast = await createHoldfast({
  agents: [agent({
    name: 'deployed',
    model: scriptedModel([], { clock: realSystem().clock, otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'user' ? [{ delayMs: 15 }, { call: 'note' }] : [{ text: 'noted ' }, { delayMs: 15 }, { text: 'well' }]) }),
    // It may not run again: a call that was cut off would end as `unknown`.
    tools: { note: tool({ inputSchema: z.object({}), execute: async (_input, { callKey }) => { appendFileSync(journal, `${callKey}\n`); await new Promise((resolve) => { setTimeout(resolve, 20); }); return 'noted'; } }) },
  })],
  store: url, worker: works ? { leaseMs: 3_000, pollMs: 200, chunkIntervalMs: 20, runsMax: 4 } : false,
  log: (level, event) => { if (level !== 'info') process.send?.({ event: 'log', name: event }); },
});
process.on('message', ({ sessionId, text }: { readonly sessionId: string; readonly text: string }) => {
  void holdfast.sessions.get(sessionId).then((session) => session.send(text)).then(({ id }) => process.send?.({ event: 'acknowledged', text, turnId: id }));
});
process.on('SIGTERM', () => void holdfast.close().then(() => process.exit(0)));
process.on('disconnect', () => process.exit(0));
process.send?.({ event: 'ready' });
