import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { Command } from 'commander';
import { HoldfastError } from '../../core/errors.ts';
import { isPostgresUrl } from '../../store-url.ts';
import { wholeNumber } from '../command-options.ts';
import { requireServer } from '../open-store.ts';
import { runProcesses, type FaultTotals, type ProcessesOptions, type ProcessesReport } from '../processes/run-processes.ts';
import { stopRequest } from '../stop-request.ts';
import { note, print, printable, printJson } from '../terminal.ts';

interface SimulateProcessesArguments extends FaultTotals {
  readonly store?: string;
  readonly workers: number;
  readonly clients: number;
  readonly seed?: number;
  readonly killEvery?: number;
  readonly restartCommand?: string;
  readonly journal?: string;
  readonly json?: true;
}

const seedMax = 2 ** 32 - 1;
const linesShown = 20;
const textCharsShown = 600;

/**
 * `holdfast simulate processes`: real processes on one store, killed, stopped and cut off while clients send them commands. Exit code 0: all that went wrong on purpose did, all is at rest, and what the clients were told explains what is in the store;
 * 1: it does not, or it could not be run; 2: wrong usage; that of a signal which ended it, with nothing left running.
 */
export function simulateProcessesCommand(): Command {
  return new Command('processes')
    .description('kill, stop and cut off real processes while clients send them commands, and check what is left')
    .option('--store <url>', 'sqlite:PATH or postgres://… (default: a temporary file); each run makes sessions of its own there')
    .option('--workers <count>', 'processes that work; all but one of them answer requests too, and one more does only that', wholeNumber(2, 100), 3)
    .option('--clients <count>', 'clients side by side', wholeNumber(1, 1_000), 8)
    .option('--seed <number>', 'of what clients do, how long tools take and who is killed (default: a new one, printed)', wholeNumber(0, seedMax))
    .option('--kills <count>', 'kill so many processes with SIGKILL, one after another', wholeNumber(0, 1_000_000), 20)
    .option('--kill-every <ms>', 'time between two kills', wholeNumber(1, 3_600_000))
    .option('--pauses <count>', 'stop so many with SIGSTOP, each for one and a half leases', wholeNumber(0, 1_000_000), 0)
    .option('--terminations <count>', 'end so many connections to Postgres, of whatever program', wholeNumber(0, 1_000_000), 0)
    .option('--restarts <count>', 'restart Postgres so many times by --restart-command', wholeNumber(0, 1_000_000), 0)
    .option('--restart-command <command>', 'ends Postgres at once and starts it again: pg_ctl restart -m immediate -D …')
    .option('--journal <folder>', 'keep what the clients saw and what really ran there')
    .option('--json', 'print a JSON summary as the last line; all else goes to stderr')
    .action(async (given: SimulateProcessesArguments, command: Command) => {
      await simulateProcesses(optionsOf(given, command), given.json === true);
    });
}

function optionsOf(given: SimulateProcessesArguments, command: Command): ProcessesOptions {
  const refuse = (text: string): never => command.error(`error: ${text}`, { exitCode: 2 });
  const { store = null, workers, clients, kills, pauses, terminations, restarts, killEvery, restartCommand, journal } = given;
  if ((terminations > 0 || restarts > 0) && !isPostgresUrl(store ?? '')) refuse('--terminations and --restarts are of Postgres: say --store postgres://…');
  if (restarts > 0 && restartCommand === undefined) refuse('--restarts needs --restart-command');
  if (store?.includes(':memory:') === true) refuse('processes cannot share a store in memory');
  return {
    store, workers, clients, seed: given.seed ?? Math.floor(Math.random() * (seedMax + 1)), wanted: { kills, pauses, terminations, restarts }, keepIn: journal ?? null,
    ...(killEvery === undefined ? {} : { killEveryMs: killEvery }), ...(restartCommand === undefined ? {} : { restart: () => runShell(restartCommand) }),
  };
}

async function simulateProcesses(options: ProcessesOptions, json: boolean): Promise<void> {
  if (options.store !== null) await requireServer(options.store);
  const stop = stopRequest();
  const say = async (text: string): Promise<void> => (json ? note(text) : print(`${text}\n`));
  try {
    await say(`seed ${options.seed}: ${options.workers} workers, all but one of which answer requests, one more process that only answers, ${options.clients} clients`);
    const report = await runProcesses({ ...options, signal: stop.signal });
    await say(describeProcesses(report));
    if (json) await printJson(report.summary);
    if (!report.passed) process.exitCode = 1;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.exitCode = stop.exitCode;
  } finally {
    stop.release();
  }
}

/** Rejects with `HoldfastError` code `restart_failed` where the command fails. */
async function runShell(commandLine: string): Promise<void> {
  const child = spawn(commandLine, { shell: true, stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new HoldfastError('restart_failed', `the command that restarts Postgres ended with ${String(code)}: ${commandLine}`);
}

/** The report for a person: what was done, what was found, the first findings in detail. */
export function describeProcesses({ summary, findings, problems, notes, passed }: ProcessesReport): string {
  const { kills, pauses, terminations, restarts, operations, acknowledged, lost, duplicated, unordered, unknown, sessions, atRest, integrityChecks, seconds } = summary;
  return [
    `${kills} kills, ${pauses} pauses, ${terminations} connections ended, ${restarts} restarts of the database in ${seconds.toFixed(1)} s`,
    `${operations} requests, ${acknowledged} commands acknowledged; ${unknown} calls ended unknown`,
    ...(integrityChecks > 0 ? [`the file was checked after ${integrityChecks} kills`] : []),
    `${lost} lost, ${duplicated} duplicated, ${unordered} unordered; ${atRest} of ${sessions} sessions at rest`,
    ...firstOf(findings.map(({ count, where, problem, found }) => `${count}: ${where === '' ? '' : `${where}: `}${problem}${found === undefined ? '' : `\n  ${found}`}`)),
    ...firstOf(problems),
    ...(passed ? [] : firstOf(notes.map((text) => `process: ${text}`))),
    passed ? 'passed' : 'failed',
  ].join('\n');
}

function firstOf(texts: readonly string[]): readonly string[] {
  const more = texts.length - linesShown;
  return [...texts.slice(0, linesShown).map((text) => printable(text.length <= textCharsShown ? text : `${text.slice(0, textCharsShown)}…`)), ...(more > 0 ? [`… and ${more} more`] : [])];
}
