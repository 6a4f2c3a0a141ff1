import { planCompaction, type CompactionPlan } from '../agent/compaction-plan.ts';
import type { CompactionTrigger, ContextSize } from '../core/compaction.ts';
import type { ErrorInfo } from '../core/entry.ts';
import type { Attempt } from '../core/session.ts';
import type { GenerationOutcome } from '../core/settle.ts';
import { performCompaction } from './perform-compaction.ts';
import { AttemptMeasure, errorText, performGeneration, prepareWithRetries, type AbortedGeneration, type Prepared } from './perform-generation.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';

/** How much of the window stays word for word at the end of a history that is compacted by itself. */
const tailShare = 0.1;
/** A prompt that still fits is not compacted for less than this share of the window. */
const gainShareMin = 0.1;

/**
 * One try at what the turn needs next: the step that the decision asked for or, where the prompt has grown over its agent's share of the window, first a summary in place of the history before it. Never
 * throws.
 */
export async function performAttempt(host: WorkerHost, run: SessionRun, attempt: Attempt): Promise<GenerationOutcome | AbortedGeneration> {
  const { clock } = host.system;
  const measured = new AttemptMeasure({ ...attempt, agentVersion: run.agent.version }, run.agent.prices);
  const failed = (error: ErrorInfo): GenerationOutcome => ({ kind: 'failed', attempt: measured.record(clock.nowMs()), error, retryAfterMs: 0 });
  let prepared: Prepared;
  try {
    prepared = await prepareWithRetries(host, run);
  } catch (error) {
    if (run.abort.signal.aborted) return { kind: 'aborted', attempt: measured.record(clock.nowMs()) };
    return failed({ code: 'prepare_failed', message: errorText(error), retryable: false });
  }
  const { size } = prepared;
  const asked = run.session.turn?.compaction ?? null;
  const trigger = asked?.trigger ?? (isOver(run, size) ? 'threshold' : null);
  const plan = trigger === null ? null : planOf(run, trigger, size);
  if (trigger !== null && plan !== null) return performCompaction(host, run, { prepared, plan, trigger, asked: asked?.instructions }, attempt);
  if (asked?.trigger === 'manual') return failed({ code: 'nothing_to_compact', message: 'there is nothing in the history that a summary could stand for', retryable: false });
  if (asked !== null || size.tokens > size.windowTokens) return failed(overflow(size, run.history.isFreshlyCompacted));
  const outcome = await performGeneration(host, run, attempt, prepared, measured);
  return outcome.kind === 'failed' ? afterFailure(run, outcome, size) : outcome;
}

function isOver({ agent }: SessionRun, { tokens, windowTokens }: ContextSize): boolean {
  const share = agent.limits.compactAtShare;
  return tokens > windowTokens || (share !== null && tokens > windowTokens * share);
}

/** What a compaction would do; null: too little for what it costs, or nothing. */
function planOf({ history }: SessionRun, trigger: CompactionTrigger, { tokens, windowTokens }: ContextSize): CompactionPlan | null {
  // A provider that refuses a prompt takes less than it was thought to.
  const taken = trigger === 'overflow' ? Math.min(tokens, windowTokens) : windowTokens;
  const plan = planCompaction(history.items, history.unanswered, trigger === 'manual' ? 0 : taken * tailShare);
  return trigger === 'threshold' && tokens <= windowTokens && (plan?.coveredTokens ?? 0) < windowTokens * gainShareMin ? null : plan;
}

/** A prompt that the provider finds too long is compacted once, whatever was measured. */
function afterFailure(run: SessionRun, outcome: Extract<GenerationOutcome, { kind: 'failed' }>, size: ContextSize): GenerationOutcome {
  if (outcome.error.code !== 'context_overflow' || run.history.isFreshlyCompacted || planOf(run, 'overflow', size) === null) return outcome;
  return { ...outcome, compacts: true };
}

function overflow({ tokens, windowTokens }: ContextSize, isCompacted: boolean): ErrorInfo {
  const why = isCompacted ? 'also now that the history has been compacted' : 'and there is nothing in the history to compact';
  return { code: 'context_overflow', message: `the prompt takes about ${tokens} tokens and the model takes ${windowTokens}, ${why}`, retryable: false };
}
