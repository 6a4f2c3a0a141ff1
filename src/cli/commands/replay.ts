import process from 'node:process';
import { Command } from 'commander';
import { wholeNumber } from '../command-options.ts';
import { isPostgresUrl } from '../../store-url.ts';
import { requireServer } from '../open-store.ts';
import { progressBar, type Progress } from '../progress-bar.ts';
import type { Difference } from '../replay/evidence.ts';
import { runReplay, type ReplayOptions, type ReplayReport } from '../replay/run-replay.ts';
import { stopRequest } from '../stop-request.ts';
import { note, print, printJson, printable } from '../terminal.ts';

interface ReplayArguments {
  readonly generate?: number;
  readonly seed?: number;
  readonly write?: string;
  readonly limit?: number;
  readonly store?: string;
  readonly journal?: string;
  readonly concurrency: number;
  readonly killEvery?: number;
  readonly pauseEvery?: number;
  readonly terminateEvery?: number;
  readonly workers?: number;
  readonly json?: true;
}

const workersWithFaults = 3;
const seedMax = 2 ** 32 - 1;
const differencesShown = 10;
const textCharsShown = 300;

/**
 * `holdfast replay`: recorded conversations through the real engine, compared with what the store holds afterwards. Exit code 0: all is as recorded, and in a kill run
 * enough was killed; 1: something is not, or it could not be run; 2: wrong usage; that of a signal which ended it, with nothing left running.
 */
