import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createHoldfast, type Holdfast, type HoldfastOptions } from '../../src/create-holdfast.ts';

/** A Holdfast on a SQLite file in a folder of its own; disposing it closes the one and removes the other. */
export async function temporaryHoldfast(options: Omit<HoldfastOptions, 'store'>): Promise<Holdfast> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'holdfast-'));
  const holdfast = await createHoldfast({ ...options, store: `sqlite:${path.join(folder, 'test.db')}` });
  return {
    ...holdfast,
    async [Symbol.asyncDispose]() {
      await holdfast.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
