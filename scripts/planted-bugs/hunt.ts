import { performance } from 'node:perf_hooks';
import { failCopy } from './failpoint-run.ts';
import type { Finding, PlantedBug, ProofRun } from './planted-bug.ts';
import { cutCopy } from './power-run.ts';
import { Control, simulateCopy } from './simulation-run.ts';
import { SourceCopy } from './source-copy.ts';

/** What became of looking for a bug by one run. */
export interface Hunted {
  readonly bug: PlantedBug;
  readonly run: ProofRun;
  /** null: it was not found. */
  readonly finding: Finding | null;
  /** Why it could not be looked for to the end; null: it was. */
  readonly fault: string | null;
  readonly seconds: number;
}

export interface HuntOptions {
  /** Bugs that are looked for side by side. */
  readonly threads: number;
  readonly seedsMax: number;
  readonly onHunted?: (hunted: Hunted) => void;
}

/** Plants each bug into a copy of the source of its own, and lets each of its runs look for it. Resolves with all of them, in their order. */
export async function hunt(bugs: readonly PlantedBug[], { threads, seedsMax, onHunted }: HuntOptions): Promise<readonly Hunted[]> {
  const control = new Control();
  const jobs = bugs.flatMap((bug) => (bug.foundBy ?? ['simulation'] as const).map((run) => ({ bug, run })));
  const hunted: Hunted[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let place = next++; place < jobs.length; place = next++) {
      const job = jobs[place];
      if (job === undefined) return;
      const each = await huntOne(job, seedsMax, control);
      hunted[place] = each;
      onHunted?.(each);
    }
  };
  await Promise.all(Array.from({ length: threads }, worker));
  return hunted;
}

async function huntOne({ bug, run }: Pick<Hunted, 'bug' | 'run'>, seedsMax: number, control: Control): Promise<Hunted> {
  using copy = new SourceCopy(bug);
  const startedAtMs = performance.now();
  const seconds = (): number => Math.round((performance.now() - startedAtMs) / 100) / 10;
  try {
    const finding = await lookIn(copy.folder, run, seedsMax, control);
    return { bug, run, finding, fault: null, seconds: seconds() };
  } catch (error) {
    return { bug, run, finding: null, fault: error instanceof Error ? error.message : String(error), seconds: seconds() };
  }
}

function lookIn(folder: string, run: ProofRun, seedsMax: number, control: Control): Promise<Finding | null> {
  switch (run) {
    case 'simulation':
      return simulateCopy(folder, seedsMax, control);
    case 'failpoints':
      return failCopy(folder);
    case 'power loss':
      return cutCopy(folder);
  }
}
