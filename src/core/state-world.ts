import type { EntryOf } from './entry.ts';
import { invariant, isRefusal, refuse, type Refusal } from './errors.ts';
import type { JsonValue } from './json.ts';
import { limits } from './limits.ts';
import { itemOf, refuseStateValue, type StateItem, type StateProvenance, type StateWrite } from './state.ts';

/** What a change of state is made of, as it is under its locks. */
export interface LoadedState {
  /** The last visible entry of each key that was asked for; of all keys where they are to be cleared. */
  readonly conversation: ReadonlyMap<string, EntryOf<'state-changed'>>;
  /** Keys in the visible history that have a value; where nothing that is written can add one, at least those that are written. */
  readonly conversationKeys: number;
  /** Scopes beside sessions, by their text. */
  readonly scopes: ReadonlyMap<string, LoadedScope>;
}

export interface LoadedScope {
  /** Versions up to it have been used. */
  readonly lastVersion: number;
  /** Keys that have a value; expired ones are not there. */
  readonly keys: number;
  /** Of the keys that were asked for. */
  readonly items: ReadonlyMap<string, StateItem>;
}

/** What becomes of the rows of one scope. */
export interface ScopeChange {
  readonly scopeText: string;
  readonly lastVersion: number;
  readonly clears: boolean;
  readonly puts: readonly StateItem[];
  readonly removes: readonly string[];
}

/** A key of the conversation that is to be written: its new value, or null for none. `version` is given by its entry. */
export interface ConversationEffect {
  readonly key: string;
  readonly item: StateItem | null;
  readonly provenance: Omit<StateProvenance, 'atMs'>;
}

interface Held {
  lastVersion: number;
  keys: number;
  clears: boolean;
  readonly items: Map<string, StateItem | null>;
  /** Keys that were written, and by whom last. */
  readonly changed: Map<string, Omit<StateProvenance, 'atMs'>>;
}

/** The version of a value whose entry has no seq yet: no condition fits it. */
const unwritten = -1;

/** State as it is being changed. Knows nothing of who may change it. */
export class StateWorld {
  readonly #nowMs: number;
  readonly #scopes: Map<string, Held>;

  private constructor(scopes: Map<string, Held>, nowMs: number) {
    this.#scopes = scopes;
    this.#nowMs = nowMs;
  }

  static of({ conversation, conversationKeys, scopes }: LoadedState, nowMs: number): StateWorld {
    const items = new Map([...conversation].map(([key, entry]) => [key, itemOf(entry, nowMs)]));
    // A value whose time is over is not there, and its key is counted until it is written again.
    const expired = [...conversation].filter(([key, { deleted }]) => deleted !== true && items.get(key) === null).length;
    const held = [['', { lastVersion: 0, keys: conversationKeys - expired, clears: false, items, changed: new Map() }] as const];
    return new StateWorld(new Map<string, Held>([
      ...held,
      ...[...scopes].map(([text, scope]) => [text, { ...scope, items: new Map<string, StateItem | null>(scope.items), clears: false, changed: new Map() }] as const),
    ]), nowMs);
  }

