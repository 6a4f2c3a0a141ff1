import type { DayCount } from '../../core/budget.ts';
import type { Entry } from '../../core/entry.ts';
import { counterChanges } from '../../core/usage.ts';
import type { SessionRef } from '../store.ts';
import { countOfRow, countValues, keptAttempts, type UsageQuery, type UsageStore } from '../usage-store.ts';
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

  days({ tenant, owner, fromDay, toDay }: UsageQuery): readonly DayCount[] {
    const rows = owner === undefined
      ? this.#statements.get('usageOfTenant').all(tenant, fromDay, toDay)
      : this.#statements.get('usageOfOwner').all(JSON.stringify(Array.from({ length: toDay - fromDay + 1 }, (_, place) => fromDay + place)), tenant, owner);
    return (rows as Record<string, unknown>[]).map((row) => ({ day: Number(row['day']), count: countOfRow(row) }));
  }

  countKept({ tenant, id }: SessionRef): number {
    return Number(Object.values(this.#statements.get('countKept').get(tenant, id) as object)[0]);
  }
}

/** The part of the port that is about usage, on SQLite. */
export function sqliteUsage(rows: UsageRows, whenFree: <Result>(read: () => Result) => Promise<Result>): UsageStore {
  return { readDays: (query) => whenFree(() => rows.days(query)), countKept: (ref) => whenFree(() => rows.countKept(ref)) };
}
