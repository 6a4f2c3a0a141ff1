import type { DayCount } from '../../core/budget.ts';
import type { Entry } from '../../core/entry.ts';
import { counterChanges, entryCounts } from '../../core/usage.ts';
import type { SessionRef } from '../store.ts';
import { countColumns, countOfRow, countValues, keptAttempts, type UsageStore } from '../usage-store.ts';
import { tenantDays, type TotalRows } from '../usage-totals.ts';
import type { Database, Row, Statement } from './open-database.ts';
import type { StatementName, Statements } from './statements.ts';

/** What a commit adds to counters of usage, each of them once. */
export interface CountPart {
  readonly kind: 'count';
  readonly name: 'usage' | 'imported_usage';
  /** Not what was counted before the session was deleted, and comes back with it. */
  readonly unlessKept?: true;
  readonly rows: readonly (readonly unknown[])[];
}

type Bind = (value: unknown, type: string) => string;

const keyColumns = ['day', 'owner', 'shard'] as const;
const columns = [...keyColumns, ...countColumns].join(', ');
const types = ['integer', 'text', 'smallint', ...countColumns.map(() => 'bigint')];
const addedUp = countColumns.map((column) => `sum(given.${column})::bigint`).join(', ');
const adds = `ON CONFLICT (tenant, day, owner, shard) DO UPDATE SET ${countColumns.map((column) => `${column} = counter.${column} + excluded.${column}`).join(', ')}`;

export function countPart(session: { readonly id: string; readonly owner: string }, entries: readonly Entry[]): CountPart {
  return { kind: 'count', name: 'usage', rows: counterChanges(session, entries).map(({ day, owner, shard, count }) => [day, owner, shard, ...countValues(count)]) };
}

/** What an imported session brings, entry by entry: counted on the days on which it happened, once, however often the session is deleted and imported again. */
export function importedCountPart(session: { readonly id: string; readonly owner: string }, entries: readonly Entry[]): CountPart {
  return { kind: 'count', name: 'imported_usage', unlessKept: true, rows: entryCounts(session, entries).map(({ seq, day, owner, shard, count }) => [seq, day, owner, shard, ...countValues(count)]) };
}

/** Adds to the counters, if `held` has the session. They are taken in one order by everybody. */
export function countText(schema: string, { rows, unlessKept }: CountPart, bind: Bind, held: string): string {
  const into = `INSERT INTO ${schema}.usage_counter AS counter (tenant, ${columns})`;
  const keys = keyColumns.map((column) => `given.${column}`).join(', ');
  if (unlessKept !== true) return `${into} SELECT held.tenant, given.* FROM ${held}, unnest(${arrays(rows, types, bind)}) AS given (${columns}) ORDER BY ${keys} ${adds}`;
  return `${into} SELECT held.tenant, ${keys}, ${addedUp} FROM ${held}, unnest(${arrays(rows, ['bigint', ...types], bind)}) AS given (seq, ${columns})
    WHERE NOT EXISTS (SELECT 1 FROM ${schema}.usage_kept AS kept WHERE kept.tenant = held.tenant AND kept.session_id = held.id AND kept.seq = given.seq) GROUP BY held.tenant, ${keys} ORDER BY ${keys} ${adds}`;
}

/** What was kept of a session when it was deleted, and is not in the log that was imported, makes room for what gets its seqs: below all that has been moved before. */
export function moveKeptText(schema: string, held: string): string {
  const own = 'tenant = $1 AND session_id = $2';
  return `UPDATE ${schema}.usage_kept SET seq = (SELECT least(0, min(seq)) FROM ${schema}.usage_kept WHERE ${own}) - seq WHERE ${own} AND seq > 0 AND EXISTS (SELECT 1 FROM ${held})`;
}

