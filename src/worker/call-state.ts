import type { Agent } from '../agent/agent.ts';
import type { ToolState, ToolStateItem } from '../agent/tool-state.ts';
import type { CallResult, Identity } from '../core/entry.ts';
import { isRefusal, refuse, RefusedError, type Refusal } from '../core/errors.ts';
import type { JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import { refuseKey, refuseScope, refuseStateValue, scopeText, type StateOperation, type StateScope, type StateWrite } from '../core/state.ts';
import { pageOf, readStateItem, readStateKeys, snapshotBy, type StateKeys, type StatePageQuery, type StatePlace } from '../store/state-reader.ts';
import type { Store } from '../store/store.ts';
import { plainJson } from './plain-json.ts';

export interface CallStateOptions {
  readonly store: Store;
  readonly agent: Agent;
  /** As of the step. */
  readonly session: Session;
  /** Why it can only be read; left out: it can be written. */
  readonly readOnly?: string;
}

interface Place {
  readonly place: StatePlace;
  readonly scopeText: string;
  /** As it is called now. */
  readonly key: string;
}

/** What a call writes is kept here until it ends; its result takes it along. */
export class CallState implements ToolState {
  readonly #options: CallStateOptions;
  readonly #writes: StateWrite[] = [];
  /** What the call has written, by scope and key; null: deleted. */
  readonly #own = new Map<string, Map<string, JsonValue | null | undefined>>();
  #actor: Promise<Identity | undefined> | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #sealed = false;

  constructor(options: CallStateOptions) {
    this.#options = options;
  }

  /** The result with what the call wrote, where it ended as `done`. What is written after that is refused. */
  async seal(result: CallResult): Promise<CallResult> {
    this.#sealed = true;
    if (result.outcome !== 'done' || this.#writes.length === 0) return result;
    const actor = await this.#actorOfTurn();
    return { ...result, stateWrites: { writes: [...this.#writes], ...(actor === undefined ? {} : { actor }) } };
  }

  get(scope: StateScope, key: string): Promise<ToolStateItem | null> {
    return this.#inTurn(async () => this.#read(await this.#place(scope, key)));
  }

  set(scope: StateScope, key: string, value: unknown, options: { readonly ifVersion?: number; readonly ttlMs?: number } = {}): Promise<void> {
    return this.#inTurn(() => this.#set(scope, key, value, options));
  }

  increment(scope: StateScope, key: string, by = 1): Promise<number> {
    return this.#inTurn(() => this.#increment(scope, key, by));
  }

  delete(scope: StateScope, key: string, options: { readonly ifVersion?: number } = {}): Promise<boolean> {
    return this.#inTurn(() => this.#delete(scope, key, options));
  }

  list(scope: StateScope, query: StatePageQuery = {}): Promise<{ readonly items: readonly ToolStateItem[]; readonly nextCursor: string | null }> {
    return this.#inTurn(async () => pageOf(await this.#keys(await this.#place(scope, null)), query));
  }

  snapshot(): Promise<Readonly<Record<StateScope, Readonly<Record<string, JsonValue>>>>> {
    return this.#inTurn(() => this.#snapshot());
  }

  /** One after the other, in the order in which the tool asks, waiting or not: each sees what those before it wrote. */
  #inTurn<Result>(verb: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(verb, verb);
    this.#last = result;
    return result;
  }

  async #set(scope: StateScope, key: string, value: unknown, { ifVersion, ttlMs }: { readonly ifVersion?: number; readonly ttlMs?: number }): Promise<void> {
    const at = await this.#place(scope, key);
    const plain = plainJson(value);
    if (!plain.valid) throw refused(refuse('state_not_json', `the value is not JSON: ${plain.problem}`));
    const wrong = refuseStateValue(plain.value) ?? refuseTtl(ttlMs);
    if (wrong !== null) throw refused(wrong);
    const condition = await this.#condition(at, ifVersion);
    this.#write(at, { op: 'set', key: at.key, value: plain.value, ...condition, ...(ttlMs === undefined ? {} : { ttlMs }) }, plain.value);
  }

  async #increment(scope: StateScope, key: string, by: number): Promise<number> {
    const at = await this.#place(scope, key);
    const before = (await this.#read(at))?.value ?? 0;
    if (typeof before !== 'number' || !Number.isFinite(before + by)) throw refused(refuse('invalid_request', `the value of ${JSON.stringify(at.key)} is no number to which ${by} can be added`));
    this.#write(at, { op: 'increment', key: at.key, by }, before + by);
    return before + by;
  }

  async #delete(scope: StateScope, key: string, { ifVersion }: { readonly ifVersion?: number }): Promise<boolean> {
    const at = await this.#place(scope, key);
    const condition = await this.#condition(at, ifVersion);
    const was = await this.#read(at);
    this.#write(at, { op: 'delete', key: at.key, ...condition }, undefined);
    return was !== null;
  }

  async #snapshot(): Promise<Readonly<Record<StateScope, Readonly<Record<string, JsonValue>>>>> {
    const { id, externalId } = this.#options.session;
    return snapshotBy(async (scope) => {
      const at = await this.#find(scope, null);
      return isRefusal(at) ? null : this.#keys(at);
    }, externalId ?? id);
  }

  /** What the store has, and the call's own writes over it. */
  async #keys({ place, scopeText: text }: Place): Promise<StateKeys<ToolStateItem>> {
    const own = this.#own.get(text) ?? new Map<string, JsonValue | null | undefined>();
    const stored = await readStateKeys(this.#options.store, place);
    const all = new Set(stored.all);
    for (const [key, value] of own) if (value === undefined) all.delete(key); else all.add(key);
    return {
      all,
      read: async (keys) => {
        const items = await stored.read(keys.filter((key) => !own.has(key)));
        const written = keys.flatMap((key) => [own.get(key)].flatMap((value) => (value === undefined ? [] : [{ key, value, version: null }])));
        return [...items.map(({ key, value, version }) => ({ key, value, version })), ...written];
      },
    };
  }

  async #read({ place, scopeText: text, key }: Place): Promise<ToolStateItem | null> {
    const own = this.#own.get(text);
    if (own?.has(key) === true) {
      const value = own.get(key);
      return value === undefined ? null : { key, value, version: null };
    }
    const item = await readStateItem(this.#options.store, place, key);
    return item === null ? null : { key, value: item.value, version: item.version };
  }

  /** What is written on a condition is looked at now, and again in the commit. A second write of the same call needs no second look where the first had it, and could have none where it had not. */
  async #condition({ place, scopeText: text, key }: Place, ifVersion: number | undefined): Promise<{ readonly ifVersion?: number }> {
    if (ifVersion === undefined) return {};
    const actual = (await readStateItem(this.#options.store, place, key))?.version ?? 0;
    if (actual !== ifVersion) throw refused(refuse('state_version_conflict', `the value has version ${actual}, not ${ifVersion}`, { key, expected: ifVersion, actual }));
    const first = this.#writes.find((write) => write.scopeText === text && 'key' in write && write.key === key);
    if (first === undefined) return { ifVersion };
    if (!('ifVersion' in first)) throw refused(refuse('invalid_request', `the call has written ${JSON.stringify(key)} without a condition already: give its first write of the key the condition`));
    return {};
  }

  #write({ scopeText: text }: Place, operation: Exclude<StateOperation, { readonly op: 'clear' }>, value: JsonValue | undefined): void {
    const { readOnly } = this.#options;
    if (readOnly !== undefined) throw refused(refuse('invalid_request', readOnly));
    if (this.#sealed) throw refused(refuse('invalid_request', 'the call has ended; what it writes now lands nowhere'));
    if (this.#writes.length >= limits.stateWritesPerCallMax) throw refused(refuse('state_quota', `one call writes at most ${limits.stateWritesPerCallMax} times`, { max: limits.stateWritesPerCallMax }));
    this.#writes.push({ ...operation, scopeText: text });
    const own = this.#own.get(text) ?? new Map<string, JsonValue | null | undefined>();
    own.set(operation.key, value);
    this.#own.set(text, own);
  }

  async #place(scope: StateScope, key: string | null): Promise<Place> {
    const found = await this.#find(scope, key);
    if (isRefusal(found)) throw refused(found);
    return found;
  }

  async #find(scope: StateScope, given: string | null): Promise<Place | Refusal> {
    const { agent, session } = this.#options;
    const key = given === null ? '' : (agent.state?.aliases.get(given) ?? given);
    const wrong = refuseScope(agent.state, scope) ?? (given === null ? null : refuseKey(key));
    if (wrong !== null) return wrong;
    if (scope === 'conversation') return { place: { kind: 'conversation', session }, scopeText: '', key };
    const actor = scope === 'actor' ? await this.#actorOfTurn() : undefined;
    const text = scopeText(scope, { agent: agent.name, owner: session.owner, actor: actor ?? { type: 'owner', id: session.owner }, subject: session.subject, binding: session.binding });
    if (text === null) return refuse('state_identity_missing', 'the session has no subject, so there is no state of one');
    return { place: { kind: 'beside', scope: { tenant: session.tenant, scopeText: text } }, scopeText: text, key };
  }

  /** Who said the message that opened the turn, where it says so. */
  #actorOfTurn(): Promise<Identity | undefined> {
    return (this.#actor ??= this.#readActor());
  }

  async #readActor(): Promise<Identity | undefined> {
    const { store, session } = this.#options;
    if (session.turn === null) return undefined;
    const [opening] = await store.readEntries(session, { afterSeq: session.turn.startedSeq - 1, limit: 1 });
    return opening?.kind === 'user-message' ? opening.actor : undefined;
  }
}

function refuseTtl(ttlMs: number | undefined): Refusal | null {
  if (ttlMs === undefined || (Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= limits.stateTtlMsMax)) return null;
  return refuse('invalid_request', `ttlMs is ${ttlMs}; it is a whole number of milliseconds from 1 to ${limits.stateTtlMsMax}`);
}

function refused(refusal: Refusal): RefusedError {
  return new RefusedError(refusal);
}
