import { z } from 'zod';
import { agent, createHoldfast, tool } from '../../../src/index.ts';
import { openStoreUrl } from '../../../src/store-url.ts';
import type { Session } from '../../../src/core/session.ts';
import type { Store, UpdateRequest } from '../../../src/store/store.ts';
import { scriptedModel } from '../../../src/testing/scripted-model.ts';
import { wrappedStore, type StoreOverrides } from '../../support/wrapped-store.ts';

/** A process whose tool counts in two scopes: `{url, stopsAt}` as JSON. At the point that `stopsAt` names it says so, and goes no further. */
interface Config {
  readonly url: string;
  readonly stopsAt: string | null;
}

const { url, stopsAt } = JSON.parse(process.argv[2] ?? '{}') as Config;

async function point(name: string): Promise<void> {
  if (name !== stopsAt) return;
  process.send?.({ event: name });
  await new Promise(() => undefined);
}

/** Where it is killed, the second call ends after the first one's outcome was stored ahead of the step. */
const firstStored = Promise.withResolvers<void>();

const count = tool({
  inputSchema: z.object({ after: z.boolean() }), recovery: 'rerun',
  execute: async ({ after }, { state }) => {
    await state.increment('conversation', 'n');
    await state.increment('agent', 'n');
    await point('in the call');
    if (after && stopsAt !== null) await firstStored.promise;
    return 'counted';
  },
});

const isAnswered = ({ turn }: Session): boolean => turn?.lastStep?.openCalls.length === 0 && turn.lastStep.calls > 0;

const overrides: StoreOverrides = {
  storeOutcomeIfHeld: async (inner: Store, outcome) => {
    await point('before its outcome is stored');
    const stored = await inner.storeOutcomeIfHeld(outcome);
    await point('after its outcome is stored');
    firstStored.resolve();
    return stored;
  },
  update: (async (inner: Store, request: UpdateRequest<unknown>) => {
    if ((request.reads?.state?.length ?? 0) > 0) await point('before the step is committed');
    const result = await inner.update(request);
    if (result.kind === 'committed' && isAnswered(result.session)) await point('after the step is committed');
    return result;
  }) as NonNullable<StoreOverrides['update']>,
};

const model = scriptedModel([], { otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'tool' ? 'counted' : [{ call: 'count', input: { after: false } }, { call: 'count', input: { after: true } }]) });
await createHoldfast({
  agents: [agent({ name: 'counter', model, tools: { count } })], worker: { leaseMs: 1_000, pollMs: 100 },
  store: { open: async (settings) => wrappedStore(await openStoreUrl(url, settings), overrides) },
});
process.on('disconnect', () => process.exit(0));
process.send?.({ event: 'ready' });
