import type { JsonValue } from '../core/json.ts';
import type { SessionRef, Store } from '../store/store.ts';

/** The input that a person gave a call in place of the model's, from the entry that holds it; undefined: there is none. */
export async function approvedInputOf(store: Pick<Store, 'readEntries'>, ref: SessionRef, inputSeq: number | null): Promise<JsonValue | undefined> {
  if (inputSeq === null) return undefined;
  const [entry] = await store.readEntries(ref, { afterSeq: inputSeq - 1, limit: 1 });
  return entry?.kind === 'action-resolved' && entry.seq === inputSeq ? entry.input : undefined;
}
