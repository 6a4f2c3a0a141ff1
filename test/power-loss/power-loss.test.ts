import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { seededRandom } from '../../src/testing/fake-system.ts';
import { seedOf } from '../support/seed.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import type { PowerProcessConfig } from './children/power-process.ts';
import { noTraceReason } from './disk-trace.ts';
import { recordGoingOn, recordThree } from './power-recording.ts';
import { newTally, tallyCuts, type PowerTally } from './power-tally.ts';

/** How often the power goes with the store as it is; with one that syncs less, a fifth as often. `HOLDFAST_POWER_CUTS=5000` takes its time. */
const cutsInAll = Number(process.env['HOLDFAST_POWER_CUTS'] ?? 300);
/** So many cuts are of one recording, and a third as many of one that goes on with what was left. */
const cutsOfRecording = 225;
/** No multiple of the number of fates, so that each has its turn. */
const goesOnEvery = 7;
const timeoutMs = 60_000 + cutsInAll * 1_000;

const reason = noTraceReason();
if (reason !== null) console.log(`no power is cut here: ${reason}`);

interface Bench {
  readonly random: () => number;
  readonly tally: PowerTally;
  /** Makes a new folder. */
  readonly folder: () => Promise<string>;
  /** What processes do, each number something else. */
  readonly workload: (number: number) => Omit<PowerProcessConfig, 'path'>;
}

async function bench(synchronous: PowerProcessConfig['synchronous'], requests: number): Promise<Bench> {
  const seed = seedOf(`power loss with synchronous=${synchronous}`);
  const root = await temporaryFolder();
  const tally = newTally();
  onTestFinished(async () => {
    await root.remove();
    console.log(`power loss with synchronous=${synchronous}: ${JSON.stringify({ ...tally, faults: tally.faults.length })}`);
  });
  let folders = 0;
  return {
    random: seededRandom(seed), tally,
    workload: (number) => ({ synchronous, checkpointPages: 100, seed: seed + number * 10, clients: 3, requests }),
    folder: async () => {
      const folder = path.join(root.path, `${(folders += 1)}`);
      await mkdir(folder);
      return folder;
    },
  };
}

describe.skipIf(reason !== null)('when the power goes, and what was not synced is lost, torn, or comes in any order', () => {
  it('the store as it is has every acknowledged commit, its conversations go on, and so it is when the power goes again', async () => {
    const { random, tally, folder, workload } = await bench('FULL', 16);
    for (let number = 0; tally.cuts < cutsInAll; number += 2) {
      const first = await folder();
      const cuts = Math.min(cutsOfRecording, Math.ceil((cutsInAll - tally.cuts) * 0.75));
      const left = await tallyCuts(tally, await recordThree(first, workload(number)), first, { cuts, random, goesOnEvery });
      const again = await folder();
      await tallyCuts(tally, await recordGoingOn(again, left, workload(number + 1), random), again, { cuts: Math.ceil(cuts / 3), random, goesOnEvery });
    }
    expect(tally.faults).toEqual([]);
    expect(tally.wentOn).toBeGreaterThan(tally.wentOnPastLocks);
    expect(tally.wentOnPastLocks).toBeGreaterThan(0);
    expect(tally.checkpoints).toBeGreaterThan(0);
  }, timeoutMs);

  it('a store with synchronous=NORMAL is whole, and has lost acknowledged commits', async () => {
    const { random, tally, folder, workload } = await bench('NORMAL', 8);
    const disk = await folder();
    await tallyCuts(tally, await recordThree(disk, workload(0)), disk, { cuts: cutsInAll / 5, random });
    expect(tally.cutsWithDamage).toBe(0);
    expect(tally.cutsWithLoss).toBeGreaterThan(0);
  }, timeoutMs);

  it('a store with synchronous=OFF has lost acknowledged commits, or all of them', async () => {
    const { random, tally, folder, workload } = await bench('OFF', 8);
    const disk = await folder();
    await tallyCuts(tally, await recordThree(disk, workload(0)), disk, { cuts: cutsInAll / 5, random });
    expect(tally.cutsWithLoss).toBeGreaterThan(0);
  }, timeoutMs);
});
