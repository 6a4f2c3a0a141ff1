import { dateOfDay, dayBeginsMs, dayOf, firstOfMonth, mondayOf, monthOf } from './calendar.ts';
import type { ErrorInfo } from './entry.ts';
import type { BudgetPeriod, BudgetSubject, BudgetUnit, SpentBudget } from './usage-entry.ts';
import type { UsageCount } from './usage.ts';

export type { BudgetPeriod, BudgetSubject, BudgetUnit } from './usage-entry.ts';

/** How much an owner, or a tenant, may use in a period. Periods are of UTC; weeks begin on Mondays. */
export interface Budget {
  readonly per: BudgetSubject;
  /** `tokens`: of input and output. `cost`: attempts whose cost is not known count with none. */
  readonly unit: BudgetUnit;
  readonly period: BudgetPeriod;
  /** Tokens; of a cost so much of the currency that the agents' prices are in. */
  readonly limit: number;
  /** What becomes of a turn that would go beyond: it fails, or waits for the next period. Default `fail`. */
  readonly whenExhausted?: 'fail' | 'wait';
}

/** A budget that is used up, and what becomes of the turn. */
export interface Exhausted extends SpentBudget {
  readonly whenExhausted: 'fail' | 'wait';
}

/** What a process knows of the budgets of owners and tenants, as it read it last. Asking changes nothing and reads nothing. */
export interface KnownBudgets {
  /** Whether what is known of a session's owner and tenant is new enough to begin a generation by it. */
  isKnown(session: { readonly tenant: string; readonly owner: string }): boolean;
  /** The budget that is used up, with what a commit adds to what is known; null: none is. */
  exhausted(session: { readonly tenant: string; readonly owner: string }, more: UsageCount, nowMs: number): Exhausted | null;
}

/** What was used, day by day, by whom a budget is of. */
export interface DayCount {
  readonly day: number;
  readonly count: UsageCount;
}

/** The days of a period: the first, and the one after the last. */
export function periodDays(period: BudgetPeriod, atMs: number): { readonly fromDay: number; readonly endDay: number } {
  const day = dayOf(atMs);
  switch (period) {
    case 'day':
      return { fromDay: day, endDay: day + 1 };
    case 'week':
      return { fromDay: mondayOf(day), endDay: mondayOf(day) + 7 };
    case 'month': {
      const { year, month } = monthOf(day);
      return { fromDay: firstOfMonth(year, month), endDay: firstOfMonth(year, month + 1) };
    }
  }
}

/** What of a budget is used up at a time, `used` of each of its days and `more` that is not yet in them; null: there is some left. */
export function exhaustedBy({ per, unit, period, limit, whenExhausted = 'fail' }: Budget, used: readonly DayCount[], more: UsageCount, nowMs: number): Exhausted | null {
  const { fromDay, endDay } = periodDays(period, nowMs);
  const counts = [...used.filter(({ day }) => day >= fromDay && day < endDay).map(({ count }) => count), more];
  const sum = counts.reduce((total, count) => total + amountOf(unit, count), 0);
  const bound = unit === 'cost' ? Math.round(limit * 1_000_000) : limit;
  return sum < bound ? null : { per, unit, period, limit: bound, used: sum, resetAtMs: dayBeginsMs(endDay), whenExhausted };
}

/** Of several that are used up the one that decides: one that fails the turn before those that let it wait, of those the one that lasts longest. */
export function decisive(exhausted: readonly Exhausted[]): Exhausted | null {
  const failing = exhausted.find(({ whenExhausted }) => whenExhausted === 'fail');
  return failing ?? exhausted.toSorted((left, right) => right.resetAtMs - left.resetAtMs)[0] ?? null;
}

/** Why a turn fails, or waits. */
export const usageLimit = 'usage_limit';

export function usageLimitError({ per, unit, period, limit, used, resetAtMs }: Exhausted): ErrorInfo {
  const amount = (value: number): string => (unit === 'cost' ? String(value / 1_000_000) : `${value} tokens`);
  return {
    code: usageLimit, retryable: false,
    message: `the budget of the ${per} is used up: ${amount(used)} of ${amount(limit)}${unit === 'cost' ? ' of cost' : ''} this ${period}; it begins anew with ${dateOfDay(dayOf(resetAtMs))} UTC`,
  };
}

function amountOf(unit: BudgetUnit, { inputTokens, outputTokens, costMicros }: UsageCount): number {
  return unit === 'cost' ? costMicros : inputTokens + outputTokens;
}
