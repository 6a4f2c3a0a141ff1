import type { EntryOf } from '../core/entry.ts';
import { stateMarks, stateMarksOfKey } from '../core/history.ts';
import { isVisible } from '../core/intervals.ts';
import { utf8Bytes, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import { itemOf, stateScopes, type StateItem, type StateScope } from '../core/state.ts';
import { visibleState } from '../core/state-reading.ts';
import type { ScopeRef } from './state-store.ts';
import type { Store } from './store.ts';

/** Where the values of a scope are kept. */
export type StatePlace = { readonly kind: 'conversation'; readonly session: Session } | { readonly kind: 'beside'; readonly scope: ScopeRef };

export interface StatePageQuery {
  /** What keys begin with, taken literally. */
  readonly prefix?: string | undefined;
  /** Keys after this one. */
  readonly cursor?: string | undefined;
  /** At most 100, which is the default. */
  readonly limit?: number | undefined;
}

export interface StatePage {
  /** Sorted by the UTF-16 units of their keys. */
  readonly items: readonly StateItem[];
  /** `cursor` of the next page; null at the end. */
  readonly nextCursor: string | null;
}

/** All values by scope; of a scope that is off, or whose identity is not known, none. */
export type StateSnapshot = { readonly [Scope in StateScope]: Readonly<Record<string, JsonValue>> } & {
  /** Whether that is all: a snapshot has about 4 MB at most. */
  readonly complete: boolean;
};

/** The value as of now; null: there is none. */
export async function readStateItem(store: Store, place: StatePlace, key: string): Promise<StateItem | null> {
  if (place.kind === 'beside') return (await store.state.readItems(place.scope, [key]))[0] ?? null;
  const { session } = place;
  const ranges = stateMarksOfKey(key);
  // The last of each kind is nearly always in the history that is visible.
  const last = await Promise.all(ranges.map(({ from }) => store.readMarked(session, from)));
  const known = last.filter((entry) => entry !== null).sort((left, right) => right.seq - left.seq);
  if (known.every(({ seq }) => isVisible(session.visible, seq))) return known[0]?.kind === 'state-changed' ? itemOf(known[0], store.nowMs()) : null;
  const marks = (await Promise.all(ranges.map((range) => store.state.readMarks(session, range)))).flat();
  const found = visibleState(marks, session.visible).get(key);
  return found === undefined ? null : ((await itemsAt(store, session, [found.seq]))[0] ?? null);
}

/** The keys that have a value, in no order. Of the conversation some may have expired. */
export async function readStateKeys(store: Store, place: StatePlace): Promise<readonly string[]> {
  if (place.kind === 'beside') return store.state.readKeys(place.scope);
  return [...visibleState(await store.state.readMarks(place.session, stateMarks), place.session.visible)].filter(([, { isSet }]) => isSet).map(([key]) => key);
}

/** The values of these keys; what is not there is left out. */
export async function readStateItems(store: Store, place: StatePlace, keys: readonly string[]): Promise<readonly StateItem[]> {
  if (keys.length === 0) return [];
  if (place.kind === 'beside') return store.state.readItems(place.scope, keys);
  const visible = visibleState(await store.state.readMarks(place.session, stateMarks), place.session.visible);
  return itemsAt(store, place.session, keys.flatMap((key) => visible.get(key)?.seq ?? []));
}

/** A page of a scope's values. */
export async function listStateItems(store: Store, place: StatePlace, query: StatePageQuery): Promise<StatePage> {
  const { keys, nextCursor } = pageOfKeys(await readStateKeys(store, place), query);
  return { items: inOrder(keys, await readStateItems(store, place, keys)), nextCursor };
}

/** Which of the keys are on a page. */
export function pageOfKeys(all: Iterable<string>, { prefix = '', cursor, limit = limits.statePageMax }: StatePageQuery): { readonly keys: readonly string[]; readonly nextCursor: string | null } {
  const sorted = [...all].filter((key) => key.startsWith(prefix) && (cursor === undefined || key > cursor)).sort();
  const keys = sorted.slice(0, Math.min(limit, limits.statePageMax));
  return { keys, nextCursor: sorted.length > keys.length ? (keys.at(-1) ?? null) : null };
}

export function inOrder(keys: readonly string[], items: readonly StateItem[]): readonly StateItem[] {
  const byKey = new Map(items.map((item) => [item.key, item]));
  return keys.flatMap((key) => byKey.get(key) ?? []);
}

/** All values, page by page; `readPage` gives null for a scope that has none to be read. The conversation says its own name under `external.conversation_id`, unless that is set. */
export async function snapshotBy(readPage: (scope: StateScope, query: StatePageQuery) => Promise<StatePage | null>, conversationId: string | null): Promise<StateSnapshot> {
  const scopes: Record<StateScope, Record<string, JsonValue>> = { conversation: {}, actor: {}, subject: {}, agent: {} };
  let bytes = 0;
  for (const scope of stateScopes) {
    const values = new Map<string, JsonValue>();
    for (let cursor: string | undefined, more = true; more;) {
      const page = await readPage(scope, { cursor, limit: 20 });
      if (page === null) break;
      if (scope === 'conversation' && conversationId !== null && cursor === undefined) values.set('external.conversation_id', conversationId);
      for (const { key, value } of page.items) {
        bytes += utf8Bytes(key) + utf8Bytes(JSON.stringify(value));
        if (bytes > limits.stateSnapshotBytesMax) return { ...scopes, [scope]: Object.fromEntries(values), complete: false };
        values.set(key, value);
      }
      cursor = page.nextCursor ?? undefined;
      more = page.nextCursor !== null;
    }
    scopes[scope] = Object.fromEntries(values);
  }
  return { ...scopes, complete: true };
}

async function itemsAt(store: Store, session: Session, seqs: readonly number[]): Promise<readonly StateItem[]> {
  const entries = (await store.state.readEntriesAt(session, seqs)) as readonly EntryOf<'state-changed'>[];
  return entries.flatMap((entry) => itemOf(entry, store.nowMs()) ?? []);
}
