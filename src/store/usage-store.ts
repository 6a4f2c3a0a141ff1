import type { DayCount } from '../core/budget.ts';
import type { Entry } from '../core/entry.ts';
import { countOf, type UsageCount } from '../core/usage.ts';
import type { SessionRef } from './session-ref.ts';

/** Whose usage, and of which days (`dayOf`): both included, at most `limits.usageDaysMax`. */
export interface UsageQuery {
  readonly tenant: string;
  /** Absent: of all owners of the tenant. */
  readonly owner?: string | undefined;
  readonly fromDay: number;
  readonly toDay: number;
}

export interface UsageRead extends UsageQuery {
  /** What all owners used may be so old, in milliseconds. Default 0: as of now. */
  readonly lateMs?: number;
}

/** The part of the port that is about usage. It is counted in the commits that record attempts, so what is read of an owner is never late. */
export interface UsageStore {
  /** What was counted on each day, in order; days on which nothing was are left out. */
  readDays(query: UsageRead): Promise<readonly DayCount[]>;
  /** How many attempts of a session that was deleted are kept. They have no content. */
  countKept(ref: SessionRef): Promise<number>;
}

/** The columns of a counter that are added to, in the order of `countValues`. */
export const countColumns = ['attempts', 'attempts_without_usage', 'attempts_without_cost', 'input_tokens', 'output_tokens', 'cached_input_tokens', 'reasoning_tokens', 'cost_micros'] as const;

export function countValues(count: UsageCount): readonly number[] {
  return [
    count.attempts, count.attemptsWithoutUsage, count.attemptsWithoutCost, count.inputTokens, count.outputTokens, count.cachedInputTokens, count.reasoningTokens, count.costMicros,
  ];
}

export function countOfRow(row: Readonly<Record<string, unknown>>): UsageCount {
  const [attempts = 0, attemptsWithoutUsage = 0, attemptsWithoutCost = 0, inputTokens = 0, outputTokens = 0, cachedInputTokens = 0, reasoningTokens = 0, costMicros = 0] = countColumns.map((column) => Number(row[column]));
  return { attempts, attemptsWithoutUsage, attemptsWithoutCost, inputTokens, outputTokens, cachedInputTokens, reasoningTokens, costMicros };
}

/** What is kept of an attempt, as the entry that it was recorded by. */
export function keptEntry(seq: number, body: string): Entry {
  const kept = Object.entries(JSON.parse(body) as object).filter(([, value]) => value !== null);
  return { seq, v: 1, ...Object.fromEntries(kept) } as Entry;
}

/** What is kept of entries when their session is deleted: of those that count, the attempt, and no content. */
export function keptAttempts(entries: readonly Entry[]): readonly { readonly seq: number; readonly body: string }[] {
  return entries.filter((entry) => countOf(entry) !== null).map((entry) => {
    const { seq, kind, atMs } = entry;
    return { seq, body: JSON.stringify({ kind, atMs, attempt: 'attempt' in entry ? entry.attempt : null, late: 'late' in entry ? entry.late : null }) };
  });
}
