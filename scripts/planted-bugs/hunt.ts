import { performance } from 'node:perf_hooks';
import type { PlantedBug } from './planted-bug.ts';
import { Control, simulateCopy, type Finding } from './simulation-run.ts';
import { SourceCopy } from './source-copy.ts';

/** What became of looking for a bug. */
export interface Hunted {
  readonly bug: PlantedBug;
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

/** Plants each bug into a copy of the source of its own, and lets its run look for it. Resolves with all of them, in their order. */
export async function hunt(bugs: readonly PlantedBug[], { threads, seedsMax, onHunted }: HuntOptions): Promise<readonly Hunted[]> {
  const control = new Control();
  const hunted = new Map<PlantedBug, Hunted>();
  const left = [...bugs];
  const worker = async (): Promise<void> => {
    for (let bug = left.shift(); bug !== undefined; bug = left.shift()) {
      const each = await huntOne(bug, seedsMax, control);
      hunted.set(bug, each);
      onHunted?.(each);
    }
  };
  await Promise.all(Array.from({ length: threads }, worker));
  return bugs.flatMap((bug) => hunted.get(bug) ?? []);
}

async function huntOne(bug: PlantedBug, seedsMax: number, control: Control): Promise<Hunted> {
  using copy = new SourceCopy(bug);
  const startedAtMs = performance.now();
  const seconds = (): number => Math.round((performance.now() - startedAtMs) / 100) / 10;
  try {
    const finding = await simulateCopy(copy.folder, seedsMax, control);
    return { bug, finding, fault: null, seconds: seconds() };
  } catch (error) {
    return { bug, finding: null, fault: error instanceof Error ? error.message : String(error), seconds: seconds() };
  }
}
