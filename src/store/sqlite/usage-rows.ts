import type { DayCount } from '../../core/budget.ts';
import type { Entry } from '../../core/entry.ts';
import { counterChanges, daysOf, entryCounts, sumByCounter } from '../../core/usage.ts';
import type { SessionRef } from '../store.ts';
import { countOfRow, countValues, keptAttempts, type UsageQuery, type UsageStore } from '../usage-store.ts';
import { tenantDays, type DayTotal, type TotalRows } from '../usage-totals.ts';
import type { PreparedStatements } from './statements.ts';

/** Counting what attempts used, and reading it, inside whatever transaction is open. */
export class UsageRows {
  readonly #statements: PreparedStatements;

  constructor(statements: PreparedStatements) {
    this.#statements = statements;
  }

  /** Counts what entries record that are being written. */
  count(session: SessionRef & { readonly owner: string }, entries: readonly Entry[]): void {
    for (const { day, owner, shard, count } of counterChanges(session, entries)) this.#statements.get('countUsage').run(session.tenant, day, owner, shard, ...countValues(count));
  }

  /** Keeps the attempts of a session that is about to be deleted: those in its log, and those that its deletion records. */
  keep({ tenant, id }: SessionRef, recorded: readonly Entry[]): void {
    this.#statements.get('keepAttempts').run(tenant, id);
    for (const { seq, body } of keptAttempts(recorded)) this.#statements.get('keepAttempt').run(tenant, id, seq, body);
  }

  /**
   * Counts what an imported session brings, on the days on which it happened, whose sums were made without it. What was kept of it when it was deleted has been counted: what is in the log again is kept there, and the rest
   * makes room for what gets its seqs.
   */
  countImported(session: SessionRef & { readonly owner: string }, entries: readonly Entry[]): void {
    const { tenant, id } = session;
    const kept = new Set((this.#statements.get('keptSeqs').all(tenant, id) as { readonly seq: number }[]).map(({ seq }) => seq));
    const counts = entryCounts(session, entries);
    const changes = sumByCounter(counts.filter(({ seq }) => !kept.has(seq)));
    for (const { day, owner, shard, count } of changes) this.#statements.get('countUsage').run(tenant, day, owner, shard, ...countValues(count));
    for (const day of daysOf(changes)) this.#statements.get('forgetUsageTotal').run(tenant, day);
    for (const { seq } of counts) this.#statements.get('deleteKept').run(tenant, id, seq);
    this.#statements.get('moveKept').run(tenant, id, tenant, id);
  }

  ofOwner(owner: string, { tenant, fromDay, toDay }: UsageQuery): readonly DayCount[] {
    const days = Array.from({ length: toDay - fromDay + 1 }, (_, place) => fromDay + place);
    return (this.#statements.get('usageOfOwner').all(JSON.stringify(days), tenant, owner) as Row[]).map(dayCount);
  }

  ofTenant({ tenant, fromDay, toDay }: UsageQuery): readonly DayCount[] {
    return (this.#statements.get('usageOfTenant').all(tenant, fromDay, toDay) as Row[]).map(dayCount);
  }

  totals({ tenant, fromDay, toDay }: UsageQuery): readonly DayTotal[] {
    return (this.#statements.get('usageTotals').all(tenant, fromDay, toDay) as Row[]).map((row) => ({ ...dayCount(row), asOfMs: Number(row['as_of_ms']) }));
  }

  keepTotals(tenant: string, totals: readonly DayTotal[]): void {
    for (const { day, asOfMs, count } of totals) this.#statements.get('keepUsageTotal').run(tenant, day, asOfMs, ...countValues(count));
  }

  countKept({ tenant, id }: SessionRef): number {
    return Number(Object.values(this.#statements.get('countKept').get(tenant, id) as object)[0]);
  }
}

type Row = Readonly<Record<string, unknown>>;

function dayCount(row: Row): DayCount {
  return { day: Number(row['day']), count: countOfRow(row) };
}

export interface SqliteUsageOptions {
  readonly rows: UsageRows;
  readonly nowMs: () => number;
  /** Runs a write in the group's transaction. */
  readonly run: <Result>(write: () => Result) => Promise<Result>;
  readonly whenFree: <Result>(read: () => Result) => Promise<Result>;
}

/** The part of the port that is about usage, on SQLite. */
export function sqliteUsage({ rows, nowMs, run, whenFree }: SqliteUsageOptions): UsageStore {
  const totals: TotalRows = {
    readTotals: (query) => whenFree(() => rows.totals(query)),
    sumDays: (query) => whenFree(() => rows.ofTenant(query)),
    keepTotals: (tenant, summed) => run(() => rows.keepTotals(tenant, summed)),
  };
  return {
    readDays: ({ owner, ...query }) => (owner === undefined ? tenantDays(query, nowMs(), totals) : whenFree(() => rows.ofOwner(owner, query))),
    countKept: (ref) => whenFree(() => rows.countKept(ref)),
  };
}
