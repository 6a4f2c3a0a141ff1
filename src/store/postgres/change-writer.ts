import { contentOf } from '../../core/entry-format.ts';
import type { Change, NewEntry } from '../../core/draft.ts';
import type { Entry, EntryKind } from '../../core/entry.ts';
import { invariant } from '../../core/errors.ts';
import type { JsonValue } from '../../core/json.ts';
import { isLive, operationDueAtMs, type Operation } from '../../core/operation.ts';
import { cancelled } from '../../core/operation-transitions.ts';
import type { Session } from '../../core/session.ts';
import type { Idempotency } from '../store.ts';
import type { Dialect } from './dialect.ts';
import type { Statement } from './open-database.ts';
import { changingValues } from './session-rows.ts';

/** A reply to keep under a key, with the commit. */
export interface ReplyToKeep {
  readonly key: Idempotency;
  readonly reply: JsonValue;
  /** '' for keys that are the tenant's. */
  readonly sessionId: string;
  readonly createdSessionId?: string;
}

/** What one commit writes. */
export interface Write<Reply> {
  /** The commit that the change is made from; null: of a session that is new. */
  readonly from: string | null;
  readonly commitId: string;
  readonly change: Change<Reply>;
  /** The change's entries as they stand in the log. */
  readonly entries: readonly Entry[];
  readonly replies: readonly ReplyToKeep[];
}

/**
 * A part of what a commit writes besides the session's row. `held` has the session's tenant and id if the commit is made from what the row is, and nothing otherwise: so each part guards itself, and none lands
 * alone. `bind` adds a value.
 */
interface Part {
  readonly name: string;
  readonly sql: (bind: (value: unknown, type: string) => string, held: string) => string;
}

