import { spawn } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { simulate } from '../../src/testing/simulation/simulate.ts';
import type { Violation } from '../../src/testing/simulation/world.ts';

/** What was found of a bug. */
export interface Finding {
  readonly guarantee: string;
  readonly what: string;
  /** The how manieth run it took; of `simulation` the seed. */
  readonly after: number;
}

interface SeedLine {
  readonly seed: number;
  readonly violations: readonly Pick<Violation, 'guarantee' | 'what'>[];
}

/** One seed that takes longer does not end. */
const seedMsMax = 120_000;

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

/** Runs seeds, from the first on, in a copy of the source, until one fails there that holds on the source as it is. null: none of them does. Rejects when a seed does not end, or the copy cannot run. */
export async function simulateCopy(folder: string, seedsMax: number, control: Control): Promise<Finding | null> {
  const child = spawn(process.execPath, [path.join(folder, 'scripts', 'planted-bugs', 'run-seeds.ts'), '1', String(seedsMax)], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('exit', resolve));
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints = (complaints + text).slice(-4_000)));
  let last = 0;
  let isStuck = false;
  const stuck = (): void => {
    isStuck = true;
    child.kill('SIGKILL');
  };
  let timer = setTimeout(stuck, seedMsMax);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { seed, violations } = JSON.parse(line) as SeedLine;
      clearTimeout(timer);
      timer = setTimeout(stuck, seedMsMax);
      last = seed;
      const [violation] = violations;
      if (violation !== undefined && (await control.holds(seed))) return { guarantee: violation.guarantee, what: violation.what, after: seed };
    }
    const code = await exited;
    if (isStuck) throw new Error(`seed ${last + 1} does not end within ${seedMsMax} ms`);
    if (code !== 0) throw new Error(`the copy ends with ${String(code)} after seed ${last}: ${complaints}`);
    return null;
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}
