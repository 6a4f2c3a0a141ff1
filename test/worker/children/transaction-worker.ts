import { scriptedModel } from '../../../src/testing/scripted-model.ts';
import { agent, createHoldfast, tool } from '../../../src/index.ts';
import { postgresStore } from '../../../src/store/postgres/postgres-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { z } from 'zod';
import { wrappedStore, type StoreOverrides } from '../../support/wrapped-store.ts';

/** A process that works on orders: `{url, stopsAt}` as JSON. At the point that `stopsAt` names it says so, and goes no further. */
interface Config {
  readonly url: string;
  readonly stopsAt: string | null;
}

const { url, stopsAt } = JSON.parse(process.argv[2] ?? '{}') as Config;

async function point(name: string): Promise<void> {
  process.send?.({ event: name });
  if (name === stopsAt) await new Promise(() => undefined);
}

const order = tool({
  inputSchema: z.object({}), transaction: true,
  execute: async (_input, { transaction, callKey }) => {
    await transaction.query('INSERT INTO public.orders (id) VALUES ($1)', [callKey]);
    await point('after the insert');
    return 'placed';
  },
});

const overrides: StoreOverrides = {
  transaction: (async (inner, work, options) => {
    await point('before execute');
    const result = await inner.transaction(work, options);
    await point('after COMMIT');
    return result;
  }) as NonNullable<StoreOverrides['transaction']>,
  storeOutcomeIfHeld: async (inner: Store, outcome) => {
    const stored = await inner.storeOutcomeIfHeld(outcome);
    if (outcome.transaction !== undefined) await point('before COMMIT');
    return stored;
  },
};

const model = scriptedModel([], { otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'tool' ? 'ordered' : [{ call: 'order' }, { call: 'order' }]) });
await createHoldfast({
  agents: [agent({ name: 'shop', model, tools: { order }, limits: { parallelCalls: 1 } })], worker: { leaseMs: 1_000, pollMs: 100 },
  store: { open: async (settings) => wrappedStore(await postgresStore({ connection: url, ...settings }), overrides) },
});
process.on('disconnect', () => process.exit(0));
process.send?.({ event: 'ready' });
