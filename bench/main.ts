/** `npm run bench`: the benchmark that `holdfast bench` is, what takes several processes on Postgres besides, and as subcommands further measurements, which stand beside this file. */
import { benchCommand } from '../src/cli/commands/bench.ts';
import { PostgresServer } from '../test/support/postgres-server.ts';
import { commitFormsCommand } from './commit-forms.ts';
import { historyCommand } from './history.ts';
import { describeProcesses, measureProcesses } from './postgres-processes.ts';
import { waitingSessionsCommand } from './waiting-sessions.ts';

let server: PostgresServer | undefined;
try {
  const command = benchCommand({
    // The word alone: a server of the run's own, from npm.
    urlOf: async (store) => {
      if (store !== 'postgres') return store;
      server = new PostgresServer();
      await server.start();
      return server.url;
    },
    measure: async (url) => {
      const figures = await measureProcesses(url);
      return { figures, text: describeProcesses(figures) };
    },
  });
  await command.enablePositionalOptions().addCommand(waitingSessionsCommand()).addCommand(commitFormsCommand()).addCommand(historyCommand()).parseAsync(process.argv);
} finally {
  await server?.stop({ remove: true });
}
