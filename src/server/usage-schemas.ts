import { z } from 'zod';
import type { SessionUsage, UsageReport } from '../feed/usage-view.ts';
import { usage } from './entry-schema.ts';

/** The published shapes of usage and cost. */

const text = z.string().nullable();
const counts = {
  attempts: z.int(), attemptsWithoutUsage: z.int(), attemptsWithoutCost: z.int(), inputTokens: z.int(), outputTokens: z.int(), cachedInputTokens: z.int(), reasoningTokens: z.int(),
  costMicros: z.int().describe('In millionths of the currency of the prices; attempts whose cost is not known count with none.'),
};
const purpose = z.enum(['step', 'compaction', 'title', 'turn-summary', 'simulated-user']);

export const sessionUsageSchema = z.object({
  sessionId: z.string(), total: z.object(counts),
  models: z.array(z.object({ provider: text, model: text, ...counts })),
  purposes: z.array(z.object({ purpose, ...counts })),
  attempts: z.object({
    items: z.array(z.object({
      id: z.string(), seq: z.int(), atMs: z.number(), turnId: text, outcome: z.enum(['done', 'failed', 'stopped', 'lost', 'late']), purpose, number: z.int(), provider: text, model: text, providerResponseId: text,
      startedAtMs: z.number(), durationMs: z.number().nullable(), usage: usage.nullable(), costMicros: z.int().nullable(),
    })),
    nextCursor: z.int().nullable(),
  }),
}) satisfies z.ZodType<SessionUsage>;

export const usageReportSchema = z.object({
  owner: text, from: z.string(), to: z.string(), total: z.object(counts), days: z.array(z.object({ day: z.string(), ...counts })),
}) satisfies z.ZodType<UsageReport>;
