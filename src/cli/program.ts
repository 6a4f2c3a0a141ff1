import { readFileSync } from 'node:fs';
import process from 'node:process';
import { Command, CommanderError } from 'commander';
import { HoldfastError, InvariantError } from '../core/errors.ts';
import { devCommand } from './commands/dev.ts';
import { doctorCommand } from './commands/doctor.ts';
import { exportCommand } from './commands/export.ts';
import { followCommand } from './commands/follow.ts';
import { importCommandOfCli } from './commands/import.ts';
import { migrateCommand } from './commands/migrate.ts';
import { sendCommand } from './commands/send.ts';
import { serveCommand } from './commands/serve.ts';
import { sessionsCommand } from './commands/sessions.ts';
import { showCommand } from './commands/show.ts';
import { workerCommand } from './commands/worker.ts';
import { endQuietlyWhenNobodyReads } from './stop-request.ts';
import { note, printable } from './terminal.ts';

/** Runs the command line. Sets the process's exit code: 0 done, 1 failed or refused, 2 wrong usage; the code of a signal that cut it short. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  endQuietlyWhenNobodyReads();
  try {
    await holdfastProgram().parseAsync(argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
  }
}

function holdfastProgram(): Command {
  const program = new Command('holdfast').description('Durable conversations for AI agents').version(version()).exitOverride().showHelpAfterError('(--help lists what there is)');
  const commands = [
    devCommand(), serveCommand(), workerCommand(), sessionsCommand(), sendCommand(), followCommand(), showCommand(), exportCommand(),
    importCommandOfCli(), migrateCommand(), doctorCommand(),
  ];
  for (const command of commands) program.addCommand(command.copyInheritedSettings(program));
  return program;
}

function version(): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
}

/** Says what went wrong, where commander has not done so, and returns what to exit with. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof HoldfastError && !(error instanceof InvariantError)) {
    note(`error: ${printable(error.message)} (${error.code})`);
    return 1;
  }
  // What nobody expected is a bug, and its place helps to find it.
  note(`error: ${error instanceof Error ? printable(error.stack ?? error.message) : String(error)}`);
  return 1;
}
