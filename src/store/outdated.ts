import type { Clock } from '../core/system.ts';
import { StoreError } from './store-error.ts';
import type { Store } from './store.ts';

/** Whether the data asks for a newer version of Holdfast than this. Rejects with `StoreError` when the store does not answer. */
export async function isOutdated(store: Pick<Store, 'migrate'>): Promise<boolean> {
  try {
    await store.migrate();
    return false;
  } catch (error) {
    if (error instanceof StoreError && error.code === 'store_unsupported') return true;
    throw error;
  }
}

/** Whether a process without a worker may serve: its store answers, and asks for no newer version. Looked for once in so many milliseconds, however often it is asked. */
export function servesStore(store: Pick<Store, 'migrate'>, clock: Clock, everyMs: number): () => Promise<boolean> {
  let last: { readonly atMs: number; readonly serves: Promise<boolean> } | null = null;
  return () => {
    const nowMs = clock.monotonicMs();
    if (last === null || nowMs - last.atMs >= everyMs) {
      last = { atMs: nowMs, serves: isOutdated(store).then((outdated) => !outdated, (error: unknown) => { if (error instanceof StoreError) return false; throw error; }) };
    }
    return last.serves;
  };
}
