import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { createHoldfast, type Holdfast, type HoldfastOptions } from '../../src/create-holdfast.ts';
import type { FakeSystem } from '../../src/testing/fake-system.ts';

/** Path of a SQLite file in a folder of its own, which is removed when the test ends. */
export async function temporaryDatabase(): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'holdfast-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return path.join(folder, 'test.db');
}

export interface OpenOptions extends Omit<HoldfastOptions, 'store' | 'system'> {
  /** Default: a new SQLite file. */
  readonly store?: HoldfastOptions['store'];
  /** Closing moves a fake clock on, so that a grace time ends. */
  readonly system?: HoldfastOptions['system'] | FakeSystem;
}

/** A Holdfast that is closed when the test ends. */
export async function openHoldfast(options: OpenOptions): Promise<Holdfast> {
  const { system, store = `sqlite:${await temporaryDatabase()}`, ...rest } = options;
  const holdfast = await createHoldfast({ ...rest, store, ...(system === undefined ? {} : { system }) });
  onTestFinished(() => closeHoldfast(holdfast, system));
  return holdfast;
}

/** Closes, moving a fake clock on until that is done. */
export async function closeHoldfast(holdfast: Holdfast, system?: HoldfastOptions['system'] | FakeSystem): Promise<void> {
  const closing = holdfast.close();
  if (system !== undefined && 'runUntil' in system) {
    let closed = false;
    closing.then(() => { closed = true; }, () => { closed = true; });
    await system.runUntil(() => closed);
  }
  await closing;
}
