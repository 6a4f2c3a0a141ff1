import { goOn } from './going-on.ts';
import type { DiskContents } from './lossy-disk.ts';
import { cutPower, planCuts, type Remains } from './power-cuts.ts';
import type { Recording } from './power-recording.ts';

/** What came of cuts, added up. */
export interface PowerTally {
  cuts: number;
  /** In the recordings. */
  commits: number;
  checkpoints: number;
  /** Acknowledgements looked for, over all cuts. */
  looked: number;
  lost: number;
  cutsWithLoss: number;
  cutsWithDamage: number;
  wentOn: number;
  /** Of these, how often there were lock files of workers that went with the power. */
  wentOnPastLocks: number;
  /** All that was not as it must be with the store as it is, each with its cut. */
  readonly faults: string[];
}

export interface CutOptions {
  readonly cuts: number;
  readonly random: () => number;
  /** After each so many cuts without a fault, going on with what is left is tried. Default: never. */
  readonly goesOnEvery?: number;
}

/** How many of the last acknowledged requests are sent again by {@link goOn}. */
const repeated = 8;

export function newTally(): PowerTally {
  return { cuts: 0, commits: 0, checkpoints: 0, looked: 0, lost: 0, cutsWithLoss: 0, cutsWithDamage: 0, wentOn: 0, wentOnPastLocks: 0, faults: [] };
}

/** Cuts the power in a recording, adds up what comes of it, and returns what one of the cuts has left, of those with the worst fate. */
export async function tallyCuts(tally: PowerTally, recording: Recording, root: string, { cuts, random, goesOnEvery = Infinity }: CutOptions): Promise<DiskContents> {
  let left: DiskContents = new Map();
  let torn = 0;
  let last: Remains | undefined;
  for await (const remains of cutPower(recording, planCuts(recording, cuts, random), root, random)) {
    const { cut, contents, acknowledged, lost, damage } = remains;
    const faults = [...(lost > 0 ? [`${lost} of ${acknowledged.length} acknowledgements are lost`] : []), ...(damage === null ? [] : [damage])];
    tally.cuts += 1;
    tally.looked += acknowledged.length;
    tally.lost += lost;
    if (lost > 0) tally.cutsWithLoss += 1;
    if (damage !== null) tally.cutsWithDamage += 1;
    if (faults.length === 0 && tally.cuts % goesOnEvery === 0) {
      tally.wentOn += 1;
      if ([...contents.keys()].some((name) => name.endsWith('.lock'))) tally.wentOnPastLocks += 1;
      faults.push(...(await goOn(remains.path, acknowledged.slice(-repeated))));
    }
    tally.faults.push(...faults.map((fault) => `after ${cut.after} of ${recording.notes.length} notes, ${cut.fate} of what was not synced being left: ${fault}`));
    if (cut.fate === 'pieces' && random() < 1 / (torn += 1)) left = contents;
    last = remains;
  }
  tally.commits += last?.commits ?? 0;
  tally.checkpoints += last?.checkpoints ?? 0;
  return left;
}
