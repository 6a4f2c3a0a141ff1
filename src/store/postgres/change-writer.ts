import { contentOf } from '../../core/entry-format.ts';
import type { Change, NewEntry } from '../../core/draft.ts';
import type { Entry, EntryKind } from '../../core/entry.ts';
import { invariant } from '../../core/errors.ts';
import { markOf } from '../../core/history.ts';
import type { JsonValue } from '../../core/json.ts';
import { isLive, operationDueAtMs, type Operation } from '../../core/operation.ts';
import { cancelled } from '../../core/operation-transitions.ts';
import type { Session } from '../../core/session.ts';
import { counterChanges, daysOf, entryCounts } from '../../core/usage.ts';
import type { Idempotency } from '../store.ts';
import type { Dialect } from './dialect.ts';
import type { Statement } from './open-database.ts';
import { changingValues } from './session-rows.ts';
import { countPart, countText, groupCountText, importedCountPart, keepingStatements, moveKeptText, type CountPart } from './usage-rows.ts';

/** A reply to keep under a key, with the commit. */
export interface ReplyToKeep {
  readonly key: Idempotency;
  readonly reply: JsonValue;
  /** '' for keys that are the tenant's. */
  readonly sessionId: string;
  readonly createdSessionId?: string | null;
}

/** What one commit writes. */
export interface Write<Reply> {
  /** The commit that the change is made from; null: of a session that is new. */
  readonly from: string | null;
  /** The session that a new one is a copy of, as it was read; absent: it is none. */
  readonly origin?: Session | null;
  readonly commitId: string;
  readonly change: Change<Reply>;
  /** The change's entries as they stand in the log. */
  readonly entries: readonly Entry[];
  readonly replies: readonly ReplyToKeep[];
}

/** A part of what a commit writes besides the session's row: rows to insert, or what belongs to the session and goes. */
type Part =
  | { readonly kind: 'insert'; readonly name: string; readonly table: string; readonly columns: string; readonly types: readonly string[]; readonly rows: readonly (readonly unknown[])[]; readonly conflict?: string; readonly isTenants?: true }
  | { readonly kind: 'drop'; readonly name: string; readonly table: string; readonly column?: string; readonly type?: string; readonly of?: readonly (string | number)[]; readonly isTenants?: true }
  | CountPart;

type Bind = (value: unknown, type: string) => string;

const changingColumns = ['owner', 'title_lower_case', 'status', 'archived', 'active_at_ms', 'due_at_ms', 'worker', 'fence', 'attempt_id', 'body'] as const;

/** Puts together the statements that write a change. */
export class ChangeWriter {
  readonly #schema: string;
  readonly #dialect: Dialect;
  readonly #outboxKinds: ReadonlySet<EntryKind>;
  /** Texts by the parts that they are made of. */
  readonly #texts = new Map<string, string>();

  constructor(schema: string, dialect: Dialect, outboxKinds: readonly EntryKind[]) {
    this.#schema = schema;
    this.#dialect = dialect;
    this.#outboxKinds = new Set(outboxKinds);
  }