  /** One that is changed by itself: what is tried in it is not in this one. */
  clone(): StateWorld {
    return new StateWorld(new Map([...this.#scopes].map(([text, held]) => [text, { ...held, items: new Map(held.items), changed: new Map(held.changed) }])), this.#nowMs);
  }

  /** Makes all writes or says why one of them is not made; then this world is of no use any more. */
  writeAll(writes: readonly StateWrite[], provenance: Omit<StateProvenance, 'atMs'>): Refusal | null {
    for (const write of writes) {
      const result = this.write(write, provenance);
      if (isRefusal(result)) return result;
    }
    return null;
  }

  /** Makes one write. `before` is what there was, `item` what there is. Refusals: `state_version_conflict`, `state_quota`, `state_too_large`, `invalid_request`. */
  write(write: StateWrite, provenance: Omit<StateProvenance, 'atMs'>): { readonly before: StateItem | null; readonly item: StateItem | null } | Refusal {
    const held = this.#scope(write.scopeText);
    if (write.op === 'clear') {
      for (const [key, item] of held.items) if (item !== null) this.#put(held, key, null, provenance);
      held.clears = true;
      held.keys = 0;
      return { before: null, item: null };
    }
    const { key } = write;
    const before = held.items.get(key) ?? null;
    const refused = write.op === 'increment' ? null : refuseVersion(key, write.ifVersion, before);
    if (refused !== null) return refused;
    if (write.op === 'delete') {
      if (before !== null) this.#put(held, key, null, provenance);
      return { before, item: null };
    }
    // A value is whatever its owner likes: it is never looked at for a refusal.
    const made = write.op === 'set' ? { value: write.value } : sumOf(before, write.by, key);
    if ('refused' in made) return made;
    const { value } = made;
    const wrong = refuseStateValue(value);
    if (wrong !== null) return wrong;
    if (before === null && held.keys >= limits.stateKeysMax) return refuse('state_quota', `the scope has ${limits.stateKeysMax} keys, the most it may have; delete one first`, { max: limits.stateKeysMax });
    const expiresAtMs = write.op === 'increment' ? (before?.expiresAtMs ?? null) : write.ttlMs === undefined ? null : this.#nowMs + write.ttlMs;
    const item: StateItem = { key, value, version: write.scopeText === '' ? unwritten : held.lastVersion + 1, expiresAtMs, provenance: { ...provenance, atMs: this.#nowMs } };
    if (write.scopeText !== '') held.lastVersion += 1;
    this.#put(held, key, item, provenance);
    return { before, item };
  }

  /** Keys of the conversation that have been written since this was asked last; their entries are to be appended. */
  takeConversation(): readonly ConversationEffect[] {
    const held = this.#scope('');
    const effects = [...held.changed].map(([key, provenance]) => ({ key, item: held.items.get(key) ?? null, provenance }));
    held.changed.clear();
    return effects;
  }

  /** What becomes of the rows of scopes beside sessions. */
  changes(): readonly ScopeChange[] {
    return [...this.#scopes].filter(([text, held]) => text !== '' && (held.clears || held.changed.size > 0)).map(([text, held]) => {
      const changed = [...held.changed.keys()].map((key) => [key, held.items.get(key) ?? null] as const);
      return { scopeText: text, lastVersion: held.lastVersion, clears: held.clears, puts: changed.flatMap(([, item]) => (item === null ? [] : [item])), removes: changed.filter(([, item]) => item === null).map(([key]) => key) };
    });
  }

  #put(held: Held, key: string, item: StateItem | null, provenance: Omit<StateProvenance, 'atMs'>): void {
    const before = held.items.get(key) ?? null;
    held.keys += (item === null ? 0 : 1) - (before === null ? 0 : 1);
    held.items.set(key, item);
    held.changed.set(key, provenance);
  }

  #scope(text: string): Held {
    const held = this.#scopes.get(text);
    invariant(held !== undefined, `the scope ${text} is read before it is written`);
    return held;
  }
}

function refuseVersion(key: string, ifVersion: number | undefined, before: StateItem | null): Refusal | null {
  const actual = before?.version ?? 0;
  if (ifVersion === undefined || ifVersion === actual) return null;
  const is = before === null ? 'is not there' : actual === unwritten ? 'has just been written' : `has version ${actual}`;
  return refuse('state_version_conflict', `the value ${is}, not version ${ifVersion}: read it again and decide anew`, { key, expected: ifVersion, actual: Math.max(0, actual) });
}

function sumOf(before: StateItem | null, by: number, key: string): { readonly value: JsonValue } | Refusal {
  const value = before === null ? 0 : before.value;
  if (typeof value !== 'number') return refuse('invalid_request', `the value of ${JSON.stringify(key)} is no number, so nothing can be added to it`, { key });
  const sum = value + by;
  return Number.isFinite(sum) ? { value: sum } : refuse('invalid_request', 'the sum is larger than a number can be', { key });
}
