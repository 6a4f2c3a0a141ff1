import path from 'node:path';
import { linesOf } from './copy-process.ts';
import type { Finding } from './planted-bug.ts';

/** What run-failpoints.ts prints of each scenario. */
interface ScenarioLine {
  readonly runs: number;
  readonly violation: Pick<Finding, 'guarantee' | 'what'> | null;
}

/** Fails every scenario everywhere in a copy of the source, until something is violated. null: nothing is. */
export async function failCopy(folder: string): Promise<Finding | null> {
  let after = 0;
  for await (const line of linesOf(folder, [path.join('scripts', 'planted-bugs', 'run-failpoints.ts')])) {
    const { runs, violation } = JSON.parse(line) as ScenarioLine;
    after += runs;
    if (violation !== null) return { ...violation, after };
  }
  return null;
}
