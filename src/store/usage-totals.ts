import type { DayCount } from '../core/budget.ts';
import { dayBeginsMs, dayOf } from '../core/calendar.ts';
import { noCount } from '../core/usage.ts';
import type { UsageQuery } from './usage-store.ts';

/** A commit that began on a day has landed so long after its end: its sum is final then. */
const settlesMs = 3_600_000;

/** What all owners of a tenant used on a day, as it was summed at a time. */
export interface DayTotal extends DayCount {
  readonly asOfMs: number;
}

export interface TotalRows {
  /** The sums that are kept. */
  readonly readTotals: (query: UsageQuery) => Promise<readonly DayTotal[]>;
  /** Sums over all owners. Costs a look at each of them. */
  readonly sumDays: (query: UsageQuery) => Promise<readonly DayCount[]>;
  /** Keeps sums, unless newer ones are kept. */
  readonly keepTotals: (tenant: string, totals: readonly DayTotal[]) => Promise<void>;
}

/**
 * What a tenant used on each day: of days that are over from the sums that are kept, and of the others too where those are not older than `lateMs`; the rest is summed, once for all processes, and kept. So no attempt pays
 * for the sum, and a day with many owners is summed once for good when it is over.
 */
export async function tenantDays(query: UsageQuery & { readonly lateMs?: number | undefined }, nowMs: number, rows: TotalRows): Promise<readonly DayCount[]> {
  const { tenant, fromDay, lateMs = 0 } = query;
  const toDay = Math.min(query.toDay, dayOf(nowMs) + 1);
  const kept = new Map((await rows.readTotals(query)).filter(({ day, asOfMs }) => asOfMs >= dayBeginsMs(day + 1) + settlesMs || asOfMs > nowMs - lateMs).map((total) => [total.day, total]));
  const summed: DayTotal[] = [];
  for (let day = fromDay; day <= toDay; day += 1) {
    if (kept.has(day)) continue;
    const first = day;
    while (day < toDay && !kept.has(day + 1)) day += 1;
    const counts = new Map((await rows.sumDays({ tenant, fromDay: first, toDay: day })).map((each) => [each.day, each.count]));
    for (let each = first; each <= day; each += 1) summed.push({ day: each, count: counts.get(each) ?? noCount, asOfMs: nowMs });
  }
  if (summed.length > 0) await rows.keepTotals(tenant, summed);
  return [...kept.values(), ...summed].filter(({ count }) => count.attempts !== 0 || count.inputTokens !== 0 || count.outputTokens !== 0).map(({ day, count }) => ({ day, count })).sort((left, right) => left.day - right.day);
}
