import { cpSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { openDatabase } from '../../src/store/sqlite/open-database.ts';
import { startChild, type Child } from '../support/child-process.ts';
import type { PowerProcessConfig } from './children/power-process.ts';
import { digestOf } from './commit-history.ts';
import { readContents, writeContents } from './disk-contents.ts';
import { compileTracer, readTrace, tracingEnvironment, type DiskNote } from './disk-trace.ts';
import { LossyDisk, type DiskContents, type Initial } from './lossy-disk.ts';

/** What processes did to a disk. */
export interface Recording {
  /** What lay on it before. */
  readonly initial: readonly Initial[];
  /** The pages of the database then; of a new one none. */
  readonly pages: readonly Buffer[];
  readonly notes: readonly DiskNote[];
}

/** The database's file on the disks of these tests. */
export const databaseFile = 'holdfast.db';

const pageBytes = 4_096;

type Workload = Omit<PowerProcessConfig, 'path'>;

/** Records three processes on a new disk: the first alone, until it is closed; then two side by side, of which one is closed and the other one killed. */
export function recordThree(root: string, workload: Workload): Promise<Recording> {
  mkdirSync(path.join(root, 'disk'));
  return record(root, { initial: [], pages: [] }, workload, async (start) => {
    await closed(start(0));
    const killed = start(1);
    await closed(start(2));
    await killed.hears('done');
    await killed.signal('SIGKILL');
  });
}

/** Records a process that goes on with what a power cut has left. */
export async function recordGoingOn(root: string, left: DiskContents, workload: Workload, random: () => number): Promise<Recording> {
  const disk = path.join(root, 'disk');
  writeContents(disk, left, random);
  const initial = readContents(disk);
  return record(root, { initial, pages: await pagesIn(disk, path.join(root, 'copy')) }, workload, (start) => closed(start(0)));
}

/** Checked is that a recording is whole: what it makes of the disk as it was before is the disk as it is after. */
async function record(root: string, before: Pick<Recording, 'initial' | 'pages'>, workload: Workload, run: (start: (number: number) => Child) => Promise<void>): Promise<Recording> {
  const tracing = { folder: path.join(root, 'disk'), file: path.join(root, 'trace'), library: path.join(root, 'tracer.so') };
  compileTracer(tracing.library);
  await run((number) => startChild('test/power-loss/children/power-process.ts', { ...workload, path: path.join(tracing.folder, databaseFile), seed: workload.seed + number }, tracingEnvironment(tracing)));
  const recording = { ...before, notes: readTrace(tracing) };
  const disk = new LossyDisk(recording.initial);
  for (const note of recording.notes) disk.apply(note);
  const files = readContents(tracing.folder).map(({ path: name, content }) => [name, content] as const);
  expect(comparable(disk.afterPowerLoss('everything', () => 0))).toEqual(comparable(files));
  return recording;
}

/** Lets a process do its work to the end. */
async function closed(child: Child): Promise<void> {
  await child.hears('done');
  child.tell({ event: 'close' });
  await child.ended;
}

/** What lies on a disk; of a -shm, which is written through a memory map, only that it is there. */
function comparable(contents: Iterable<readonly [name: string, content: Buffer | null]>): readonly string[] {
  return [...contents].map(([name, content]) => `${name} ${name.endsWith('-shm') ? '' : (content === null ? 'folder' : digestOf([content]))}`);
}

/** The pages of the database on a disk, which stays as it is. */
async function pagesIn(disk: string, copy: string): Promise<readonly Buffer[]> {
  cpSync(disk, copy, { recursive: true });
  const database = await openDatabase(path.join(copy, databaseFile));
  const all = database.serialize();
  database.close();
  return Array.from({ length: all.length / pageBytes }, (_, place) => all.subarray(place * pageBytes, (place + 1) * pageBytes));
}
