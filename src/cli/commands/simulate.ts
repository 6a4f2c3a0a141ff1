import path from 'node:path';
import process from 'node:process';
import { Command } from 'commander';
import { describeReport, type SayAgain } from '../../testing/simulation/describe-report.ts';
import { wholeNumber } from '../command-options.ts';
import { progressBar } from '../progress-bar.ts';
import { runSimulation } from '../simulation/run-simulation.ts';
import { stopRequest } from '../stop-request.ts';
import { simulateFailpointsCommand } from './simulate-failpoints.ts';
import { simulateProcessesCommand } from './simulate-processes.ts';
import { note, print, printable, printJson } from '../terminal.ts';

interface SimulateArguments {
  readonly seeds: number;
  readonly first: number;
  readonly seed?: number;
  readonly only?: string;
  readonly agents?: string;
  readonly previous?: string;
  readonly threads: number;
  readonly failures: number;
  readonly trace?: true;
  readonly json?: true;
}

const seedMax = 2 ** 31;

/**
 * `holdfast simulate`: whole Holdfasts under a clock and a chance of the simulation's own, with everything going wrong that can, held against the guarantees. Exit code 0: no seed failed; 1: one did, or it could not be run; 2: wrong usage; that of a
 * signal which ended it.
 */
export function simulateCommand(): Command {
  return new Command('simulate')
    .enablePositionalOptions() // what follows on the name of a subcommand is that subcommand's
    .description('run agents in simulated processes that die, stand still and lose what they send, and hold all that happens against the guarantees')
    .option('--seeds <count>', 'how many runs, each of another seed', wholeNumber(1, 1_000_000_000), 1_000)
    .option('--first <seed>', 'the first seed; the others follow', wholeNumber(0, seedMax), 1)
    .option('--seed <seed>', 'this one seed', wholeNumber(0, seedMax))
    .option('--only <parts>', 'with --seed: only these parts of its plan, as a failure names them, between commas')
    .option('--trace', 'print everything that happens')
    .option('--agents <file>', 'module that exports agents, or a function that makes them for one simulated process; and commands and checks, if you like (default: agents that have everything)')
    .option('--previous <folder>', 'sources of the version before (a folder with `src`), which some of the processes run, as in the middle of a deployment')
    .option('--threads <count>', 'how many seeds run side by side', wholeNumber(1, 256), 2)
    .option('--failures <count>', 'stop after so many failing seeds on one thread', wholeNumber(1, 1_000_000), 1)
    .option('--json', 'print a JSON summary as the last line; all else goes to stderr')
    .action(simulate)
    .addCommand(simulateFailpointsCommand())
    .addCommand(simulateProcessesCommand());
}

async function simulate(given: SimulateArguments, command: Command): Promise<void> {
  const { seed, only, json = false, trace = false, agents, previous, failures } = given;
  if (only !== undefined && seed === undefined) command.error('error: --only leaves out parts of one seed: say --seed', { exitCode: 2 });
  const [firstSeed, seeds] = seed === undefined ? [given.first, given.seeds] : [seed, 1];
  const threads = Math.min(given.threads, seeds);
  const say = async (text: string): Promise<void> => (json ? note(text) : print(`${text}\n`));
  const stop = stopRequest();
  if (seed === undefined) await say(`seeds ${firstSeed} to ${firstSeed + seeds - 1} on ${threads} ${threads === 1 ? 'thread' : 'threads'}, of ${agents ?? 'agents that have everything'}`);
  const bar = progressBar('seeds', seeds, { shown: !json && !trace });
  try {
    const report = await runSimulation({
      firstSeed, seeds, threads, only: only?.split(',') ?? null, agentsFile: agents ?? null, previousFolder: previous === undefined ? null : path.resolve(previous), failuresMax: failures, shrinks: !trace, traces: trace,
      signal: stop.signal, onSeed: () => bar.advance(), onTrace: (line) => void say(printable(line)),
    }).finally(() => bar.stop());
    await say(printable(describeReport(trace ? { ...report, failures: report.failures.map((failure) => ({ ...failure, story: [] })) } : report, againOf(given))));
    if (json) await printJson({ seeds: report.seeds, failed: report.failed, operations: report.operations, crashes: report.crashes, seedsPerMinute: report.seedsPerMinute });
    if (report.failed > 0) process.exitCode = 1;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.exitCode = stop.exitCode;
  } finally {
    stop.release();
  }
}

/** The command line that shows a failure again, as this one was called. */
function againOf({ agents, previous }: SimulateArguments): SayAgain {
  const called = process.env['npm_lifecycle_event'] === 'simulate' ? 'npm run -s simulate --' : 'npx holdfast simulate';
  const given = `${agents === undefined ? '' : ` --agents ${agents}`}${previous === undefined ? '' : ` --previous ${previous}`}`;
  return ({ seed, only }) => `${called}${given} --seed ${seed}${only === null ? '' : ` --only ${only.join(',')}`} --trace`;
}
