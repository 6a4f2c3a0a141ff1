import type { EntryOf } from '../core/entry.ts';
import { utf8Bytes, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import { itemOf, stateScopes, type StateItem, type StateScope } from '../core/state.ts';
import { stateRanges, visibleState } from '../core/state-reading.ts';
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

/** The keys of a scope that have a value, and how to read what they have. */
export interface StateKeys<Item extends { readonly key: string } = StateItem> {
  /** In no order. Of the conversation some may have expired. */
  readonly all: Iterable<string>;
  /** The values of these keys, in no order; what is not there is left out. */
  readonly read: (keys: readonly string[]) => Promise<readonly Item[]>;
}

/** The value as of now; null: there is none. */
export async function readStateItem(store: Store, place: StatePlace, key: string): Promise<StateItem | null> {
  const { read } = place.kind === 'beside' ? keysBeside(store, place.scope, [key]) : await keysOfConversation(store, place.session, [key]);
  return (await read([key]))[0] ?? null;
}

/** The keys of a scope as they are now. */
export async function readStateKeys(store: Store, place: StatePlace): Promise<StateKeys> {
  return place.kind === 'beside' ? keysBeside(store, place.scope, await store.state.readKeys(place.scope)) : keysOfConversation(store, place.session, null);
}

function keysBeside(store: Store, scope: ScopeRef, all: readonly string[]): StateKeys {
  return { all, read: (keys) => store.state.readItems(scope, keys) };
}

async function keysOfConversation(store: Store, session: Session, asked: readonly string[] | null): Promise<StateKeys> {
  const visible = visibleState(await store.state.readLastMarks(session, stateRanges(asked)), session.visible);
  const set = new Map([...visible].filter(([, { isSet }]) => isSet));
  return { all: set.keys(), read: (keys) => itemsAt(store, session, keys.flatMap((key) => set.get(key)?.seq ?? [])) };
}

/** A page of a scope's values. */
export async function listStateItems(store: Store, place: StatePlace, query: StatePageQuery): Promise<StatePage> {
  return pageOf(await readStateKeys(store, place), query);
}

export async function pageOf<Item extends { readonly key: string }>({ all, read }: StateKeys<Item>, query: StatePageQuery): Promise<{ readonly items: readonly Item[]; readonly nextCursor: string | null }> {
  const { keys, nextCursor } = pageOfKeys(all, query);
  return { items: inOrder(keys, keys.length === 0 ? [] : await read(keys)), nextCursor };
}

/** Which of the keys are on a page. */
function pageOfKeys(all: Iterable<string>, { prefix = '', cursor, limit = limits.statePageMax }: StatePageQuery): { readonly keys: readonly string[]; readonly nextCursor: string | null } {
  const sorted = [...all].filter((key) => key.startsWith(prefix) && (cursor === undefined || key > cursor)).sort();
  const keys = sorted.slice(0, Math.min(limit, limits.statePageMax));
  return { keys, nextCursor: sorted.length > keys.length ? (keys.at(-1) ?? null) : null };
}

function inOrder<Item extends { readonly key: string }>(keys: readonly string[], items: readonly Item[]): readonly Item[] {
  const byKey = new Map(items.map((item) => [item.key, item]));
  return keys.flatMap((key) => byKey.get(key) ?? []);
}

/** Values of a snapshot that are read at once. */
const snapshotReadsKeys = 20;

/** All values; `readKeys` gives null for a scope that has none to be read. The conversation says its own name under `external.conversation_id`, unless that is set. */
export async function snapshotBy(readKeys: (scope: StateScope) => Promise<StateKeys<{ readonly key: string; readonly value: JsonValue }> | null>, conversationId: string | null): Promise<StateSnapshot> {
  const scopes: Record<StateScope, Record<string, JsonValue>> = { conversation: {}, actor: {}, subject: {}, agent: {} };
  let bytes = 0;
  for (const scope of stateScopes) {
    const found = await readKeys(scope);
    if (found === null) continue;
    const values = new Map<string, JsonValue>(scope === 'conversation' && conversationId !== null ? [['external.conversation_id', conversationId]] : []);
    const sorted = [...found.all].sort();
    for (let first = 0; first < sorted.length; first += snapshotReadsKeys) {
      const keys = sorted.slice(first, first + snapshotReadsKeys);
      for (const { key, value } of inOrder(keys, await found.read(keys))) {
        bytes += utf8Bytes(key) + utf8Bytes(JSON.stringify(value));
        if (bytes > limits.stateSnapshotBytesMax) return { ...scopes, [scope]: Object.fromEntries(values), complete: false };
        values.set(key, value);
      }
    }
    scopes[scope] = Object.fromEntries(values);
  }
  return { ...scopes, complete: true };
}

async function itemsAt(store: Store, session: Session, seqs: readonly number[]): Promise<readonly StateItem[]> {
  if (seqs.length === 0) return [];
  const entries = (await store.state.readEntriesAt(session, seqs)) as readonly EntryOf<'state-changed'>[];
  return entries.flatMap((entry) => itemOf(entry, store.nowMs()) ?? []);
}
