import { utf8Bytes } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { SessionRef, StoreTransaction } from '../store/store.ts';
import type { WorkerHost } from './session-run.ts';

/** Keeps the whole of a result of which the log has head and tail, before the commit that names it. undefined: it is larger than is kept, its session is gone, or the store failed. Does not throw: the tool has run, and its outcome is not what becomes of its result. With `transaction` it lands with that or not at all, and rejects with what broke that. */
export async function keepWhole({ store, system, log }: Pick<WorkerHost, 'store' | 'system' | 'log'>, ref: SessionRef, text: string, transaction?: StoreTransaction): Promise<string | undefined> {
  if (utf8Bytes(text) > limits.wholeResultBytesMax) return undefined;
  const id = system.ids.mint('res');
  try {
    return (await store.storeWholeResult({ ref, id, body: text, transaction })) === 'stored' ? id : undefined;
  } catch (error) {
    if (transaction !== undefined) throw error;
    log('error', 'whole-result-not-stored', { session: ref.id, error: error instanceof Error ? error.message : String(error) });
    return undefined;
  }
}
