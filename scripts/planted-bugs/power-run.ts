import path from 'node:path';
import { linesOf } from './copy-process.ts';
import type { Finding } from './planted-bug.ts';

/** So many cuts of the power are enough to lose something. */
const cuts = 30;
const test = 'the store as it is has every acknowledged commit';

/** Cuts the power of a copy of the source, as the test does that says nothing is lost. null: nothing is. */
export async function cutCopy(folder: string): Promise<Finding | null> {
  const vitest = path.join('node_modules', 'vitest', 'vitest.mjs');
  for await (const line of linesOf(folder, [vitest, 'run', 'test/power-loss/power-loss.test.ts', '-t', test], { HOLDFAST_POWER_CUTS: String(cuts) }, [1])) {
    const tally = /power loss with synchronous=FULL: (\{.*\})/.exec(line)?.[1];
    if (tally === undefined) continue;
    const { cuts: after, lost, cutsWithLoss } = JSON.parse(tally) as { readonly cuts: number; readonly lost: number; readonly cutsWithLoss: number };
    return lost === 0 ? null : { guarantee: 'G1', what: `${cutsWithLoss} of ${after} cuts of the power lose acknowledged commits`, after };
  }
  throw new Error('no power was cut: the test says why');
}