  /**
   * The statements of a write, the first of which returns a row `held` if the session's row was what the change is made from. Where it was not, none of them changes anything. More than one are to be run in one
   * transaction.
   */
  statements<Reply>(write: Write<Reply>): readonly Statement[] {
    if (write.change.deletesSession) return this.#deletion(write);
    const parts = this.#parts(write);
    // The parts of one statement all see what was there before it: of the same table, none may need what another one does, nor an import what the deletion that it waited for has kept.
    const isOne = this.#dialect.commit === 'statement' && write.change.branches === undefined && write.change.imported !== true && !(write.change.dropsOutcomes && (write.change.outcomes?.length ?? 0) > 0);
    return isOne ? [this.#oneStatement(write, parts)] : this.#manyStatements(write, parts);
  }

  /** Whether there is anything to write. */
  isEmpty<Reply>(before: Session, { change, replies }: Pick<Write<Reply>, 'change' | 'replies'>): boolean {
    const { session, entries, dropsChunks, dropsOutcomes, outcomes = [], operations = [], cancels = [], deletesSession } = change;
    return session === before && !dropsChunks && !dropsOutcomes && !deletesSession && [entries, outcomes, operations, cancels, replies].every(({ length }) => length === 0);
  }

  /** Whether a write can be one of a group's. */
  joins<Reply>({ from, change: { deletesSession, dropsOutcomes, outcomes = [], branches } }: Write<Reply>): boolean {
    return this.#dialect.commit === 'statement' && this.#dialect.skipLocked && from !== null && !deletesSession && branches === undefined && !(dropsOutcomes && outcomes.length > 0);
  }

  /** The writes of different sessions of one tenant as one statement. It returns the ids of those that landed; the others changed nothing: their row has moved, or somebody has it locked. */
  group(writes: readonly Write<unknown>[]): Statement {
    const tenant = writes[0]?.change.session.tenant;
    const values: unknown[] = [tenant];
    const bind: Bind = (value, type) => `$${values.push(value)}::${type}`;
    const sorted = writes.toSorted((left, right) => (left.change.session.id < right.change.session.id ? -1 : 1));
    const rows = sorted.map(({ from, commitId, change: { session } }) => [session.id, from, commitId, ...changingValues(session)]);
    const arrays = ['text', 'text', 'text', ...changingTypes].map((type, place) => bind(rows.map((row) => row[place]), `${type}[]`));
    const parts = mergedParts(sorted.map((write) => ({ id: write.change.session.id, parts: this.#parts(write) })));
    const others = parts.map((part) => `, ${part.name} AS (${part.kind === 'count' ? groupCountText(this.#schema, part, bind) : part.kind === 'drop'
      ? `DELETE FROM ${this.#schema}.${part.table} WHERE tenant = $1 AND session_id = ANY(${bind(part.ids, 'text[]')}) AND session_id IN (SELECT id FROM held)`
      : `INSERT INTO ${this.#schema}.${part.table} (tenant, session_id, ${part.columns}) SELECT $1, given.* FROM unnest(${['text', ...part.types].map((type, place) => bind(part.rows.map((row) => row[place]), `${type}[]`)).join(', ')})
          AS given (session_id, ${part.columns}) WHERE given.session_id IN (SELECT id FROM held) ${part.conflict ?? ''}`})`);
    return this.#named(['group', ...parts.map(({ name }) => name)], () =>
      `WITH given AS (SELECT * FROM unnest(${arrays.join(', ')}) AS given (id, from_commit, commit_id, ${changingColumns.join(', ')})),
        free AS (SELECT id FROM ${this.#schema}.session WHERE tenant = $1 AND id = ANY(${arrays[0]}) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED),
        held AS (UPDATE ${this.#schema}.session SET commit_id = given.commit_id, ${changingColumns.map((column) => `${column} = given.${column}`).join(', ')}
          FROM given WHERE session.tenant = $1 AND session.id = given.id AND session.commit_id = given.from_commit AND session.id IN (SELECT id FROM free) RETURNING session.id)
        ${others.join('')} SELECT id FROM held`, values);
  }

  #oneStatement<Reply>(write: Write<Reply>, parts: readonly Part[]): Statement {
    const values: unknown[] = [];
    const bind: Bind = (value, type) => `$${values.push(value)}::${type}`;
    const row = this.#row(write, bind);
    const others = parts.map((part) => `, ${part.name} AS (${this.#partText(part, bind, 'held')})`);
    return this.#named([write.from !== null ? 'change' : write.origin ? 'create_copy' : write.change.imported === true ? 'import' : 'create', ...parts.map(({ name }) => name)], () => `WITH held AS (${row} RETURNING tenant, id)${others.join('')} SELECT 1 AS held FROM held`, values);
  }

  #manyStatements<Reply>(write: Write<Reply>, parts: readonly Part[]): readonly Statement[] {
    const { session: { tenant, id }, imported } = write.change;
    const held = `(SELECT tenant, id FROM ${this.#schema}.session WHERE tenant = $1 AND id = $2 AND commit_id = $3) AS held`;
    return [this.#oneStatement(write, []), ...parts.map((part) => {
      const values: unknown[] = [tenant, id, write.commitId];
      const text = this.#partText(part, (value, type) => `$${values.push(value)}::${type}`, held);
      return this.#named(['part', part.name], () => text, values);
    }), ...(imported === true ? [this.#named(['part', 'kept_moved'], () => moveKeptText(this.#schema, held), [tenant, id, write.commitId])] : [])];
  }

  /** `held` has the session's tenant and id if the commit is made from what the row is, and nothing otherwise: so each part guards itself, and none lands alone. */
  #partText(part: Part, bind: Bind, held: string): string {
    if (part.kind === 'count') return countText(this.#schema, part, bind, held);
    if (part.kind === 'drop') {
      const only = part.column === undefined ? '' : ` AND ${part.column} = ANY(${bind(part.of, `${part.type ?? 'text'}[]`)})`;
      return `DELETE FROM ${this.#schema}.${part.table} WHERE tenant = $1${part.isTenants === true ? '' : ' AND session_id = $2'}${only} AND EXISTS (SELECT 1 FROM ${held})`;
    }
    const arrays = part.types.map((type, place) => bind(part.rows.map((row) => row[place]), `${type}[]`));
    return `INSERT INTO ${this.#schema}.${part.table} (tenant, session_id, ${part.columns}) SELECT held.tenant, ${part.isTenants === true ? "''" : 'held.id'}, given.* FROM ${held}, unnest(${arrays.join(', ')}) AS given ${part.conflict ?? ''}`;
  }

  #named(parts: readonly string[], text: () => string, values: readonly unknown[]): Statement {
    const name = parts.join('_');
    let known = this.#texts.get(name);
    if (known === undefined) this.#texts.set(name, known = text());
    return { name: shortName(name), text: known, values };
  }

  #row<Reply>({ from, origin, commitId, change: { session, imported } }: Write<Reply>, bind: Bind): string {
    const { tenant, id, agent, externalId } = session;
    const keys = [bind(tenant, 'text'), bind(id, 'text'), bind(commitId, 'text')] as const;
    const values = changingValues(session).map((value, place) => bind(value, changingTypes[place] ?? 'text'));
    if (from !== null) {
      return `UPDATE ${this.#schema}.session SET commit_id = ${keys[2]}, ${changingColumns.map((column, place) => `${column} = ${values[place]}`).join(', ')}
        WHERE tenant = ${keys[0]} AND id = ${keys[1]} AND commit_id = ${bind(from, 'text')}`;
    }
    const columns = `tenant, id, commit_id, ${changingColumns.join(', ')}, agent, external_id`;
    const row = [...keys, ...values, bind(agent, 'text'), bind(externalId, 'text')].join(', ');
    // A deletion of the session that is under way is waited for, and what it has kept is seen: also in a transaction that sees what was there at its beginning, which fails and is begun anew.
    if (imported === true) return `INSERT INTO ${this.#schema}.session (${columns}) SELECT ${row} WHERE NOT EXISTS (SELECT 1 FROM (SELECT 1 FROM ${this.#schema}.session WHERE tenant = ${keys[0]} AND id = ${keys[1]} FOR SHARE) AS same)`;
    if (!origin) return `INSERT INTO ${this.#schema}.session (${columns}) VALUES (${row})`;
    // A redaction changes the origin's row: one that is under way is waited for, and one that comes later waits.
    return `INSERT INTO ${this.#schema}.session (${columns}) SELECT ${row} FROM ${this.#schema}.session AS origin
      WHERE origin.tenant = ${bind(origin.tenant, 'text')} AND origin.id = ${bind(origin.id, 'text')} AND coalesce((origin.body::json ->> 'redactions')::bigint, 0) = ${bind(origin.redactions, 'bigint')} FOR SHARE`;
  }

  #parts<Reply>({ commitId, change, entries, replies }: Write<Reply>): readonly Part[] {
    const { outcomes = [], operations = [], cancels = [], session } = change;
    const restored = change.branches?.restored ?? [];
    // What a fork copies, or an import brings, happened in its origin, and was told of then.
    const events = change.imported === true ? [] : entries.filter(({ kind, copied }) => this.#outboxKinds.has(kind) && copied !== true);
    const begun = operations.map((operation) => (cancels.includes(operation.id) ? cancelled(operation, session.updatedAtMs) : operation));
    const all: readonly Part[] = [
      // The first entry of a commit names it: there it is looked for when nobody knows whether it landed.
      { kind: 'insert', name: 'entries', table: 'entry', columns: 'seq, commit_id, mark, body', types: ['bigint', 'text', 'text', 'text'], rows: entries.map((entry, place) => [entry.seq, place === 0 ? commitId : '', markOf(entry), JSON.stringify(entry)]) },
      { kind: 'insert', name: 'branches', table: 'branch', columns: 'id, body', types: ['text', 'text'], rows: (change.branches?.filed ?? []).map((branch) => [branch.id, JSON.stringify(branch)]) },
      ...(restored.length === 0 ? [] : [{ kind: 'drop', name: 'restored', table: 'branch', column: 'id', of: restored } as const]),
      ...(change.dropsChunks ? [{ kind: 'drop', name: 'chunks', table: 'chunk' } as const] : []),
      // Outcomes that are dropped are those of a step that is answered; those that are kept are of another.
      ...(change.dropsOutcomes ? [{ kind: 'drop', name: 'answered', table: 'outcome' } as const] : []),
      {
        kind: 'insert', name: 'outcomes', table: 'outcome', columns: 'step_seq, call_index, body', types: ['bigint', 'integer', 'text'], conflict: 'ON CONFLICT DO NOTHING',
        rows: outcomes.map(({ stepSeq, result }) => [stepSeq, result.index, JSON.stringify(result)]),
      },
      {
        kind: 'insert', name: 'operations', table: 'operation', columns: `id, owner, agent, created_at_ms, commit_id, ${operationColumns.join(', ')}`, types: ['text', 'text', 'text', 'bigint', 'text', ...operationTypes],
        rows: begun.map((operation) => [operation.id, operation.owner, operation.agent, operation.createdAtMs, commitId, ...operationValues(operation)]),
      },
      // A key that is there already makes the whole commit fail. Keys of the session itself, and the tenant's.
      { kind: 'insert', name: 'replies', table: 'idempotency', columns: replyColumns, types: replyTypes, rows: replies.filter(({ sessionId }) => sessionId !== '').map(replyValues) },
      { kind: 'insert', name: 'creations', table: 'idempotency', columns: replyColumns, types: replyTypes, rows: replies.filter(({ sessionId }) => sessionId === '').map(replyValues), isTenants: true },
      { kind: 'insert', name: 'events', table: 'outbox', columns: 'seq, kind, at_ms', types: ['bigint', 'text', 'bigint'], rows: events.map(({ seq, kind, atMs }) => [seq, kind, atMs]) },
      // After the session's row, so that whoever waits for a counter has nothing that its holder waits for.
      change.imported === true ? importedCountPart(session, entries) : countPart(session, entries),
      // They are in the log again.
      ...(change.imported === true ? [{ kind: 'drop', name: 'kept_usage', table: 'usage_kept', column: 'seq', type: 'bigint', of: entryCounts(session, entries).map(({ seq }) => seq) } as const] : []),
      // Summed without what an import brings of those days.
      ...(change.imported === true ? [{ kind: 'drop', name: 'stale_totals', table: 'usage_total', column: 'day', type: 'integer', of: daysOf(counterChanges(session, entries)), isTenants: true } as const] : []),
    ];
    return all.filter((part) => part.kind === 'drop' || part.rows.length > 0);
  }

  /** Everything that is the session's, the session last; its row is locked. */
  #deletion<Reply>({ change: { session, entries }, replies }: Write<Reply>): readonly Statement[] {
    const { tenant, id } = session;
    const tables = ['entry', 'chunk', 'outcome', 'operation', 'whole_result', 'branch', 'idempotency', 'outbox'];
    const removal = (table: string, column: string): Statement => ({ name: `delete_${table}`, text: `DELETE FROM ${this.#schema}.${table} WHERE tenant = $1 AND ${column} = $2`, values: [tenant, id] });
    return [
      { text: 'SELECT 1 AS held' },
      ...keepingStatements(this.#schema, session, entries),
      ...tables.map((table) => removal(table, 'session_id')),
      ...replies.map(({ key, reply }): Statement => ({
        name: 'keep_deletion',
        text: `INSERT INTO ${this.#schema}.idempotency (tenant, session_id, scope, fingerprint, http_status, reply, expires_at_ms) VALUES ($1, '', $2, $3, $4, $5, $6)
          ON CONFLICT (tenant, session_id, scope) DO UPDATE SET fingerprint = excluded.fingerprint, http_status = excluded.http_status, reply = excluded.reply, expires_at_ms = excluded.expires_at_ms`,
        values: [tenant, key.scope, key.fingerprint, key.httpStatus, JSON.stringify(reply), key.expiresAtMs],
      })),
      removal('session', 'id'),
    ];
  }
}

const changingTypes = ['text', 'text', 'text', 'boolean', 'bigint', 'bigint', 'text', 'bigint', 'text', 'text'] as const;

const replyColumns = 'scope, fingerprint, http_status, reply, expires_at_ms, created_session_id';
const replyTypes = ['text', 'text', 'integer', 'text', 'bigint', 'text'] as const;

function replyValues({ key, reply, createdSessionId = null }: ReplyToKeep): readonly unknown[] {
  return [key.scope, key.fingerprint, key.httpStatus, JSON.stringify(reply), key.expiresAtMs, createdSessionId];
}

/** The parts of several writes, those of the same name as one: rows with the session's id before them, and the sessions of which something goes. */
function mergedParts(writes: readonly { readonly id: string; readonly parts: readonly Part[] }[]): readonly (Part & { readonly ids: readonly string[] })[] {
  const merged = new Map<string, Part & { readonly ids: readonly string[] }>();
  for (const { id, parts } of writes) {
    for (const part of parts) {
      const before = merged.get(part.name);
      const ids = [...(before?.ids ?? []), id];
      if (part.kind === 'drop') merged.set(part.name, { ...part, ids });
      else merged.set(part.name, { ...part, ids, rows: [...(before !== undefined && before.kind !== 'drop' ? before.rows : []), ...part.rows.map((row) => [id, ...row])] });
    }
  }
  // One order of parts for one name of the statement.
  return [...merged.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
}

const operationColumns = ['status', 'worker', 'fence', 'due_at_ms', 'live_key', 'body'] as const;
const operationTypes = ['text', 'text', 'bigint', 'bigint', 'text', 'text'] as const;

/** The columns of an operation's row that change with it, in the order of the statement `updateOperation`. */
export function operationValues(operation: Operation): readonly (string | number | null)[] {
  const { status, worker, fence, key } = operation;
  return [status, worker, fence, operationDueAtMs(operation), isLive(operation) ? key : null, JSON.stringify(operation)];
}

/** Entries as they stand in the log: those with `contentFrom` with the content of the entry named there, which may be an earlier one of the same commit. */
export function wholeEntries(entries: readonly NewEntry[], contents: readonly Entry[]): readonly Entry[] {
  const known = new Map(contents.map((entry) => [entry.seq, entry]));
  return entries.map(({ contentFrom, ...entry }) => {
    const content = contentFrom === undefined ? undefined : known.get(contentFrom);
    invariant(contentFrom === undefined || content !== undefined, `entry ${contentFrom} holds the content of another`);
    const whole = { ...entry, ...(content === undefined ? {} : contentOf(content)) } as Entry;
    known.set(whole.seq, whole);
    return whole;
  });
}

/** Of names as long as the parts of a write, what fits into Postgres's 63 characters with a prefix. */
function shortName(name: string): string {
  return name.replaceAll(/[a-z]+/g, (word) => word.slice(0, 4));
}
