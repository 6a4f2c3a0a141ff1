import type { EntryOf } from '../../core/entry.ts';
import { isRefusal } from '../../core/errors.ts';
import type { Mark, MarkRange } from '../../core/history.ts';
import { isVisible } from '../../core/intervals.ts';
import type { JsonValue } from '../../core/json.ts';
import type { Session } from '../../core/session.ts';
import type { StateItem, StateWrite } from '../../core/state.ts';
import { addsNone, askedBy, stateRanges, visibleState, type VisibleState } from '../../core/state-reading.ts';
import type { LoadedScope, LoadedState, ScopeChange } from '../../core/state-world.ts';
import { StoreError } from '../store-error.ts';
import { scopeKeyOf, scopePage, type StateChangeRequest, type StateChangeResult, type StateStore } from '../state-store.ts';
import type { Database, Row, Statement } from './open-database.ts';
import { isTaken, mayHaveLanded } from './postgres-errors.ts';
import { entryOf, marksOf } from './session-rows.ts';
import type { Statements } from './statements.ts';
import { replayOf, type KeptReply } from './stored-replies.ts';

interface Reading {
  readonly statements: Statements;
  readonly nowMs: number;
  /** In the transaction that makes the change. */
  readonly send: (statement: Statement) => Promise<readonly Row[]>;
}

/** What writes look at, the scopes beside sessions locked, always in one order. The session is locked already. */
export async function loadState(session: Session | null, tenant: string, writes: readonly StateWrite[], reading: Reading): Promise<LoadedState> {
  const asked = askedBy(writes);
  const scopes = new Map<string, LoadedScope>();
  for (const scopeText of [...asked.keys()].filter((text) => text !== '').sort()) scopes.set(scopeText, await lockScope(tenant, scopeText, asked.get(scopeText) ?? null, reading));
  const keys = asked.get('');
  if (session === null || keys === undefined) return { conversation: new Map(), conversationKeys: 0, scopes };
  const { statements, send } = reading;
  const stateOf = async (of: ReadonlySet<string> | null): Promise<VisibleState> => visibleState(await lastMarks(session, stateRanges(of), reading), session.visible);
  const visible = await stateOf(keys);
  const seqs = [...visible.values()].filter(({ isSet }) => isSet || keys !== null).map(({ seq }) => seq);
  const entries = seqs.length === 0 ? [] : ((await send(statements.get('contents', tenant, session.id, seqs))).map(entryOf) as EntryOf<'state-changed'>[]);
  const all = keys === null || addsNone(keys, visible) ? visible : await stateOf(null);
  return { conversation: new Map(entries.map((entry) => [entry.key, entry])), conversationKeys: [...all.values()].filter(({ isSet }) => isSet).length, scopes };
}

/** Of each mark in these ranges the last one that is visible. */
async function lastMarks({ tenant, id, visible }: Session, ranges: readonly MarkRange[], { statements, send }: Pick<Reading, 'statements' | 'send'>): Promise<readonly Mark[]> {
  const last = marksOf(await send(statements.get('lastMarks', tenant, id, ranges.map(({ from }) => from), ranges.map(({ before }) => before))));
  const left = last.filter(({ seq }) => !isVisible(visible, seq));
  const within = left.length === 0 ? [] : await send(statements.get('lastMarksWithin', tenant, id, left.map(({ mark }) => mark), visible.map(({ fromSeq }) => fromSeq), visible.map(({ toSeq }) => toSeq ?? Number.MAX_SAFE_INTEGER)));
  const found = new Map(last.flatMap(({ mark, seq }) => (isVisible(visible, seq) ? [[mark, seq]] : [])));
  for (const { mark, seq } of marksOf(within)) found.set(mark, Math.max(seq, found.get(mark) ?? 0));
  return [...found].map(([mark, seq]) => ({ mark, seq }));
}

/** The row is made where there is none, so that there is something to lock; what it holds is read by later statements. */
async function lockScope(tenant: string, scopeText: string, keys: ReadonlySet<string> | null, { statements, nowMs, send }: Reading): Promise<LoadedScope> {
  const scopeKey = scopeKeyOf(scopeText);
  await send(statements.get('makeStateScope', tenant, scopeKey, scopeText));
  const [row] = await send(statements.get('lockStateScope', tenant, scopeKey));
  const all = await send(statements.get('stateKeys', tenant, scopeKey, nowMs));
  const items = await send(statements.get('stateItems', tenant, scopeKey, nowMs, keys === null ? all.map(({ key }) => key) : [...keys]));
  return { lastVersion: Number(row?.['last_version'] ?? 0), keys: all.length, items: new Map(items.map(itemOfRow).map((item) => [item.key, item])) };
}

/** The statements that write what becomes of scopes, whose rows are locked. */
export function stateStatements(tenant: string, changes: readonly ScopeChange[], nowMs: number, statements: Statements): readonly Statement[] {
  return changes.flatMap(({ scopeText, lastVersion, clears, puts, removes }) => {
    const scopeKey = scopeKeyOf(scopeText);
    return [
      statements.get('setStateScope', tenant, scopeKey, lastVersion),
      // What has expired goes with the next write, so that a scope never has more rows than keys that it may have.
      statements.get('deleteState', tenant, scopeKey, removes, clears, nowMs),
      ...(puts.length === 0 ? [] : [statements.get(
        'putState', tenant, scopeKey, puts.map(({ key }) => key), puts.map(({ version }) => version), puts.map(({ value }) => JSON.stringify(value)),
        puts.map(({ provenance }) => JSON.stringify(provenance)), puts.map(({ expiresAtMs }) => expiresAtMs),
      )]),
    ];
  });
}