export function replayCommand(): Command {
  return new Command('replay')
    .description('run recorded conversations through the engine, killing workers if asked to, and compare')
    .argument('[file]', 'conversations in OpenAI chat format, {id, messages} a line')
    .option('--generate <count>', 'generate so many hard conversations instead of reading a file', wholeNumber(1, 1_000_000))
    .option('--seed <number>', 'of what is generated, of tool times, of when actions are answered and of who is killed (default: a new one, printed)', wholeNumber(0, seedMax))
    .option('--write <file>', 'save what is generated')
    .option('--limit <count>', 'only the first conversations', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--store <url>', 'sqlite:PATH or postgres://… (default: a temporary file); each run makes sessions of its own there')
    .option('--journal <folder>', 'keep the files that record each real execution there')
    .option('--concurrency <count>', 'conversations side by side', wholeNumber(1, 10_000), 8)
    .option('--kill-every <ms>', 'do the work in child processes and kill a random one with SIGKILL at this rate', wholeNumber(1, 3_600_000))
    .option('--pause-every <ms>', 'stop a random one with SIGSTOP at this rate, each for one and a half leases', wholeNumber(1, 3_600_000))
    .option('--terminate-every <ms>', 'end a random connection to the Postgres database at this rate, of whatever program', wholeNumber(1, 3_600_000))
    .option('--workers <count>', `child processes that do the work (default: ${workersWithFaults} where something goes wrong on purpose, else none)`, wholeNumber(0, 100))
    .option('--json', 'print a JSON summary as the last line; all else goes to stderr')
    .addHelpText('after', `
Generated conversations also wait for approvals, client tools and answers, which this process gives, some
twice and some otherwise a second time; they run operations, and messages are steered into their turns.

A kill run needs 30 kills, of them 10 in a generation and 10 in a tool. Generations take at least 30 ms
there and tools 5 to 50 ms; a run too short for its kills is stretched by longer tools and generations and
by pauses before the messages, as it prints. A kill waits until the one before is replaced.`)
    .action(async (file: string | undefined, given: ReplayArguments, command: Command) => {
      await replay(optionsOf(file, given, command), given.json === true);
    });
}

function optionsOf(file: string | undefined, given: ReplayArguments, command: Command): ReplayOptions {
  const refuse = (text: string): never => command.error(`error: ${text}`, { exitCode: 2 });
  if ((file === undefined) === (given.generate === undefined)) refuse('replay takes a file or --generate COUNT, one of them');
  if (given.write !== undefined && given.generate === undefined) refuse('--write saves what --generate makes');
  const faults = { killEveryMs: given.killEvery ?? null, pauseEveryMs: given.pauseEvery ?? null, terminateEveryMs: given.terminateEvery ?? null };
  const goesWrong = Object.values(faults).some((everyMs) => everyMs !== null);
  const workers = given.workers ?? (goesWrong ? workersWithFaults : 0);
  if (goesWrong && workers < workersWithFaults) refuse(`a run in which processes are killed or paused, or connections ended, has at least ${workersWithFaults} workers`);
  if (given.terminateEvery !== undefined && !isPostgresUrl(given.store ?? '')) refuse('--terminate-every ends connections to Postgres: say --store postgres://…');
  if (workers > 0 && given.store?.includes(':memory:') === true) refuse('processes cannot share a store in memory');
  return {
    source: file === undefined ? { generate: given.generate ?? 0, writeTo: given.write ?? null } : { file },
    limit: given.limit ?? null,
    seed: given.seed ?? Math.floor(Math.random() * (seedMax + 1)),
    store: given.store ?? null,
    journalFolder: given.journal ?? null,
    concurrency: given.concurrency,
    ...faults,
    workers,
  };
}

async function replay(options: ReplayOptions, json: boolean): Promise<void> {
  if (options.store !== null) await requireServer(options.store);
  const stop = stopRequest();
  const say = async (text: string): Promise<void> => (json ? note(text) : print(`${text}\n`));
  let progress: Progress | null = null;
  try {
    const report = await runReplay({
      ...options,
      signal: stop.signal,
      onNote: (text) => void say(text),
      onProgress: (ofTurns) => {
        progress ??= progressBar('turns', ofTurns, { shown: !json });
        progress.advance();
      },
    }).finally(() => progress?.stop());
    await say(describeReport(report));
    if (json) await printJson(report.summary);
    if (!report.passed) process.exitCode = 1;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.exitCode = stop.exitCode;
  } finally {
    stop.release();
  }
}

/** The report for a person: what was done, what was found, the first differences in detail. */
export function describeReport({ summary, differences, shortfalls, notes, passed }: ReplayReport): string {
  const { conversations, turns, toolCalls, mismatches, lost, duplicated, unknown, kills, killsInModel, killsInTool, seconds, turnsPerSecond, actions, operations, steered, late, attempts, attemptsLost, pauses, terminations } = summary;
  return [
    `${conversations} conversations, ${turns} turns, ${toolCalls} tool calls in ${seconds.toFixed(1)} s: ${turnsPerSecond} turns/s`,
    ...(actions + operations + steered > 0 ? [`${actions} answers from outside, ${operations} operations, ${steered} steered messages`] : []),
    `${attempts} generations recorded${attemptsLost > 0 ? `, ${attemptsLost} of them lost with their process` : ''}`,
    ...(late > 0 ? [`${late} results came after their calls had been given up`] : []),
    ...(kills > 0 || shortfalls.length > 0 ? [`${kills} kills, ${killsInModel} in a generation, ${killsInTool} in a tool; ${unknown} calls ended unknown by them`] : []),
    ...(pauses + terminations > 0 ? [`${pauses} processes paused, ${terminations} connections ended`] : []),
    `${mismatches} mismatches, ${lost} lost, ${duplicated} duplicated`,
    ...firstOf(differences.map(describeDifference), 'differences'),
    ...shortfalls,
    ...firstOf(notes.map((text) => `worker: ${text}`), 'notes of workers'),
    passed ? 'passed' : 'failed',
  ].join('\n');
}

function firstOf(texts: readonly string[], what: string): readonly string[] {
  const more = texts.length - differencesShown;
  return [...texts.slice(0, differencesShown), ...(more > 0 ? [`… and ${more} more ${what}`] : [])];
}

function describeDifference({ count, conversation, where, problem, recorded, found }: Difference): string {
  const value = (name: string, text: string | undefined): string => (text === undefined ? '' : `\n  ${name.padEnd(8)} ${shortened(printable(text))}`);
  return `${count}: ${[conversation, where].filter((part) => part !== '').map(printable).join(', ')}: ${problem}${value('recorded', recorded)}${value('found', found)}`;
}

function shortened(text: string): string {
  return text.length <= textCharsShown ? text : `${text.slice(0, textCharsShown)}… (${text.length} characters)`;
}
