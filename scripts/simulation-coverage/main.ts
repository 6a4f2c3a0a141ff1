// Lists what of the core, the stores and the worker neither the simulation nor the failpoints reach.
//
//   npm run -s simulation-coverage -- [--seeds 1500] [--threads 2] [--postgres <url>] [--reports <folder>] [--write]
//
// Exit code 0 only if each has a reason in reasons.txt, and no reason is stale. `--write` writes docs/guide/unreached-branches.md.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { Command } from 'commander';
import { describeCoverage, pageOf, reportOf } from './describe-coverage.ts';
import { measure, root } from './measure.ts';
import { Reasons } from './reasons.ts';

interface Arguments {
  readonly seeds: string;
  readonly threads: string;
  readonly postgres?: string;
  readonly reports?: string;
  readonly write?: boolean;
}

const program = new Command('simulation-coverage')
  .description('list what simulation and failpoints never reach')
  .option('--seeds <count>', 'seeds of the simulation', '1500')
  .option('--threads <count>', 'that share the seeds', '2')
  .option('--postgres <url>', 'fail calls of the store in this database, too, in a schema of its own')
  .option('--reports <folder>', 'run nothing, and read what V8 has written into this folder')
  .option('--write', 'write docs/guide/unreached-branches.md')
  .action(async ({ seeds, threads, postgres, reports, write = false }: Arguments) => {
    const covered = await measure({ seeds: Number(seeds), threads: Number(threads), postgres: postgres ?? null, reports: reports ?? null });
    const reasons = new Reasons(readFileSync(path.join(import.meta.dirname, 'reasons.txt'), 'utf8'));
    const report = reportOf(covered, reasons);
    process.stdout.write(`${describeCoverage(report)}\n`);
    const command = `npm run -s simulation-coverage -- --seeds ${seeds}${postgres === undefined ? '' : ' --postgres postgres://…'} --write`;
    if (write) writeFileSync(path.join(root, 'docs', 'guide', 'unreached-branches.md'), pageOf(report, reasons.all, command));
    process.exitCode = report.stale.length === 0 && report.unreached.every(({ why }) => why !== null) ? 0 : 1;
  });

await program.parseAsync();