/** The same for the sessions of a group that are held: a counter that several of them add to is changed once. */
export function groupCountText(schema: string, { rows }: CountPart, bind: Bind): string {
  const keys = keyColumns.map((column) => `given.${column}`).join(', ');
  return `INSERT INTO ${schema}.usage_counter AS counter (tenant, ${columns})
    SELECT $1, ${keys}, ${addedUp} FROM unnest(${arrays(rows, ['text', ...types], bind)}) AS given (session_id, ${columns})
    WHERE given.session_id IN (SELECT id FROM held) GROUP BY ${keys} ORDER BY ${keys} ${adds}`;
}

function arrays(rows: readonly (readonly unknown[])[], arrayTypes: readonly string[], bind: Bind): string {
  return arrayTypes.map((type, place) => bind(rows.map((row) => row[place]), `${type}[]`)).join(', ');
}

/** Counts what a deletion records, and keeps the attempts of the session that it deletes, whose row is locked. */
export function keepingStatements(schema: string, session: SessionRef & { readonly owner: string }, entries: readonly Entry[]): readonly Statement[] {
  const { tenant, id } = session;
  const part = countPart(session, entries);
  const kept = keptAttempts(entries);
  const values: unknown[] = [tenant];
  return [
    ...(part.rows.length === 0 ? [] : [{ name: 'count_deletion', text: countText(schema, part, (value, type) => `$${values.push(value)}::${type}`, '(SELECT $1::text AS tenant) AS held'), values }]),
    {
      name: 'keep_attempts',
      text: `INSERT INTO ${schema}.usage_kept (tenant, session_id, seq, body) SELECT tenant, session_id, seq,
          json_build_object('kind', body::json -> 'kind', 'atMs', body::json -> 'atMs', 'attempt', body::json -> 'attempt', 'late', body::json -> 'late')::text
        FROM ${schema}.entry WHERE tenant = $1 AND session_id = $2 AND body::json -> 'copied' IS NULL AND body::json -> 'scripted' IS NULL AND (json_typeof(body::json -> 'attempt') = 'object' OR body::json ->> 'kind' = 'late-usage')
        UNION ALL SELECT $1, $2, given.* FROM unnest($3::bigint[], $4::text[]) AS given`,
      values: [tenant, id, kept.map(({ seq }) => seq), kept.map(({ body }) => body)],
    },
  ];
}

export interface PostgresUsageOptions {
  readonly database: Database;
  readonly statements: Statements;
  readonly nowMs: () => number;
  /** Every verb: none after closing. */
  readonly use: <Result>(verb: () => Promise<Result>) => Promise<Result>;
}

/** The part of the port that is about usage, on Postgres. */
export function postgresUsage({ database, statements, nowMs, use }: PostgresUsageOptions): UsageStore {
  const run = (name: StatementName, ...values: readonly unknown[]): Promise<readonly Row[]> => database.run(statements.get(name, ...values));
  const totals: TotalRows = {
    readTotals: async ({ tenant, fromDay, toDay }) => (await run('usageTotals', tenant, fromDay, toDay)).map((row) => ({ ...dayCount(row), asOfMs: Number(row['as_of_ms']) })),
    sumDays: async ({ tenant, fromDay, toDay }) => (await run('usageOfTenant', tenant, fromDay, toDay)).map(dayCount),
    keepTotals: async (tenant, summed) => {
      const values = summed.map(({ count }) => countValues(count));
      await run('keepUsageTotals', tenant, summed.map(({ day }) => day), summed.map(({ asOfMs }) => asOfMs), ...countColumns.map((_, place) => values.map((row) => row[place])));
    },
  };
  return {
    readDays: ({ owner, ...query }) => use(async () => {
      if (owner === undefined) return tenantDays(query, nowMs(), totals);
      return (await run('usageOfOwner', query.tenant, query.fromDay, query.toDay, owner)).map(dayCount);
    }),
    countKept: ({ tenant, id }) => use(async () => Number((await run('countKept', tenant, id))[0]?.['count'])),
  };
}

function dayCount(row: Row): DayCount {
  return { day: Number(row['day']), count: countOfRow(row) };
}
