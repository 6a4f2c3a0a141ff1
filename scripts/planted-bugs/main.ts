// Plants each bug of the list into a copy of the source and lets the proof look for it.
//
//   npm run -s planted-bugs -- [names…] [--threads 2] [--seeds 2000] [--json] [--write]
//
// Exit code 0 only if all were found. `--write` writes docs/planted-bugs.md.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { Command } from 'commander';
import { wholeNumber } from '../../src/cli/command-options.ts';
import { allBugs } from './all-bugs.ts';
import { describeHunted, pageOf, summaryOf } from './describe-hunt.ts';
import { hunt } from './hunt.ts';
import { root } from './source-copy.ts';

interface Arguments {
  readonly threads: number;
  readonly seeds: number;
  readonly json?: true;
  readonly write?: true;
}

const program = new Command('planted-bugs')
  .description('plant bugs into copies of the source, and let the proof find them')
  .argument('[names...]', 'of the bugs (default: all)')
  .option('--threads <count>', 'bugs that are looked for side by side', wholeNumber(1, 256), 2)
  .option('--seeds <count>', 'seeds of the simulation at most', wholeNumber(1, 1_000_000), 2_000)
  .option('--json', 'print a JSON summary as the last line')
  .option('--write', 'write docs/planted-bugs.md')
  .action(async (names: readonly string[], { threads, seeds, json, write }: Arguments) => {
    const unknown = names.filter((name) => allBugs.every((bug) => bug.name !== name));
    if (unknown.length > 0) program.error(`error: there is no planted bug ${unknown.join(', ')}`, { exitCode: 2 });
    if (write === true && names.length > 0) program.error('error: the page has all bugs: say no names with --write', { exitCode: 2 });
    const bugs = allBugs.filter(({ name }) => names.length === 0 || names.includes(name));
    const hunted = await hunt(bugs, { threads, seedsMax: seeds, onHunted: (each) => process.stderr.write(`${describeHunted(each)}\n`) });
    if (write === true) writeFileSync(path.join(root, 'docs', 'planted-bugs.md'), pageOf(hunted));
    if (json === true) process.stdout.write(`${JSON.stringify(summaryOf(hunted))}\n`);
    process.exitCode = hunted.every(({ finding }) => finding !== null) ? 0 : 1;
  });

await program.parseAsync();