/** Drops values that have expired, at most so many; returns how many. */
export async function sweepState(database: Database, statements: Statements, nowMs: number, limit: number): Promise<number> {
  const rows = await database.run(statements.get('expiredState', nowMs, limit));
  // One tenant to a transaction. One that has been written again meanwhile has not expired.
  for (const [tenant, gone] of Map.groupBy(rows, (row) => row['tenant'])) {
    await database.run(statements.get('dropExpiredState', tenant, gone.map((row) => row['scope_key']), gone.map((row) => row['key']), nowMs));
  }
  return rows.length;
}

export interface PostgresStateOptions {
  readonly database: Database;
  readonly statements: Statements;
  readonly nowMs: () => number;
  /** Every verb: none after closing. */
  readonly use: <Result>(verb: () => Promise<Result>) => Promise<Result>;
}

const triesMax = 50;

/** The part of the port that is about state, on Postgres. */
export function postgresState({ database, statements, nowMs, use }: PostgresStateOptions): StateStore {
  return {
    readMarks: ({ tenant, id }, { from, before }) => use(async () => marksOf(await database.run(statements.get('marks', tenant, id, from, before)))),
    readLastMarks: (session, ranges) => use(() => lastMarks(session, ranges, { statements, send: (statement) => database.run(statement) })),
    readEntriesAt: ({ tenant, id }, seqs) => use(async () => (await database.run(statements.get('contents', tenant, id, seqs))).map(entryOf).sort((left, right) => left.seq - right.seq)),
    listScopes: ({ tenant, limit, after = '' }) => use(async () => {
      const found = await database.run(statements.get('stateScopes', tenant, after, limit + 1));
      return scopePage(found.map((row) => ({ scopeKey: String(row['scope_key']), scopeText: String(row['scope']), lastVersion: Number(row['last_version']) })), limit);
    }),
    readKeys: ({ tenant, scopeText }) => use(async () => (await database.run(statements.get('stateKeys', tenant, scopeKeyOf(scopeText), nowMs()))).map(({ key }) => String(key))),
    readItems: ({ tenant, scopeText }, keys) => use(async () => (await database.run(statements.get('stateItems', tenant, scopeKeyOf(scopeText), nowMs(), keys))).map(itemOfRow)),
    changeIfCurrent: (request) => use(() => change(request)),
  };

  async function change<Reply extends JsonValue>(request: StateChangeRequest<Reply>): Promise<StateChangeResult<Reply>> {
    for (let tries = 1; tries <= triesMax; tries += 1) {
      const result = await database.retrying((lockTries) => changeOnce(request, lockTries));
      if (result !== 'again') return result;
    }
    throw new StoreError('store_unavailable', `a key was taken by others ${triesMax} times in a row; nothing was written, try again`);
  }

  async function changeOnce<Reply extends JsonValue>({ tenant, writes, idempotency = [], transition }: StateChangeRequest<Reply>, tries: number): Promise<StateChangeResult<Reply> | 'again'> {
    let ending = false;
    try {
      return await database.transaction([], async (_rows, client): Promise<{ last: readonly Statement[] | 'rollback'; result: StateChangeResult<Reply> }> => {
        const send = (statement: Statement): Promise<readonly Row[]> => database.send(client, statement);
        const loaded = await loadState(null, tenant, writes, { statements, nowMs: nowMs(), send });
        const kept = idempotency.length === 0 ? [] : await send(statements.get('keptReplies', tenant, idempotency.map(({ scope }) => scope)));
        const replayed = replayOf(kept.map(keptReplyOf), '', idempotency);
        if (replayed !== null) return { last: 'rollback', result: replayed };
        const planned = transition(loaded);
        if (isRefusal(planned)) return { last: 'rollback', result: { kind: 'refused', refusal: planned } };
        ending = true;
        const replies = idempotency.map(({ scope, fingerprint, httpStatus, expiresAtMs }) => statements.get('keepReply', tenant, scope, fingerprint, httpStatus, JSON.stringify(planned.reply), expiresAtMs));
        return { last: [...stateStatements(tenant, planned.rows, nowMs(), statements), ...replies], result: { kind: 'committed', reply: planned.reply } };
      }, tries);
    } catch (error) {
      if (isTaken(error)) return 'again';
      if (!ending || !mayHaveLanded(error)) throw error;
      throw new StoreError('commit_unknown', 'the connection broke in a commit of state: read it before you try again, or try again with the same key', { cause: error });
    }
  }
}

function keptReplyOf(row: Row): KeptReply {
  return { sessionId: '', scope: String(row['scope']), fingerprint: String(row['fingerprint']), httpStatus: Number(row['http_status']), reply: JSON.parse(String(row['reply'])) as JsonValue };
}

function itemOfRow(row: Row): StateItem {
  const expiresAtMs = row['expires_at_ms'];
  return {
    key: String(row['key']), value: JSON.parse(String(row['body'])) as JsonValue, version: Number(row['version']), expiresAtMs: expiresAtMs === null ? null : Number(expiresAtMs),
    provenance: JSON.parse(String(row['provenance'])) as StateItem['provenance'],
  };
}
