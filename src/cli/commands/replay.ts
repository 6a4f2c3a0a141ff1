import { Command, InvalidArgumentError } from 'commander';
import { SingleBar } from 'cli-progress';
import { HoldfastError } from '../../core/errors.ts';
import type { Difference } from '../replay/evidence.ts';
import { runReplay, type ReplayOptions, type ReplayReport } from '../replay/run-replay.ts';

interface ReplayArguments {
  readonly generate?: number;
  readonly seed?: number;
  readonly write?: string;
  readonly limit?: number;
  readonly store?: string;
  readonly concurrency: number;
  readonly killEvery?: number;
  readonly workers?: number;
  readonly json?: boolean;
}

const workersInKillRun = 3;
const differencesShown = 10;
const textCharsShown = 300;

/**
 * `holdfast replay`: recorded conversations through the real engine, compared with what the store holds afterwards. Exit code 0: all is as recorded, and in a kill
 * run enough was killed; 1: something is not; 2: it could not be run; 130: interrupted, with nothing left running.
 */
export function replayCommand(): Command {
  return new Command('replay')
    .description('run recorded conversations through the engine, killing workers if asked to, and compare')
    .argument('[file]', 'conversations in OpenAI chat format, {id, messages} a line')
    .option('--generate <count>', 'generate so many hard conversations instead of reading a file', wholeNumber(1))
    .option('--seed <number>', 'of what is generated, of tool times and of who is killed (default: a new one, printed)', wholeNumber(0))
    .option('--write <file>', 'save what is generated')
    .option('--limit <count>', 'only the first conversations', wholeNumber(1))
    .option('--store <url>', 'sqlite:PATH (default: a temporary file). Each run makes sessions of its own there')
    .option('--concurrency <count>', 'conversations side by side', wholeNumber(1), 8)
    .option('--kill-every <ms>', 'do the work in child processes and kill a random one with SIGKILL at this rate', wholeNumber(1))
    .option('--workers <count>', `child processes that do the work (default: ${workersInKillRun} in a kill run, else none)`, wholeNumber(0))
    .option('--json', 'print a JSON summary as the last line; all else goes to stderr')
    .addHelpText('after', `
A kill run needs 30 kills, of them 10 in a generation and 10 in a tool. Generations take at least 30 ms there and tools 5 to 50 ms; a run too short for its
kills is stretched by longer tools and generations and by pauses before the messages, as it prints.`)
    .action(async (file: string | undefined, given: ReplayArguments, command: Command) => {
      process.exitCode = await replay(optionsOf(file, given, command), given.json === true);
    });
}

function optionsOf(file: string | undefined, given: ReplayArguments, command: Command): ReplayOptions {
  if ((file === undefined) === (given.generate === undefined)) command.error('error: replay takes a file or --generate COUNT, one of them', { exitCode: 2 });
  if (given.write !== undefined && given.generate === undefined) command.error('error: --write saves what --generate makes', { exitCode: 2 });
  const workers = given.workers ?? (given.killEvery === undefined ? 0 : workersInKillRun);
  if (given.killEvery !== undefined && workers < workersInKillRun) command.error(`error: a kill run has at least ${workersInKillRun} workers`, { exitCode: 2 });
  if (workers > 0 && given.store?.includes(':memory:') === true) command.error('error: processes cannot share a store in memory', { exitCode: 2 });
  return {
    source: file === undefined ? { generate: given.generate ?? 0, writeTo: given.write ?? null } : { file },
    limit: given.limit ?? null,
    seed: given.seed ?? Math.floor(Math.random() * 2 ** 32),
    store: given.store ?? null,
    concurrency: given.concurrency,
    killEveryMs: given.killEvery ?? null,
    workers,
  };
}

async function replay(options: ReplayOptions, json: boolean): Promise<number> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort(new HoldfastError('interrupted', 'interrupted'));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, interrupt);
  const bar = process.stderr.isTTY ? new SingleBar({ format: '{bar} {value}/{total} turns, {duration_formatted}', stream: process.stderr, clearOnComplete: true }) : null;
  let barStarted = false;
  try {
    const report = await runReplay({
      ...options,
      signal: interrupted.signal,
      onNote: (text) => (json ? process.stderr : process.stdout).write(`${text}\n`),
      onProgress: (turns, ofTurns) => {
        if (!barStarted) bar?.start(ofTurns, turns);
        barStarted = true;
        bar?.update(turns);
      },
    });
    bar?.stop();
    (json ? process.stderr : process.stdout).write(describeReport(report));
    if (json) process.stdout.write(`${JSON.stringify(report.summary)}\n`);
    return report.passed ? 0 : 1;
  } catch (error) {
    bar?.stop();
    if (interrupted.signal.aborted) return 130;
    if (!(error instanceof HoldfastError)) throw error;
    process.stderr.write(`error: ${error.message} (${error.code})\n`);
    return 2;
  } finally {
    for (const signal of signals) process.removeListener(signal, interrupt);
  }
}

/** The report for a person: what was done, what was found, the first differences in detail. */
export function describeReport({ summary, differences, shortfalls, notes, passed }: ReplayReport): string {
  const { conversations, turns, toolCalls, mismatches, lost, duplicated, unknown, kills, killsInModel, killsInTool, seconds, turnsPerSecond } = summary;
  const lines = [
    `${conversations} conversations, ${turns} turns, ${toolCalls} tool calls in ${seconds.toFixed(1)} s: ${turnsPerSecond} turns/s`,
    ...(kills > 0 || shortfalls.length > 0 ? [`${kills} kills, ${killsInModel} in a generation, ${killsInTool} in a tool; ${unknown} calls ended unknown by them`] : []),
    `${mismatches} mismatches, ${lost} lost, ${duplicated} duplicated`,
    ...differences.slice(0, differencesShown).flatMap(describeDifference),
    ...(differences.length > differencesShown ? [`… and ${differences.length - differencesShown} more`] : []),
    ...shortfalls,
    ...notes.slice(0, differencesShown).map((note) => `worker: ${note}`),
    ...(notes.length > differencesShown ? [`… and ${notes.length - differencesShown} more notes`] : []),
    passed ? 'passed' : 'failed',
  ];
  return `${lines.join('\n')}\n`;
}

function describeDifference({ count, conversation, where, problem, recorded, found }: Difference): readonly string[] {
  const value = (name: string, text: string | undefined): string[] => (text === undefined ? [] : [`  ${name.padEnd(8)} ${text.length > textCharsShown ? `${text.slice(0, textCharsShown)}… (${text.length} characters)` : text}`]);
  return [`${count}: ${[conversation, where].filter((part) => part !== '').join(', ')}: ${problem}`, ...value('recorded', recorded), ...value('found', found)];
}

function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < min) throw new InvalidArgumentError(`It must be a whole number, at least ${min}.`);
    return value;
  };
}
