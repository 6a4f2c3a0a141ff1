import type { Met } from './met.ts';
import type { SimulationFailure, SimulationReport } from './simulate.ts';

/** Says how a person sees a failure again, in a line. */
export type SayAgain = (failure: SimulationFailure) => string;

const violationsShown = 3;
/** Of what happened, the last so many lines: what is wrong is at the end. */
const linesShown = 25;
const lineCharsShown = 140;

/** A report for a person: what was met, how many seeds failed; of each that did, what is wrong, what it takes, what happened and how to see it again. */
export function describeReport(report: SimulationReport, again: SayAgain = againInTest): string {
  const { seeds, failed, operations, crashes, seedsPerMinute, met, failures } = report;
  return [
    ...describeMet(met),
    `${seeds} seeds, ${failed} failed; ${operations} calls of the store, ${crashes} deaths of processes; ${seedsPerMinute} seeds a minute`,
    ...failures.map((failure) => `\n${describeFailure(failure, again)}`),
  ].join('\n');
}

/** One failing seed for a person. */
export function describeFailure(failure: SimulationFailure, again: SayAgain = againInTest): string {
  const { seed, only, violations, parts, repeats } = failure;
  const story = linesToShow(failure);
  const takes = parts.length === 0 ? 'none of its faults and commands' : parts.join(', ');
  return [
    `seed ${seed} failed:`,
    ...violations.slice(0, violationsShown).map(({ guarantee, what, atMs }) => `  ${guarantee}: ${what} (at ${atMs} ms)`),
    ...(only === null ? [] : [`  it takes ${takes}`]),
    ...(story.length === 0 ? [] : ['  what happened, in milliseconds of the simulation:', ...(story.length > linesShown ? ['    …'] : []), ...story.slice(-linesShown).map((line) => `    ${shortened(line)}`)]),
    ...(repeats ? [] : ['  run again, it did not fail the same way: something in the agents is not decided by the seed (a timer of Node, the real time, Math.random, I/O, memory that outlives a run)']),
    `  again: ${again(failure)}`,
  ].join('\n');
}

/** What followers hear is much, and only says something where that is what is wrong. */
function linesToShow({ story, violations }: SimulationFailure): readonly string[] {
  return violations.some(({ guarantee }) => guarantee === 'G5') ? story : story.filter((line) => !/^ *\d+ w\d+ hears /.test(line));
}

/** For whoever called {@link simulate}. */
function againInTest({ seed, only }: SimulationFailure): string {
  return `simulate({ …, firstSeed: ${seed}, seeds: 1${only === null ? '' : `, only: [${only.map((part) => `'${part}'`).join(', ')}]`}, onTrace: console.log })`;
}

function shortened(line: string): string {
  return line.length > lineCharsShown ? `${line.slice(0, lineCharsShown)}…` : line;
}

/** What was really met, so that a fault that never happens is seen, and a command that is always refused. */
function describeMet({ faults, weathers, commands, tools, previousVersions }: Met): readonly string[] {
  return [
    ...listed('faults', faults, String),
    ...(previousVersions === 0 ? [] : [`processes of the previous version: ${previousVersions}`]),
    ...listed('weather', weathers, String),
    ...listed('commands, done of sent', commands, ({ done, sent }) => `${done}/${sent}`),
    ...listed('tools', tools, String),
    ...(previousVersions > 0 ? [`processes of the previous version: ${previousVersions}`] : []),
  ];
}

/** In lines that a terminal holds. */
function listed<Value>(what: string, values: Readonly<Record<string, Value>>, say: (value: Value) => string): readonly string[] {
  const lines = [`${what}:`];
  for (const [name, value] of Object.entries(values).sort(([left], [right]) => (left < right ? -1 : 1))) {
    const each = ` ${name} ${say(value)},`;
    if ((lines.at(-1) ?? '').length + each.length > lineCharsShown) lines.push(' ');
    lines.push((lines.pop() ?? '') + each);
  }
  return [...lines.slice(0, -1), (lines.at(-1) ?? '').replace(/,$/, '').replace(/:$/, ': none')];
}
