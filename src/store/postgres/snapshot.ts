import type { CallResult, Entry } from '../../core/entry.ts';
import type { Branch } from '../../core/history.ts';
import type { Operation } from '../../core/operation.ts';
import type { Session } from '../../core/session.ts';
import { strayConditions, type Columns, type SessionRows, type StoreSnapshot, type StrayRows, type WaitingWork } from '../administration.ts';
import type { AnnouncedWorker, SessionRef } from '../store.ts';
import { countColumns, countOfRow, keptEntry } from '../usage-store.ts';
import { entryOf, outcomesOf, readSession } from './session-rows.ts';

const pageSessions = 200;
const pageEntries = 500;
const nowMs = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint';

/** Numbers as such, booleans as 0 and 1, as the columns of a snapshot have them. */
export const columnTypes = {
  getTypeParser: (oid: number) => (oid === 20 || oid === 21 || oid === 23 ? Number : oid === 16 ? (text: string) => (text === 't' ? 1 : 0) : (text: string) => text),
};

/** A schema as the transaction of the connection sees it. */
export class PostgresSnapshot implements StoreSnapshot {
  readonly #rows: (text: string, values?: readonly unknown[]) => Promise<readonly Columns[]>;
  readonly #schema: string;

  /** `rows` runs a statement in the transaction that the snapshot is of. */
  constructor(rows: (text: string, values?: readonly unknown[]) => Promise<readonly Columns[]>, schema: string) {
    this.#rows = rows;
    this.#schema = schema;
  }

  async strayRows(): Promise<readonly StrayRows[]> {
    const found: StrayRows[] = [];
    for (const { table, condition, what } of strayConditions(`${this.#schema}.session`)) {
      const [row] = await this.#rows(`SELECT count(*) AS count FROM ${this.#schema}.${table} AS stray WHERE ${condition}`);
      found.push({ table, what, count: Number(row?.['count']) });
    }
    return found.filter(({ count }) => count > 0);
  }

  async workers(): Promise<readonly AnnouncedWorker[]> {
    const rows = await this.#rows(`SELECT id, agents, schema_version, lease_until_ms <= ${nowMs} AS is_dead FROM ${this.#schema}.worker ORDER BY id`);
    return rows.map((row) => ({ id: String(row['id']), agents: JSON.parse(String(row['agents'])) as string[], schemaVersion: Number(row['schema_version']), isDead: row['is_dead'] === 1 }));
  }

  async waitingWork(deadWorkers: readonly string[]): Promise<readonly WaitingWork[]> {
    const waiting = (table: string): string => `SELECT agent, '${table}' AS work FROM ${this.#schema}.${table} WHERE (worker IS NULL AND due_at_ms <= ${nowMs}) OR worker = ANY($1::text[])`;
    const rows = await this.#rows(`SELECT agent, count(*) FILTER (WHERE work = 'session') AS sessions, count(*) FILTER (WHERE work = 'operation') AS operations
      FROM (${waiting('session')} UNION ALL ${waiting('operation')}) AS waiting GROUP BY agent ORDER BY agent`, [deadWorkers]);
    return rows.map((row) => ({ agent: String(row['agent']), sessions: Number(row['sessions']), operations: Number(row['operations']) }));
  }

  async countSessions(): Promise<number> {
    const [row] = await this.#rows(`SELECT count(*) AS count FROM ${this.#schema}.session`);
    return Number(row?.['count']);
  }

  async *sessions(): AsyncGenerator<SessionRows, void, void> {
    let last = { tenant: '', id: '' };
    for (;;) {
      const rows = await this.#rows(`SELECT * FROM ${this.#schema}.session WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3`, [last.tenant, last.id, pageSessions]);
      for (const row of rows) {
        const { body, ...columns } = row;
        yield this.#withWork(columns, readSession(String(body)));
      }
      const end = rows.at(-1);
      if (end === undefined || rows.length < pageSessions) return;
      last = { tenant: String(end['tenant']), id: String(end['id']) };
    }
  }

  async usage(): ReturnType<StoreSnapshot['usage']> {
    const rows = await this.#rows(`SELECT tenant, day, ${countColumns.map((column) => `sum(${column})::bigint AS ${column}`).join(', ')} FROM ${this.#schema}.usage_counter GROUP BY tenant, day`);
    return rows.map((row) => ({ tenant: String(row['tenant']), day: Number(row['day']), count: countOfRow(row) }));
  }

  async *keptAttempts(): AsyncGenerator<{ readonly tenant: string; readonly entry: Entry }, void, void> {
    let last: readonly (string | number | null)[] = ['', '', 0];
    for (;;) {
      const rows = await this.#rows(`SELECT tenant, session_id, seq, body FROM ${this.#schema}.usage_kept WHERE (tenant, session_id, seq) > ($1, $2, $3) ORDER BY tenant, session_id, seq LIMIT $4`, [...last, pageEntries]);
      for (const row of rows) yield { tenant: String(row['tenant']), entry: keptEntry(Number(row['seq']), String(row['body'])) };
      const end = rows.at(-1);
      if (end === undefined || rows.length < pageEntries) return;
      last = [end['tenant'] ?? '', end['session_id'] ?? '', end['seq'] ?? 0];
    }
  }

  async #withWork(columns: Columns, session: Session): Promise<SessionRows> {
    const { tenant, id } = session;
    const operations = await this.#rows(`SELECT * FROM ${this.#schema}.operation WHERE tenant = $1 AND ((session_id = $2 AND status IN ('queued', 'running')) OR id = ANY($3::text[])) ORDER BY id`, [tenant, id, session.operations.map((each) => each.id)]);
    const outcomes = await this.#rows(`SELECT step_seq, body FROM ${this.#schema}.outcome WHERE tenant = $1 AND session_id = $2`, [tenant, id]);
    const branches = await this.#rows(`SELECT body FROM ${this.#schema}.branch WHERE tenant = $1 AND session_id = $2`, [tenant, id]);
    return {
      columns, session,
      entries: await this.#log(session),
      operations: operations.map(({ body, ...of }) => ({ columns: of, operation: JSON.parse(String(body)) as Operation })),
      outcomes: outcomesOf(session, outcomes.map((row) => ({ stepSeq: Number(row['step_seq']), result: JSON.parse(String(row['body'])) as CallResult }))),
      branches: branches.map((row) => JSON.parse(String(row['body'])) as Branch),
    };
  }

  async #log({ tenant, id }: SessionRef): Promise<readonly Entry[]> {
    const entries: Entry[] = [];
    for (;;) {
      const page = await this.#rows(`SELECT body FROM ${this.#schema}.entry WHERE tenant = $1 AND session_id = $2 AND seq > $3 ORDER BY seq LIMIT $4`, [tenant, id, entries.at(-1)?.seq ?? 0, pageEntries]);
      entries.push(...page.map(entryOf));
      if (page.length < pageEntries) return entries;
    }
  }
}
