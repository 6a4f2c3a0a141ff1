import type { Store } from '../../src/store/store.ts';
import type { PureSession } from './pure-session.ts';

/** A {@link PureSession} behind as much of the store's port as its readers use, and what was read of it. */
export function pureStore({ log, operations }: Pick<PureSession, 'log' | 'operations'>): Store & { readonly read: { entries: number; operations: number } } {
  const read = { entries: 0, operations: 0 };
  const reads: Pick<Store, 'readEntries' | 'readOperation'> = {
    readEntries: (_ref, { afterSeq = 0, beforeSeq = Number.POSITIVE_INFINITY, limit }) => {
      const found = log.filter(({ seq }) => seq > afterSeq && seq < beforeSeq);
      const page = beforeSeq === Number.POSITIVE_INFINITY ? found.slice(0, limit) : found.slice(-limit);
      read.entries += page.length;
      return Promise.resolve(page);
    },
    readOperation: ({ id }) => {
      read.operations += 1;
      return Promise.resolve(operations.get(id) ?? null);
    },
  };
  return { ...(reads as Store), read };
}
