import path from 'node:path';
import process from 'node:process';
import { Command } from 'commander';
import type { Met } from '../../testing/simulation/met.ts';
import { describeFailure, type SimulationReport } from '../../testing/simulation/simulate.ts';
import { wholeNumber } from '../command-options.ts';
import { progressBar } from '../progress-bar.ts';
import { runSimulation } from '../simulation/run-simulation.ts';
import { stopRequest } from '../stop-request.ts';
import { note, print, printJson } from '../terminal.ts';

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
    .description('run agents in simulated processes that die, stand still and lose what they send, and hold all that happens against the guarantees')
    .option('--seeds <count>', 'how many runs, each of another seed', wholeNumber(1, 1_000_000_000), 1_000)
    .option('--first <seed>', 'the first seed; the others follow', wholeNumber(0, seedMax), 1)
    .option('--seed <seed>', 'this one seed', wholeNumber(0, seedMax))
    .option('--only <parts>', 'with --seed: only these parts of its plan, as a failure names them, between commas')
    .option('--trace', 'print everything that happens')
    .option('--agents <file>', 'module that exports agents, or a function that makes them for one simulated process (default: agents that have everything)')
    .option('--previous <folder>', 'sources of the version before (a folder with `src`), which some of the processes run, as in the middle of a deployment')
    .option('--threads <count>', 'how many seeds run side by side', wholeNumber(1, 256), 2)
    .option('--failures <count>', 'stop after so many failing seeds on one thread', wholeNumber(1, 1_000_000), 1)
    .option('--json', 'print a JSON summary as the last line; all else goes to stderr')
    .action(simulate);
}

async function simulate(given: SimulateArguments, command: Command): Promise<void> {
  const { seed, only, json = false, trace = false, agents, failures } = given;
  if (only !== undefined && seed === undefined) command.error('error: --only leaves out parts of one seed: say --seed', { exitCode: 2 });
  const [firstSeed, seeds] = seed === undefined ? [given.first, given.seeds] : [seed, 1];
  const stop = stopRequest();
  const bar = progressBar('seeds', seeds, { shown: !json && !trace });
  try {
    const report = await runSimulation({
      firstSeed, seeds, threads: Math.min(given.threads, seeds), only: only?.split(',') ?? null, agentsFile: agents ?? null, previousFolder: given.previous === undefined ? null : path.resolve(given.previous), failuresMax: failures, shrinks: !trace, traces: trace,
      signal: stop.signal, onSeed: () => bar.advance(), onTrace: (line) => (json ? note(line) : void print(`${line}\n`)),
    }).finally(() => bar.stop());
    const text = describeReport(report);
    if (json) note(text);
    else await print(`${text}\n`);
    if (json) await printJson({ seeds: report.seeds, failed: report.failed, operations: report.operations, crashes: report.crashes, seedsPerMinute: report.seedsPerMinute });
    if (report.failed > 0) process.exitCode = 1;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.exitCode = stop.exitCode;
  } finally {
    stop.release();
  }
}

function describeReport({ seeds, failed, operations, crashes, seedsPerMinute, met, failures }: SimulationReport): string {
  return [
    ...describeMet(met),
    `${seeds} seeds, ${failed} failed; ${operations} calls of the store, ${crashes} deaths; ${seedsPerMinute} seeds a minute`,
    ...failures.map(describeFailure),
  ].join('\n');
}

/** What was really met, so that a fault that never happens is seen. */
function describeMet({ faults, weathers, commands, previousVersions }: Met): readonly string[] {
  const counted = (counts: Readonly<Record<string, number>>): string => Object.entries(counts).sort(([left], [right]) => (left < right ? -1 : 1)).map(([name, count]) => `${name} ${count}`).join(', ');
  return [
    `faults: ${counted(faults as Record<string, number>)}`,
    ...(previousVersions > 0 ? [`processes of the previous version: ${previousVersions}`] : []),
    `weather: ${counted(weathers as Record<string, number>)}`,
    `commands (done/sent): ${Object.entries(commands).sort(([left], [right]) => (left < right ? -1 : 1)).map(([name, { done, sent }]) => `${name} ${done}/${sent}`).join(', ')}`,
  ];
}
