import { readFileSync } from 'node:fs';
import process from 'node:process';
import { Command, CommanderError } from 'commander';
import { HoldfastError, InvariantError } from '../core/errors.ts';
import { exitCode } from './exit-code.ts';
import { endQuietlyWhenNobodyReads } from './stop-request.ts';
import { note, printable } from './terminal.ts';

/** Each command is loaded when it is asked for: starting is most of what a short command does. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  dev: async () => (await import('./commands/dev.ts')).devCommand(),
  serve: async () => (await import('./commands/serve.ts')).serveCommand(),
  worker: async () => (await import('./commands/worker.ts')).workerCommand(),
  sessions: async () => (await import('./commands/sessions.ts')).sessionsCommand(),
  send: async () => (await import('./commands/send.ts')).sendCommand(),
  actions: async () => (await import('./commands/actions.ts')).actionsCommand(),
  approve: async () => (await import('./commands/answer.ts')).approveCommand(),
  deny: async () => (await import('./commands/answer.ts')).denyCommand(),
  answer: async () => (await import('./commands/answer.ts')).answerCommand(),
  stop: async () => (await import('./commands/stop.ts')).stopCommand(),
  queue: async () => (await import('./commands/queue.ts')).queueCommand(),
  rewind: async () => (await import('./commands/history.ts')).rewindCommand(),
  redo: async () => (await import('./commands/history.ts')).redoCommand(),
  edit: async () => (await import('./commands/edit.ts')).editCommand(),
  retry: async () => (await import('./commands/edit.ts')).retryCommand(),
  compact: async () => (await import('./commands/compact.ts')).compactCommand(),
  fork: async () => (await import('./commands/history.ts')).forkCommand(),
  branches: async () => (await import('./commands/history.ts')).branchesCommand(),
  restore: async () => (await import('./commands/history.ts')).restoreCommand(),
  effects: async () => (await import('./commands/history.ts')).effectsCommand(),
  state: async () => (await import('./commands/state.ts')).stateCommand(),
  operations: async () => (await import('./commands/operations.ts')).operationsCommand(),
  operation: async () => (await import('./commands/operations.ts')).operationCommand(),
  node: async () => (await import('./commands/node.ts')).nodeCommand(),
  usage: async () => (await import('./commands/usage.ts')).usageCommand(),
  follow: async () => (await import('./commands/follow.ts')).followCommand(),
  show: async () => (await import('./commands/show.ts')).showCommand(),
  export: async () => (await import('./commands/export.ts')).exportCommand(),
  import: async () => (await import('./commands/import.ts')).importCommandOfCli(),
  'simulate-user': async () => (await import('./commands/simulate-user.ts')).simulateUserCommand(),
  simulate: async () => (await import('./commands/simulate.ts')).simulateCommand(),
  replay: async () => (await import('./commands/replay.ts')).replayCommand(),
  bench: async () => (await import('./commands/bench.ts')).benchCommand(),
  migrate: async () => (await import('./commands/migrate.ts')).migrateCommand(),
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
};

/**
 * Runs the command line. Sets the process's exit code: 0 done, 1 failed or refused, 2 wrong usage, 3 the turn that was shown needs an action; the code of a signal that cut it
 * short.
 */
export async function runProgram(argv: readonly string[]): Promise<void> {
  endQuietlyWhenNobodyReads();
  try {
    const program = new Command('holdfast').description('Durable conversations for AI agents').version(version()).exitOverride().enablePositionalOptions().showHelpAfterError('(--help lists what there is)');
    const [asked = ''] = argv.slice(2);
    const names = Object.hasOwn(commands, asked) ? [asked] : Object.keys(commands);
    for (const name of names) {
      const command = await commands[name]?.();
      if (command !== undefined) program.addCommand(command.copyInheritedSettings(program));
    }
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
  }
}

function version(): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
}

/** Says what went wrong, where commander has not done so, and returns what to exit with. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCode.usage;
  if (error instanceof HoldfastError && !(error instanceof InvariantError)) {
    note(`error: ${printable(error.message)} (${error.code})`);
    return exitCode.failed;
  }
  // What nobody expected is a bug, and its place helps to find it.
  note(`error: ${error instanceof Error ? printable(error.stack ?? error.message) : String(error)}`);
  return exitCode.failed;
}
