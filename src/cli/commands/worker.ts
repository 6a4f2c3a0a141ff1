import type { Command } from 'commander';
import { storeCommand, withConnectionOptions, type CommonOptions, type ConnectionOptions } from '../command-options.ts';
import { loadAgents } from '../load-agents.ts';
import { workUntilStopped } from '../serve-until-stopped.ts';
import { withoutPassword } from '../../store-url.ts';
import { printJson, printLine } from '../terminal.ts';

/** `holdfast worker`: does the work of a store without listening. */
export function workerCommand(): Command {
  return withConnectionOptions(storeCommand('worker', 'work on sessions without listening'))
    .option('--agents <file>', 'module that exports an agent or a list of agents (default: the demo agents)')
    .action(async ({ agents, store, connections, json }: CommonOptions & ConnectionOptions & { readonly agents?: string }) => {
      const loaded = await loadAgents(agents);
      const names = loaded.agents.map(({ name }) => name);
      await workUntilStopped({
        agents: loaded.agents, budgets: loaded.budgets, store, connections,
        onReady: () => (json === true ? printJson({ store: withoutPassword(store), agents: names }) : printLine(`working on the sessions of ${names.join(', ')}`)),
      });
    });
}
