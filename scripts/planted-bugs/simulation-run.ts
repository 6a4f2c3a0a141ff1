import path from 'node:path';
import { simulate } from '../../src/testing/simulation/simulate.ts';
import type { Violation } from '../../src/testing/simulation/world.ts';
import { linesOf } from './copy-process.ts';
import type { Finding } from './planted-bug.ts';

/** Which seeds hold on the source as it is: a bug is found only by one that does. */
export class Control {
  readonly #known = new Map<number, Promise<boolean>>();
  #last: Promise<unknown> = Promise.resolve();

  holds(seed: number): Promise<boolean> {
    const known = this.#known.get(seed) ?? this.#run(seed);
    this.#known.set(seed, known);
    return known;
  }

  /** One at a time: what nobody catches is seen by all runs of a process. */
  #run(seed: number): Promise<boolean> {
    const run = this.#last.then(async () => (await simulate({ firstSeed: seed, seeds: 1, shrinks: false })).failed === 0);
    this.#last = run.catch(() => false);
    return run;
  }
}

/** What run-seeds.ts prints of each seed. */
interface SeedLine {
  readonly seed: number;
  readonly violations: readonly Pick<Violation, 'guarantee' | 'what'>[];
}

/** Runs seeds from 1 on in a copy of the source, until one fails there that holds on the source as it is. null: none of them does. */
export async function simulateCopy(folder: string, seedsMax: number, control: Control): Promise<Finding | null> {
  for await (const line of linesOf(folder, [path.join('scripts', 'planted-bugs', 'run-seeds.ts'), '1', String(seedsMax)])) {
    const { seed, violations: [violation] } = JSON.parse(line) as SeedLine;
    if (violation !== undefined && (await control.holds(seed))) return { guarantee: violation.guarantee, what: violation.what, after: seed };
  }
  return null;
}
