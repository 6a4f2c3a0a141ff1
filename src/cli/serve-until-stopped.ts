import process from 'node:process';
import type { Agent } from '../agent/agent.ts';
import { createHoldfast, type Holdfast, type HoldfastOptions } from '../create-holdfast.ts';
import { HoldfastError } from '../core/errors.ts';
import { listen } from '../server/listen.ts';
import type { Hooks } from '../worker/hooks.ts';
import type { Log } from '../worker/log.ts';
import { requireServer, storeWith } from './open-store.ts';
import { stopRequest } from './stop-request.ts';
import { note } from './terminal.ts';

/** How long what is left behind may keep a stopped process alive, in milliseconds. */
const leftBehindMs = 250;

export interface ServeOptions {
  readonly agents: readonly Agent[];
  readonly authenticate?: HoldfastOptions['authenticate'] | undefined;
  readonly budgets?: HoldfastOptions['budgets'] | undefined;
  readonly store: string;
  /** Of a Postgres store. */
  readonly connections?: number | undefined;
  readonly host: string;
  readonly port: number;
  readonly worker: boolean;
  readonly hooks?: (opened: () => Holdfast) => Hooks;
  /** Called once requests are taken. */
  readonly onListening: (url: string) => Promise<void>;
}

/**
 * Serves HTTP until a signal comes, then lets streams end and running steps finish. Rejects with `HoldfastError`: `port_taken`, `listen_refused`
 * (another host than this machine without authentication), and those of `createHoldfast`.
 */
export async function serveUntilStopped({ agents, authenticate, budgets, store, connections, host, port, worker, hooks, onListening }: ServeOptions): Promise<void> {
  await requireServer(store);
  const stop = stopRequest();
  let opened: Holdfast | null = null;
  const whenOpened = (): Holdfast => {
    if (opened === null) throw new HoldfastError('not_open', 'the store is not open yet');
    return opened;
  };
  const holdfast = await createHoldfast({
    agents, store: storeWith(store, { connections }), worker, log: logToStderr, ...(authenticate === undefined ? {} : { authenticate }), ...(budgets === undefined ? {} : { budgets }), ...(hooks === undefined ? {} : { hooks: hooks(whenOpened) }),
  });
  opened = holdfast;
  try {
    const server = await listenOrSay(holdfast, host, port, authenticate !== undefined);
    await onListening(server.url);
    await aborted(stop.signal);
    saySoFar(holdfast);
    // Streams end when the feed does, and only then is the server without connections.
    const closed = server.close();
    await holdfast.close();
    await closed;
  } finally {
    await holdfast.close();
    stop.release();
    endThoughBusy();
  }
}

/** Works on sessions without listening, until a signal comes. */
export async function workUntilStopped({ agents, budgets, store, connections, onReady }: Pick<ServeOptions, 'agents' | 'budgets' | 'store' | 'connections'> & { readonly onReady: () => Promise<void> }): Promise<void> {
  await requireServer(store);
  const stop = stopRequest();
  const holdfast = await createHoldfast({ agents, store: storeWith(store, { connections }), log: logToStderr, ...(budgets === undefined ? {} : { budgets }) });
  try {
    await onReady();
    await aborted(stop.signal);
    saySoFar(holdfast);
  } finally {
    await holdfast.close();
    stop.release();
    endThoughBusy();
  }
}

/** All is given back; a tool that does not heed its signal would keep the process alive for as long as it likes. Where nothing does, the process ends before this. */
function endThoughBusy(): void {
  setTimeout(() => process.exit(), leftBehindMs).unref();
}

async function listenOrSay(holdfast: Holdfast, host: string, port: number, authenticated: boolean): ReturnType<typeof listen> {
  try {
    return await listen({ fetch: holdfast.fetch, host, port, authenticated });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    throw new HoldfastError('port_taken', `port ${port} of ${host} is taken, perhaps by another Holdfast: stop that one, or choose another port with --port`, { cause: error });
  }
}

/** Why stopping may take a moment. */
function saySoFar({ worker }: Holdfast): void {
  const { runs = 0, operationRuns = 0 } = worker ?? {};
  const counted = ([count, what]: readonly [number, string]): readonly string[] => (count === 0 ? [] : [`${count} running ${what}${count === 1 ? '' : 's'}`]);
  const work = ([[runs, 'turn'], [operationRuns, 'operation']] as const).flatMap(counted).join(' and ');
  if (work !== '') note(`stopping; ${work} ${runs + operationRuns === 1 ? 'is' : 'are'} brought to a safe point first, a second signal ends this at once`);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** What goes wrong besides the work itself. */
export const logToStderr: Log = (level, event, fields) => {
  if (level !== 'info') note(`${level}: ${event} ${JSON.stringify(fields)}`);
};