const changingColumns = ['title_lower_case', 'status', 'archived', 'active_at_ms', 'due_at_ms', 'worker', 'fence', 'attempt_id', 'body'] as const;

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
    // The parts of one statement all see what was there before it: of the same table, none may need what another one does.
    const isOne = this.#dialect.commit === 'statement' && !(write.change.dropsOutcomes && (write.change.outcomes?.length ?? 0) > 0);
    return isOne ? [this.#oneStatement(write, parts)] : this.#manyStatements(write, parts);
  }

  /** Whether there is anything to write. */
  isEmpty<Reply>(before: Session, { change, replies }: Pick<Write<Reply>, 'change' | 'replies'>): boolean {
    const { session, entries, dropsChunks, dropsOutcomes, outcomes = [], operations = [], cancels = [], deletesSession } = change;
    return session === before && !dropsChunks && !dropsOutcomes && !deletesSession && [entries, outcomes, operations, cancels, replies].every(({ length }) => length === 0);
  }

  #oneStatement<Reply>(write: Write<Reply>, parts: readonly Part[]): Statement {
    const values: unknown[] = [];
    const bind = (value: unknown, type: string): string => `$${values.push(value)}::${type}`;
    const row = this.#row(write, bind);
    const others = parts.map(({ name, sql }) => ({ name, sql: sql(bind, 'held') }));
    return this.#named([write.from === null ? 'create' : 'change', ...parts.map(({ name }) => name)], () =>
      `WITH held AS (${row} RETURNING tenant, id)${others.map(({ name, sql }) => `, ${name} AS (${sql})`).join('')} SELECT 1 AS held FROM held`, values);
  }

  #manyStatements<Reply>(write: Write<Reply>, parts: readonly Part[]): readonly Statement[] {
    const { session: { tenant, id } } = write.change;
    return [this.#oneStatement(write, []), ...parts.map(({ name, sql }) => {
      const values: unknown[] = [tenant, id, write.commitId];
      const text = sql((value, type) => `$${values.push(value)}::${type}`, `(SELECT tenant, id FROM ${this.#schema}.session WHERE tenant = $1 AND id = $2 AND commit_id = $3) AS held`);
      return this.#named(['part', name], () => text, values);
    })];
  }

  #named(parts: readonly string[], text: () => string, values: readonly unknown[]): Statement {
    const name = parts.join('_');
    let known = this.#texts.get(name);
    if (known === undefined) this.#texts.set(name, known = text());
    return { name: shortName(name), text: known, values };
  }

  #row<Reply>({ from, commitId, change: { session } }: Write<Reply>, bind: (value: unknown, type: string) => string): string {
    const { tenant, id, owner, agent, externalId } = session;
    const keys = [bind(tenant, 'text'), bind(id, 'text'), bind(commitId, 'text')] as const;
    const values = changingValues(session).map((value, place) => bind(value, changingTypes[place] ?? 'text'));
    if (from !== null) {
      return `UPDATE ${this.#schema}.session SET commit_id = ${keys[2]}, ${changingColumns.map((column, place) => `${column} = ${values[place]}`).join(', ')}
        WHERE tenant = ${keys[0]} AND id = ${keys[1]} AND commit_id = ${bind(from, 'text')}`;
    }
    return `INSERT INTO ${this.#schema}.session (tenant, id, commit_id, ${changingColumns.join(', ')}, owner, agent, external_id)
      VALUES (${[...keys, ...values, bind(owner, 'text'), bind(agent, 'text'), bind(externalId, 'text')].join(', ')})`;
  }

  #parts<Reply>({ commitId, change, entries, replies }: Write<Reply>): readonly Part[] {
    const { outcomes = [], operations = [], cancels = [], session } = change;
    const events = entries.filter(({ kind }) => this.#outboxKinds.has(kind));
    const parts: Part[] = [];
    if (entries.length > 0) parts.push(this.#inserts('entries', 'entry', 'seq, commit_id, body', entries, [['bigint', ({ seq }) => seq], ['text', () => commitId], ['text', (entry) => JSON.stringify(entry)]]));
    if (change.dropsChunks) parts.push(this.#drops('chunks', 'chunk'));
    // Outcomes that are dropped are those of a step that is answered; those that are kept are of another.
    if (change.dropsOutcomes) parts.push(this.#drops('answered', 'outcome'));
    if (outcomes.length > 0) {
      parts.push(this.#inserts('outcomes', 'outcome', 'step_seq, call_index, body', outcomes, [['bigint', ({ stepSeq }) => stepSeq], ['integer', ({ result }) => result.index], ['text', ({ result }) => JSON.stringify(result)]], 'ON CONFLICT DO NOTHING'));
    }
    if (operations.length > 0) parts.push(this.#begins(commitId, operations.map((operation) => (cancels.includes(operation.id) ? cancelled(operation, session.updatedAtMs) : operation))));
    if (replies.length > 0) parts.push(this.#keeps(replies));
    if (events.length > 0) parts.push(this.#inserts('events', 'outbox', 'seq, kind, at_ms', events, [['bigint', ({ seq }) => seq], ['text', ({ kind }) => kind], ['bigint', ({ atMs }) => atMs]]));
    return parts;
  }

  /** Inserts rows that belong to the session. */
  #inserts<Item>(name: string, table: string, columns: string, items: readonly Item[], members: readonly (readonly [type: string, of: (item: Item) => unknown])[], conflict = ''): Part {
    return {
      name,
      sql: (bind, held) => `INSERT INTO ${this.#schema}.${table} (tenant, session_id, ${columns}) SELECT held.tenant, held.id, given.*
        FROM ${held}, unnest(${members.map(([type, of]) => bind(items.map(of), `${type}[]`)).join(', ')}) AS given ${conflict}`,
    };
  }

  #drops(name: string, table: string): Part {
    return { name, sql: (_bind, held) => `DELETE FROM ${this.#schema}.${table} WHERE tenant = $1 AND session_id = $2 AND EXISTS (SELECT 1 FROM ${held})` };
  }

  #begins(commitId: string, operations: readonly Operation[]): Part {
    const members: readonly (readonly [type: string, of: (operation: Operation) => unknown])[] = [
      ['text', ({ id }) => id], ['text', ({ owner }) => owner], ['text', ({ agent }) => agent], ['bigint', ({ createdAtMs }) => createdAtMs], ['text', () => commitId],
      ...operationTypes.map((type, place) => [type, (operation: Operation) => operationValues(operation)[place]] as const),
    ];
    return this.#inserts('operations', 'operation', `id, owner, agent, created_at_ms, commit_id, ${operationColumns.join(', ')}`, operations, members);
  }

  /** A key that is there already makes the whole commit fail. Only the reply of a deletion is replaced, when a session of the same external id was made and deleted again. */
  #keeps(replies: readonly ReplyToKeep[]): Part {
    const members: readonly (readonly [type: string, of: (reply: ReplyToKeep) => unknown])[] = [
      ['text', ({ sessionId }) => sessionId], ['text', ({ key }) => key.scope], ['text', ({ key }) => key.fingerprint], ['integer', ({ key }) => key.httpStatus], ['text', ({ reply }) => JSON.stringify(reply)],
      ['bigint', ({ key }) => key.expiresAtMs], ['text', ({ createdSessionId }) => createdSessionId ?? null],
    ];
    return {
      name: 'replies',
      sql: (bind, held) => `INSERT INTO ${this.#schema}.idempotency (tenant, session_id, scope, fingerprint, http_status, reply, expires_at_ms, created_session_id) SELECT held.tenant, given.*
        FROM ${held}, unnest(${members.map(([type, of]) => bind(replies.map(of), `${type}[]`)).join(', ')}) AS given`,
    };
  }

  /** Everything that is the session's, the session last; its row is locked. */
  #deletion<Reply>({ change: { session: { tenant, id } }, replies }: Write<Reply>): readonly Statement[] {
    const tables = ['entry', 'chunk', 'outcome', 'operation', 'whole_result', 'idempotency', 'outbox'];
    const removal = (table: string, column: string): Statement => ({ name: `delete_${table}`, text: `DELETE FROM ${this.#schema}.${table} WHERE tenant = $1 AND ${column} = $2`, values: [tenant, id] });
    return [
      { text: 'SELECT 1 AS held' },
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

const changingTypes = ['text', 'text', 'boolean', 'bigint', 'bigint', 'text', 'bigint', 'text', 'text'] as const;

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
