import type { Command } from 'commander';
import { storeCommand, withConnectionOptions, withListenOptions, type CommonOptions, type ConnectionOptions, type ListenOptions } from '../command-options.ts';
import { loadAgents } from '../load-agents.ts';
import { serveUntilStopped } from '../serve-until-stopped.ts';
import { withoutPassword } from '../../store-url.ts';
import { printJson, printLine } from '../terminal.ts';

interface ServeCommandOptions extends CommonOptions, ListenOptions, ConnectionOptions {
  readonly agents?: string;
  readonly worker: boolean;
}

/** `holdfast serve`: your own agents over HTTP. */
export function serveCommand(): Command {
  return withConnectionOptions(withListenOptions(storeCommand('serve', 'serve agents over HTTP')))
    .option('--agents <file>', 'module that exports an agent or a list of agents (default: the demo agents)')
    .option('--no-worker', 'take requests only, and leave the work to other processes')
    .action(async ({ agents, store, host, port, worker, connections, json }: ServeCommandOptions) => {
      const loaded = await loadAgents(agents);
      await serveUntilStopped({
        ...loaded, store, connections, host, port, worker,
        onListening: (url) => (json === true ? printJson({ url, store: withoutPassword(store), agents: loaded.agents.map(({ name }) => name) }) : printLine(`listening on ${url}`)),
      });
    });
}
