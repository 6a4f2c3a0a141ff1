import type { CallResult, EntryOf } from '../../core/entry.ts';
import { isRefusal } from '../../core/errors.ts';
import type { JsonValue } from '../../core/json.ts';
import type { Session } from '../../core/session.ts';
import type { StateItem, StateWrite } from '../../core/state.ts';
import { addsNone, askedBy, stateRanges, visibleState, type VisibleState } from '../../core/state-reading.ts';
import type { LoadedScope, LoadedState, ScopeChange } from '../../core/state-world.ts';
import { scopeKeyOf, scopePage, type ScopePage, type ScopeRef, type StateChangeRequest, type StateChangeResult, type StateStore } from '../state-store.ts';
import type { SessionRef } from '../store.ts';
import type { SessionRows } from './session-rows.ts';
import type { PreparedStatements } from './statements.ts';
import type { StoredReplies } from './stored-replies.ts';

/** Reading and writing state, inside whatever transaction is open. */
export class StateRows {
  readonly #statements: PreparedStatements;
  readonly #sessions: SessionRows;

  constructor(statements: PreparedStatements, sessions: SessionRows) {
    this.#statements = statements;
    this.#sessions = sessions;
  }

  /** What writes look at: those that were asked for, and those of stored outcomes. undefined: there are none. */
  loadFor(session: Session, asked: readonly StateWrite[], outcomes: readonly CallResult[], nowMs: number): LoadedState | undefined {
    const writes = [...asked, ...outcomes.flatMap(({ stateWrites }) => stateWrites?.writes ?? [])];
    return writes.length === 0 ? undefined : this.load(session, session.tenant, writes, nowMs);
  }

  load(session: Session | null, tenant: string, writes: readonly StateWrite[], nowMs: number): LoadedState {
    const asked = askedBy(writes);
    const scopes = [...asked].filter(([text]) => text !== '').map(([text, keys]) => [text, this.#scope({ tenant, scopeText: text }, keys, nowMs)] as const);
    const keys = asked.get('');
    if (session === null || keys === undefined) return { conversation: new Map(), conversationKeys: 0, scopes: new Map(scopes) };
    const visible = this.#visible(session, keys);
    const entries = this.#sessions.entriesAt(session, [...visible.values()].filter(({ isSet }) => isSet || keys !== null).map(({ seq }) => seq)) as EntryOf<'state-changed'>[];
    const all = keys === null || addsNone(keys, visible) ? visible : this.#visible(session, null);
    return { conversation: new Map(entries.map((entry) => [entry.key, entry])), conversationKeys: [...all.values()].filter(({ isSet }) => isSet).length, scopes: new Map(scopes) };
  }

  #visible(session: Session, keys: ReadonlySet<string> | null): VisibleState {
    return visibleState(this.#sessions.lastMarks(session, stateRanges(keys)), session.visible);
  }

  #scope(scope: ScopeRef, keys: ReadonlySet<string> | null, nowMs: number): LoadedScope {
    const scopeKey = scopeKeyOf(scope.scopeText);
    const row = this.#statements.get('stateScope').get(scope.tenant, scopeKey) as { last_version: number } | undefined;
    const all = this.keys(scope, nowMs);
    const items = this.items(scope, keys === null ? all : [...keys], nowMs);
    return { lastVersion: row?.last_version ?? 0, keys: all.length, items: new Map(items.map((item) => [item.key, item])) };
  }

  scopes({ tenant, limit, after = '' }: Parameters<StateStore['listScopes']>[0]): ScopePage {
    return scopePage(this.#statements.get('stateScopes').all(tenant, after, limit + 1) as Parameters<typeof scopePage>[0], limit);
  }

  keys({ tenant, scopeText }: ScopeRef, nowMs: number): readonly string[] {
    return (this.#statements.get('stateKeys').all(tenant, scopeKeyOf(scopeText), nowMs) as { key: string }[]).map(({ key }) => key);
  }

  items({ tenant, scopeText }: ScopeRef, keys: readonly string[], nowMs: number): readonly StateItem[] {
    return (this.#statements.get('stateItems').all(tenant, scopeKeyOf(scopeText), nowMs, JSON.stringify(keys)) as StateRow[]).map(readItem);
  }

  /** Drops values that have expired, at most so many; returns how many. */
  sweep(nowMs: number, limit: number): number {
    return this.#statements.get('sweepState').run(nowMs, limit).changes;
  }

  write(tenant: string, changes: readonly ScopeChange[], nowMs: number): void {
    for (const { scopeText, lastVersion, clears, puts, removes } of changes) {
      const scopeKey = scopeKeyOf(scopeText);
      this.#statements.get('putStateScope').run(tenant, scopeKey, scopeText, lastVersion);
      // What has expired goes with the next write, so that a scope never has more rows than keys that it may have.
      this.#statements.get('deleteExpiredState').run(tenant, scopeKey, nowMs);
      if (clears) this.#statements.get('clearState').run(tenant, scopeKey);
      for (const key of removes) this.#statements.get('deleteState').run(tenant, scopeKey, key);
      for (const { key, value, version, expiresAtMs, provenance } of puts) {
        this.#statements.get('putState').run(tenant, scopeKey, key, version, JSON.stringify(value), JSON.stringify(provenance), expiresAtMs);
      }
    }
  }
}

export interface SqliteStateOptions {
  readonly rows: StateRows;
  readonly sessions: SessionRows;
  readonly replies: StoredReplies;
  readonly nowMs: () => number;
  /** Runs a write in the group's transaction. */
  readonly run: <Result>(write: () => Result) => Promise<Result>;
  readonly whenFree: <Result>(read: () => Result) => Promise<Result>;
}

/** The part of the port that is about state, on SQLite. */
export function sqliteState({ rows, sessions, replies, nowMs, run, whenFree }: SqliteStateOptions): StateStore {
  return {
    readMarks: (ref, range) => whenFree(() => sessions.marks(ref, range)),
    readLastMarks: (session, ranges) => whenFree(() => sessions.lastMarks(session, ranges)),
    readEntriesAt: (ref: SessionRef, seqs) => whenFree(() => sessions.entriesAt(ref, seqs)),
    listScopes: (page) => whenFree(() => rows.scopes(page)),
    readKeys: (scope) => whenFree(() => rows.keys(scope, nowMs())),
    readItems: (scope, keys) => whenFree(() => rows.items(scope, keys, nowMs())),
    changeIfCurrent: <Reply extends JsonValue>({ tenant, writes, idempotency = [], transition }: StateChangeRequest<Reply>) => run((): StateChangeResult<Reply> => {
      const ref = { tenant, id: '' };
      const replayed = replies.find(ref, idempotency);
      if (replayed !== null) return replayed;
      const change = transition(rows.load(null, tenant, writes, nowMs()));
      if (isRefusal(change)) return { kind: 'refused', refusal: change };
      rows.write(tenant, change.rows, nowMs());
      replies.keep(ref, idempotency, change.reply);
      return { kind: 'committed', reply: change.reply };
    }),
  };
}

interface StateRow {
  readonly key: string;
  readonly version: number;
  readonly body: string;
  readonly provenance: string;
  readonly expires_at_ms: number | null;
}

function readItem({ key, version, body, provenance, expires_at_ms: expiresAtMs }: StateRow): StateItem {
  return { key, value: JSON.parse(body) as JsonValue, version, expiresAtMs, provenance: JSON.parse(provenance) as StateItem['provenance'] };
}
