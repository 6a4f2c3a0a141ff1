import type { Command } from 'commander';
import { createHoldfast, type Holdfast } from '../create-holdfast.ts';
import type { Store } from '../store/store.ts';
import { openStoreUrl } from '../store-url.ts';
import { realSystem } from '../system.ts';
import { hasLabels, labelKinds } from '../worker/hooks.ts';
import { loadAgents } from './load-agents.ts';
import { requireServer, requireStore } from './open-store.ts';
import { logToStderr } from './serve-until-stopped.ts';

/** What commands take that show a turn, and do its work if nobody else does. */
export interface TurnOptions {
  readonly agents?: string;
  readonly wait: boolean;
  readonly worker?: true;
}

/** A person who waits for the prompt waits no longer than this for what else the process has taken on. */
const stopGraceMs = 2_000;

/** Adds `--agents`, `--no-wait` and `--worker`. */
export function withTurnOptions(command: Command): Command {
  return command
    .option('--agents <file>', 'module that exports an agent or a list of agents (default: the demo agents)')
    .option('--no-wait', 'do not wait for what comes of it, and leave the work to another process')
    .option('--worker', 'do the work here even if another process works on this store');
}

/** Opens a store to go on with a turn; one that is not there yet only for a new session. Whoever works on the store already is the one to do it: it has its own models and settings. */
export async function openForTurn(store: string, { agents: module, wait, worker }: TurnOptions, { isNew = false }: { readonly isNew?: boolean } = {}): Promise<Holdfast> {
  await (isNew ? requireServer(store) : requireStore(store));
  const { agents, budgets } = await loadAgents(module);
  const opened = await openStoreUrl(store, { system: realSystem(), outboxKinds: hasLabels(agents) ? labelKinds : [] });
  try {
    await opened.migrate();
    const works = wait && (worker === true || !(await isWorkedOn(opened)));
    // It is the Holdfast's to close from here on.
    return await createHoldfast({ agents, store: { open: () => Promise.resolve(opened) }, worker: works && { stopGraceMs }, log: logToStderr, ...(budgets === undefined ? {} : { budgets }) });
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Whether another process works on this store now. */
async function isWorkedOn(store: Store): Promise<boolean> {
  return (await store.listWorkers()).some(({ isDead }) => !isDead);
}
