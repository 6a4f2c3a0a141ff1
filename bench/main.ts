/** `npm run bench`: the benchmark that `holdfast bench` is, and as subcommands further measurements, which stand beside this file. */
import { benchCommand } from '../src/cli/commands/bench.ts';
import { historyCommand } from './history.ts';
import { waitingSessionsCommand } from './waiting-sessions.ts';

await benchCommand().enablePositionalOptions().addCommand(waitingSessionsCommand()).addCommand(historyCommand()).parseAsync(process.argv);
