import type { AttemptRecord, Usage } from './attempt.ts';
import { dayOf } from './calendar.ts';
import type { Entry } from './entry.ts';

/** What attempts cost in all. Attempts whose usage is not known count with no tokens: they are never guessed. */
export interface UsageTotals {
  readonly attempts: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedInputTokens: number;
  readonly reasoningTokens: number;
  /** Of those whose cost is known, in millionths of the currency of the prices; absent: of none. */
  readonly costMicros?: number;
}

export const noUsage: UsageTotals = { attempts: 0, inputTokens: 0, outputTokens: 0, cachedInputTokens: 0, reasoningTokens: 0 };

/** The attempt that an entry records, however it ended; null: it records none (the agent's own text was tried by no model), or one that was counted in the session that the entry was copied from. */
export function attemptOf(entry: Entry): AttemptRecord | null {
  return entry.copied === true || !('attempt' in entry) || ('scripted' in entry && entry.scripted === true) ? null : entry.attempt;
}

/** The totals with what one more entry records. */
export function withUsageOf(totals: UsageTotals, entry: Entry): UsageTotals {
  const count = countOf(entry);
  if (count === null) return totals;
  const costMicros = count.attemptsWithoutCost === count.attempts ? totals.costMicros : (totals.costMicros ?? 0) + count.costMicros;
  return {
    attempts: totals.attempts + count.attempts,
    inputTokens: totals.inputTokens + count.inputTokens,
    outputTokens: totals.outputTokens + count.outputTokens,
    cachedInputTokens: totals.cachedInputTokens + count.cachedInputTokens,
    reasoningTokens: totals.reasoningTokens + count.reasoningTokens,
    ...(costMicros === undefined ? {} : { costMicros }),
  };
}

/** How much attempts used, and of how many of them that is not known. */
export interface UsageCount {
  readonly attempts: number;
  /** They may have used something; what, nobody said. */
  readonly attemptsWithoutUsage: number;
  /** Their usage is not known, or their model had no price. */
  readonly attemptsWithoutCost: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Part of `inputTokens`. */
  readonly cachedInputTokens: number;
  /** Part of `outputTokens`. */
  readonly reasoningTokens: number;
  /** In millionths of the currency of the prices. */
  readonly costMicros: number;
}

export const noCount: UsageCount = { attempts: 0, attemptsWithoutUsage: 0, attemptsWithoutCost: 0, inputTokens: 0, outputTokens: 0, cachedInputTokens: 0, reasoningTokens: 0, costMicros: 0 };

const countNames = Object.keys(noCount) as readonly (keyof UsageCount)[];

/** What an entry adds to what was counted; null: nothing. Usage that came late makes known what its attempt was recorded without. */
export function countOf(entry: Entry): UsageCount | null {
  const attempt = attemptOf(entry);
  if (attempt !== null) return countAttempt(attempt);
  if (entry.kind !== 'late-usage' || entry.copied === true) return null;
  const { attempts, attemptsWithoutUsage, attemptsWithoutCost, ...known } = countAttempt(entry.late);
  return { ...known, attempts: 0, attemptsWithoutUsage: attemptsWithoutUsage - attempts, attemptsWithoutCost: attemptsWithoutCost - attempts };
}

function countAttempt({ usage, costMicros }: Pick<AttemptRecord, 'usage' | 'costMicros'>): UsageCount {
  const { inputTokens, outputTokens, cachedInputTokens, reasoningTokens }: Usage = usage ?? {};
  return {
    attempts: 1, attemptsWithoutUsage: usage === null ? 1 : 0, attemptsWithoutCost: costMicros === undefined ? 1 : 0,
    inputTokens: whole(inputTokens), outputTokens: whole(outputTokens), cachedInputTokens: whole(cachedInputTokens), reasoningTokens: whole(reasoningTokens), costMicros: whole(costMicros),
  };
}

/** A counter takes nothing else, whatever a log holds. */
function whole(amount = 0): number {
  return Number.isFinite(amount) ? Math.round(amount) : 0;
}

export function addCounts(left: UsageCount, right: UsageCount): UsageCount {
  return Object.fromEntries(countNames.map((name) => [name, left[name] + right[name]])) as unknown as UsageCount;
}

export function negative(count: UsageCount): UsageCount {
  return Object.fromEntries(countNames.map((name) => [name, -count[name]])) as unknown as UsageCount;
}

export function sumCounts(counts: Iterable<UsageCount>): UsageCount {
  let sum = noCount;
  for (const count of counts) sum = addCounts(sum, count);
  return sum;
}

/** Counters of one owner and day, so that sessions which run at the same time seldom wait for each other's. */
export const usageShards = 16;

/** The shard that a session's attempts are counted in: FNV-1a of its id. */
export function usageShardOf(sessionId: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < sessionId.length; index += 1) hash = Math.imul(hash ^ sessionId.charCodeAt(index), 0x01000193);
  return (hash >>> 0) % usageShards;
}

/** What a commit adds to a counter. */
export interface CounterChange {
  readonly day: number;
  readonly owner: string;
  readonly shard: number;
  readonly count: UsageCount;
}

/** The days whose counters are added to, each once. */
export function daysOf(changes: readonly CounterChange[]): readonly number[] {
  return [...new Set(changes.map(({ day }) => day))];
}

/** What one entry adds to a counter. */
export interface EntryCount extends CounterChange {
  readonly seq: number;
}

/** What each of a session's entries adds. What was counted stays with who had the session then. */
export function entryCounts(session: { readonly id: string; readonly owner: string }, entries: readonly Entry[]): readonly EntryCount[] {
  let owner = entries.find((entry) => entry.kind === 'owner-changed')?.from ?? session.owner;
  return entries.flatMap((entry) => {
    if (entry.kind === 'owner-changed') owner = entry.to;
    const count = countOf(entry);
    return count === null ? [] : [{ seq: entry.seq, day: dayOf(entry.atMs), owner, shard: usageShardOf(session.id), count }];
  });
}

/** What a commit adds to counters, each named once, in one order everywhere. */
export function counterChanges(session: { readonly id: string; readonly owner: string }, entries: readonly Entry[]): readonly CounterChange[] {
  return sumByCounter(entryCounts(session, entries));
}

/** The same of some of a session's entries. */
export function sumByCounter(counts: readonly EntryCount[]): readonly CounterChange[] {
  const changes = new Map<string, CounterChange>();
  for (const { day, owner, shard, count } of counts) {
    const key = `${day} ${owner}`;
    changes.set(key, { day, owner, shard, count: addCounts(changes.get(key)?.count ?? noCount, count) });
  }
  return [...changes.values()].sort((left, right) => left.day - right.day || (left.owner < right.owner ? -1 : 1));
}
