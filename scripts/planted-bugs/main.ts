// Plants each bug of the list into a copy of the source and lets the proof look for it.
//
//   npm run -s planted-bugs -- [names…] [--threads 2] [--seeds 2000] [--json] [--write]
//
// Exit code 0 only if all were found. `--write` writes docs/planted-bugs.md.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { Command } from 'commander';
import { allBugs } from './all-bugs.ts';
import { hunt, type Hunted } from './hunt.ts';
import { describeTable } from './describe-table.ts';
import { root } from './source-copy.ts';

interface Arguments {
  readonly threads: string;
  readonly seeds: string;
  readonly json?: true;
  readonly write?: true;
}

const program = new Command('planted-bugs')
  .description('plant bugs into copies of the source, and let the proof find them')
  .argument('[names...]', 'of the bugs (default: all)')
  .option('--threads <count>', 'bugs that are looked for side by side', '2')
  .option('--seeds <count>', 'seeds of the simulation at most', '2000')
  .option('--json', 'print a JSON summary as the last line')
  .option('--write', 'write docs/planted-bugs.md')
  .action(async (names: readonly string[], { threads, seeds, json = false, write = false }: Arguments) => {
    const unknown = names.filter((name) => allBugs.every((bug) => bug.name !== name));
    if (unknown.length > 0) program.error(`error: there is no planted bug ${unknown.join(', ')}`, { exitCode: 2 });
    const bugs = allBugs.filter(({ name }) => names.length === 0 || names.includes(name));
    const found = await hunt(bugs, { threads: Number(threads), seedsMax: Number(seeds), onHunted: (each) => process.stderr.write(`${describe(each)}\n`) });
    if (write) writeFileSync(path.join(root, 'docs', 'planted-bugs.md'), describeTable(found));
    const missed = found.filter(({ finding }) => finding === null);
    if (json) process.stdout.write(`${JSON.stringify({ bugs: found.length, found: found.length - missed.length, missed: missed.map(({ bug }) => bug.name), each: found.map(summary) })}\n`);
    process.exitCode = missed.length > 0 ? 1 : 0;
  });

function describe({ bug, finding, seconds, fault }: Hunted): string {
  if (finding === null) return `MISSED ${bug.name} (${seconds} s)${fault === null ? '' : `: ${fault}`}`;
  return `found  ${bug.name}: ${finding.guarantee} after ${finding.after} (${seconds} s): ${finding.what.slice(0, 300)}`;
}

function summary({ bug, finding, seconds }: Hunted) {
  return { name: bug.name, breaks: bug.breaks, foundBy: bug.foundBy ?? 'simulation', guarantee: finding?.guarantee ?? null, after: finding?.after ?? null, seconds };
}

await program.parseAsync();
