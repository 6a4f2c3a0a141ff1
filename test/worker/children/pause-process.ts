import { createHoldfast } from '../../../src/create-holdfast.ts';
import { isLive } from '../../../src/core/operation.ts';
import type { Store } from '../../../src/store/store.ts';
import { isPostgresUrl, openStoreUrl, postgres, postgresUrlParts } from '../../../src/store-url.ts';
import { realSystem } from '../../../src/system.ts';
import { wrappedStore, type StoreOverrides } from '../../support/wrapped-store.ts';
import { pauseAgent } from './pause-agent.ts';
import type { ProbePort } from './probe-agent.ts';

/**
 * Where the process stands still for good as soon as it comes there: `started`, right after the commit that starts an operation; `claimed`, right after the one that claims it;
 * `before-end`, right before the one that ends it; `after-end`, right after that.
 */
export type StandStill = 'started' | 'claimed' | 'before-end' | 'after-end';

/** A process that works: as JSON. */
export interface PauseProcessConfig {
  /** Beside it is the journal. */
  readonly path: string;
  /** The store. Default: the SQLite file at the path. */
  readonly url?: string;
  /** Default 20,000. */
  readonly leaseMs?: number;
  /** Default 200. */
  readonly pollMs?: number;
  readonly stopGraceMs?: number;
  /** What calls are held at waits for the test, all of it or these; else they are let through. */
  readonly holds?: boolean | readonly string[];
  readonly standsStill?: StandStill;
  /** false: the store tells of no change. */
  readonly hints?: boolean;
  readonly runsMax?: number;
  readonly operationsMax?: number;
}

const { path, url = `sqlite:${path}`, leaseMs = 20_000, pollMs = 200, stopGraceMs = 5_000, holds = false, standsStill, hints = true, runsMax, operationsMax } = JSON.parse(process.argv[2] ?? '{}') as PauseProcessConfig;
const waiting = new Map<string, (() => void)[]>();
const released = new Set<string>();

const port: ProbePort = {
  journal: `${path}.journal`,
  say: (event, fields = {}) => void process.send?.({ event, ...fields }),
  wait: (name) => (!(typeof holds === 'boolean' ? holds : holds.includes(name)) || released.has(name) ? Promise.resolve() : new Promise((resolve) => waiting.set(name, [...(waiting.get(name) ?? []), resolve]))),
};

function standStill(operationId: string): Promise<never> {
  port.say('stands-still', { operationId });
  return new Promise(() => undefined);
}

/** Operations that this process has claimed, by session. */
const claimed = new Map<string, string>();

const lookedOnly = { refused: 'not_claimable', message: 'only looked' } as const;

/** Whether a change would end the operation: asked without making it. */
async function wouldEnd(inner: Store, request: Parameters<Store['updateOperation']>[0]): Promise<boolean> {
  let ends = false;
  await inner.updateOperation({
    ...request,
    transition: (loaded) => {
      const change = request.transition(loaded);
      ends = 'operation' in change && !isLive(change.operation) && isLive(loaded.operation);
      return lookedOnly;
    },
  });
  return ends;
}

const overrides: StoreOverrides = {
  ...(hints ? {} : { onChange: () => () => undefined }),
  ...(standsStill !== 'started' ? {} : {
    update: (async (inner: Store, request: Parameters<Store['update']>[0]) => {
      const result = await inner.update(request);
      const started = result.kind === 'committed' ? result.entries.find(({ kind }) => kind === 'operation-started') : undefined;
      return started?.kind === 'operation-started' ? standStill(started.operationId) : result;
    }) as never,
  }),
  ...(standsStill !== 'claimed' ? {} : {
    // The first thing that is read for a run.
    readSession: (inner, key) => { const operationId = claimed.get(key.id); return operationId === undefined ? inner.readSession(key) : standStill(operationId); },
    updateOperation: (async (inner: Store, request: Parameters<Store['updateOperation']>[0]) => {
      const before = await inner.readOperation(request.key);
      const result = await inner.updateOperation(request);
      if (before !== null && result.kind === 'committed' && result.operation.attempts > before.attempts) claimed.set(before.sessionId, before.id);
      return result;
    }) as never,
  }),
  ...(standsStill !== 'before-end' && standsStill !== 'after-end' ? {} : {
    updateOperation: (async (inner: Store, request: Parameters<Store['updateOperation']>[0]) => {
      const ends = await wouldEnd(inner, request);
      if (ends && standsStill === 'before-end') return standStill(request.key.id);
      const result = await inner.updateOperation(request);
      return ends ? standStill(request.key.id) : result;
    }) as never,
  }),
};

const system = realSystem();
const settings = { system, outboxKinds: [] };
const { connection = url, schema } = isPostgresUrl(url) ? postgresUrlParts(url) : {};
const opened = hints || !isPostgresUrl(url) ? await openStoreUrl(url, settings) : await postgres({ url: connection, dialect: { notify: false }, ...(schema === undefined ? {} : { schema }) }).open(settings);
const store = wrappedStore(opened, overrides);
const holdfast = await createHoldfast({
  agents: [pauseAgent(port)], store, system,
  worker: { leaseMs, chunkIntervalMs: 20, pollMs, stopGraceMs, ...(runsMax === undefined ? {} : { runsMax }), ...(operationsMax === undefined ? {} : { operationsMax }) },
  log: (level, event, fields) => port.say('log', { level, name: event, ...fields }),
});
process.on('message', ({ event, name }: { readonly event: string; readonly name?: string }) => {
  if (event === 'release' && name !== undefined) {
    released.add(name);
    for (const resume of waiting.get(name) ?? []) resume();
    port.say('released', { name });
  }
  if (event === 'who') port.say('worker', { id: holdfast.worker?.id, ready: holdfast.worker?.ready, runs: holdfast.worker?.runs });
});
// With nobody to watch it there is nothing to do.
process.on('disconnect', () => process.exit(0));
port.say('ready', { id: holdfast.worker?.id });
