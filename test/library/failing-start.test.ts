import { expect, it } from 'vitest';
import { createHoldfast, type WorkerTuning } from '../../src/index.ts';
import { StoreError } from '../../src/store/store-error.ts';
import { openStoreUrl } from '../../src/store-url.ts';
import type { Store } from '../../src/store/store.ts';
import { stores } from '../support/stores.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

it.for(stores)('a worker that cannot start rejects, and leaves neither store nor anything else open ($name)', async ({ newUrl }) => {
  const url = await newUrl();
  let opened: Store | null = null;
  const cause = new StoreError('store_unavailable', 'the database went away');
  const store = {
    open: async (settings: Parameters<typeof openStoreUrl>[1]) => {
      opened = await openStoreUrl(url, settings);
      return wrappedStore(opened, { registerWorker: () => Promise.reject(cause) });
    },
  };
  await expect(createHoldfast({ agents: [], store })).rejects.toBe(cause);
  await expect((opened as Store | null)?.listWorkers()).rejects.toMatchObject({ code: 'store_closed' });
});

it('tuning that makes no sense is refused before anything is opened', async () => {
  const store = { open: () => Promise.reject(new Error('was opened')) };
  const worker: WorkerTuning = { pollMs: -1 };
  await expect(createHoldfast({ agents: [], store, worker })).rejects.toMatchObject({ code: 'options_invalid', message: 'worker.pollMs is -1; it must be a number, not negative' });
});
