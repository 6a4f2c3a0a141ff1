import type { AttemptRecord, Entry } from './entry.ts';

/** What attempts cost in all. Attempts whose usage is not known count with no tokens: they are never guessed. */
export interface UsageTotals {
  readonly attempts: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedInputTokens: number;
  readonly reasoningTokens: number;
}

export const noUsage: UsageTotals = { attempts: 0, inputTokens: 0, outputTokens: 0, cachedInputTokens: 0, reasoningTokens: 0 };

/** The attempt that an entry records, however it ended; null: it records none (the agent's own text was tried by no model), or one that was counted in the session that the entry was copied from. */
export function attemptOf(entry: Entry): AttemptRecord | null {
  return entry.copied === true || !('attempt' in entry) || ('scripted' in entry && entry.scripted === true) ? null : entry.attempt;
}

/** The totals with one more attempt. */
export function withAttempt(totals: UsageTotals, { usage }: AttemptRecord): UsageTotals {
  return {
    attempts: totals.attempts + 1,
    inputTokens: totals.inputTokens + (usage?.inputTokens ?? 0),
    outputTokens: totals.outputTokens + (usage?.outputTokens ?? 0),
    cachedInputTokens: totals.cachedInputTokens + (usage?.cachedInputTokens ?? 0),
    reasoningTokens: totals.reasoningTokens + (usage?.reasoningTokens ?? 0),
  };
}
