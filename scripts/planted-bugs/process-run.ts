import path from 'node:path';
import { linesOf } from './copy-process.ts';
import type { Finding } from './planted-bug.ts';

const test = 'lose nothing and do nothing twice on Postgres';
const found = /(\d+) lost, (\d+) duplicated, (\d+) unordered; (\d+) of (\d+) sessions at rest/;

/** Runs real processes of a copy of the source under clients, on Postgres, as the test does that says that nothing is lost. null: nothing is. */
export async function killCopy(folder: string): Promise<Finding | null> {
  const vitest = path.join('node_modules', 'vitest', 'vitest.mjs');
  let requests = 0;
  let finding: Finding | null = null;
  let isPassed = false;
  for await (const line of linesOf(folder, [vitest, 'run', 'test/cli/processes.test.ts', '-t', test], { NO_COLOR: '1' }, [1])) {
    requests = Number(/(\d+) requests, \d+ commands acknowledged/.exec(line)?.[1] ?? requests);
    isPassed ||= /^ +Tests .*1 passed/.test(line);
    const [whole] = found.exec(line) ?? [];
    if (whole !== undefined) finding ??= { guarantee: 'G1, G2 or G4', what: whole, after: requests };
  }
  if (finding === null && !isPassed) throw new Error('the processes could not be run to their end');
  return finding;
}
