import { utf8Bytes } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { SessionRef } from '../store/store.ts';
import type { WorkerHost } from './session-run.ts';

/** Keeps the whole of a result of which the log has head and tail, before the commit that names it. undefined: it is larger than is kept, or its session is gone. */
export async function keepWhole({ store, system }: Pick<WorkerHost, 'store' | 'system'>, ref: SessionRef, text: string): Promise<string | undefined> {
  if (utf8Bytes(text) > limits.wholeResultBytesMax) return undefined;
  const id = system.ids.mint('res');
  return (await store.storeWholeResult({ ref, id, body: text })) === 'stored' ? id : undefined;
}
