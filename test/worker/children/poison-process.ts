import { appendFileSync } from 'node:fs';
import { z } from 'zod';
import { agent } from '../../../src/agent/agent.ts';
import { createHoldfast, type Holdfast } from '../../../src/create-holdfast.ts';
import { tool } from '../../../src/index.ts';
import { openStoreUrl } from '../../../src/store-url.ts';
import { realSystem } from '../../../src/system.ts';
import { scriptedModel } from '../../../src/testing/scripted-model.ts';
import { eventually } from '../../support/eventually.ts';
import { wrappedStore } from '../../support/wrapped-store.ts';

/**
 * A process with an agent whose `crash` tool kills it; before that it notes how many sessions the process had in hand. `linger` takes as long as a crash is
 * being prepared in its process.
 */
const { path, url, leaseMs } = JSON.parse(process.argv[2] ?? '{}') as { readonly path: string; readonly url: string; readonly leaseMs: number };
let scans = 0;
let crashing = false;

const model = (name: string) => scriptedModel([], { otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'user' ? [{ call: name }] : 'done') });

const crash = tool({
  recovery: 'rerun',
  inputSchema: z.object({}),
  execute: async () => {
    crashing = true;
    const worker = holdfast.worker;
    if (worker === null) throw new Error('this process works');
    // New work comes while it runs: it is taken side by side, unless this session must run alone.
    const other = await holdfast.sessions.create({ agent: 'bystander', message: { text: 'go' } });
    const before = scans;
    worker.wake();
    await eventually('two more looks for work', () => scans >= before + 2 || (worker.wake(), false));
    appendFileSync(`${path}.journal`, `crash ${worker.runs} ${(await other.get()).status}\n`);
    process.kill(process.pid, 'SIGKILL');
    await new Promise(() => undefined);
  },
});

const linger = tool({
  recovery: 'rerun',
  inputSchema: z.object({}),
  execute: async () => { await eventually('a process without crash', () => !crashing); return 'quiet'; },
});

const system = realSystem();
const store = wrappedStore(await openStoreUrl(url, { system, outboxKinds: [] }), {
  findClaimable: async (inner, query) => { const found = await inner.findClaimable(query); scans += 1; return found; },
});
const holdfast: Holdfast = await createHoldfast({
  agents: [
    agent({ name: 'poisonous', model: model('crash'), tools: { crash } }),
    agent({ name: 'bystander', model: model('linger'), tools: { linger } }),
  ],
  store, system, worker: { leaseMs, pollMs: 200 },
});
process.on('disconnect', () => process.exit(0));
process.send?.({ event: 'ready' });
