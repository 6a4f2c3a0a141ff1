import type { SeedRun } from './run-seed.ts';

/** Runs a plan of which only these parts are kept. */
export type RunKept = (kept: readonly string[]) => Promise<SeedRun>;

/** Runs until which a failing plan is made smaller. */
const runsMax = 400;

/**
 * Leaves out of a failing plan what it fails without: halves first, then smaller and smaller shares, down to single commands and faults (delta debugging). It fails still when the same guarantee is violated. Returns the parts that are
 * left, and the run with them.
 */
export async function shrink(parts: readonly string[], failed: SeedRun, run: RunKept): Promise<{ readonly kept: readonly string[]; readonly run: SeedRun }> {
  const guarantee = failed.violations[0]?.guarantee;
  let kept = parts;
  let last = failed;
  let runs = 0;
  for (let size = Math.ceil(parts.length / 2); size >= 1 && runs < runsMax; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let place = 0; place < kept.length && runs < runsMax;) {
      const without = [...kept.slice(0, place), ...kept.slice(place + size)];
      runs += 1;
      const tried = await run(without);
      if (tried.violations[0]?.guarantee === guarantee) {
        kept = without;
        last = tried;
      } else place += size;
    }
  }
  return { kept, run: last };
}
