import type { LanguageModelV4, LanguageModelV4CallOptions } from '@ai-sdk/provider';
import { windowOf } from '../agent/agent.ts';
import type { CompactionPlan } from '../agent/compaction-plan.ts';
import { compactionFrameTokens, compactionInstructions, compactionPieces, compactionPrompt, cutText, type CompactionPiece } from '../agent/compaction-text.ts';
import { bytesPerToken, estimatedTokens } from '../agent/context-size.ts';
import type { CompactionTrigger } from '../core/compaction.ts';
import type { Usage } from '../core/entry.ts';
import { HoldfastError } from '../core/errors.ts';
import { wellFormedText } from '../core/json.ts';
import { classifyFailure } from '../core/retry.ts';
import type { Attempt } from '../core/session.ts';
import type { GenerationOutcome } from '../core/settle.ts';
import { StreamDeadlines } from './deadlines.ts';
import { AttemptMeasure, hashText, readStream, type Prepared } from './perform-generation.ts';
import { providerFailure } from './provider-failure.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';
import { StreamAssembler } from './stream-assembler.ts';

/** Shares of the window that a summary may take, and one piece of what it is made of. */
const summaryShare = 0.2;
const pieceShare = 0.5;
/** What is wrong with the summary itself: trying again would not help. */
const ownFailures: ReadonlySet<string> = new Set(['compaction_empty', 'context_overflow', 'content_refused']);
/** A smaller piece would have nothing in it. */
const pieceTokensMin = 64;

export interface Compacting {
  readonly prepared: Prepared;
  readonly plan: CompactionPlan;
  readonly trigger: CompactionTrigger;
  /** What somebody asked for with it. */
  readonly asked: string | undefined;
}

/**
 * Has a summary written of what the plan covers, piece by piece where it is too long for one prompt, each with the summary of those before it. Nothing of it is shown as an answer. Never throws; null when the
 * run was aborted meanwhile.
 */
export async function performCompaction(host: WorkerHost, run: SessionRun, { prepared, plan, trigger, asked }: Compacting, attempt: Attempt): Promise<GenerationOutcome | null> {
  const { clock } = host.system;
  const { agent, history } = run;
  const model = agent.compaction.model ?? prepared.model;
  const instructions = agent.compaction.instructions ?? compactionInstructions;
  const size = prepared.size;
  const room = roomOf(Math.min(size.windowTokens, windowOf(agent, model), ...(trigger === 'overflow' ? [size.tokens] : [])), compactionFrameTokens(instructions, asked));
  const measured = new AttemptMeasure({ ...attempt, purpose: 'compaction' }, agent.version);
  measured.called({ model, size, instructionsHash: hashText(instructions) });
  const usages: (Usage | null)[] = [];
  try {
    if (room.pieceTokens < pieceTokensMin) throw new HoldfastError('context_overflow', `the model takes ${size.windowTokens} tokens, which leaves no room for a request to summarise: its instructions alone are too long`);
    let earlier = plan.earlier;
    for (const text of compactionPieces(plan.covered, room.pieceTokens)) {
      const read = await summarise(host, run, model, instructions, { earlier: earlier === null ? null : cutText(earlier, room.summaryBytes), text, asked }, (assembler) => {
        usages.push(assembler.finish?.usage ?? null);
        measured.answered(assembler, sumOf(usages));
      });
      earlier = cutText(read, room.summaryBytes);
    }
    const summary = earlier ?? '';
    if (summary === '') throw new HoldfastError('compaction_empty', 'the model wrote no summary');
    const { throughSeq, keeps, restTokens } = plan;
    const fixedTokens = estimatedTokens([prepared.options.prompt.filter(({ role }) => role === 'system'), prepared.options.tools]);
    return {
      kind: 'compacted', attempt: measured.record(clock.nowMs()), redactions: history.redactions,
      compaction: {
        summary, throughSeq, keeps, trigger, ...(asked === undefined ? {} : { instructions: asked }),
        tokensBefore: size.tokens, tokensAfter: fixedTokens + estimatedTokens(summary) + restTokens, windowTokens: size.windowTokens,
      },
    };
  } catch (error) {
    if (run.abort.signal.aborted) return null;
    if (error instanceof HoldfastError && ownFailures.has(error.code)) {
      return { kind: 'failed', attempt: measured.record(clock.nowMs()), error: { code: error.code, message: error.message, retryable: false }, retryAfterMs: 0 };
    }
    const failure = providerFailure(error, model.provider, clock.nowMs());
    return { kind: 'failed', attempt: measured.record(clock.nowMs()), error: classifyFailure(failure), retryAfterMs: failure.retryAfterMs ?? 0 };
  }
}

interface Room {
  readonly pieceTokens: number;
  readonly summaryBytes: number;
}

/** How a window is divided, so that every prompt for a summary has room for its answer. */
function roomOf(windowTokens: number, frameTokens: number): Room {
  const summaryTokens = Math.floor(windowTokens * summaryShare);
  return { summaryBytes: summaryTokens * bytesPerToken, pieceTokens: Math.min(Math.floor(windowTokens * pieceShare), windowTokens - frameTokens - 2 * summaryTokens) };
}

async function summarise(host: WorkerHost, run: SessionRun, model: LanguageModelV4, instructions: string, piece: CompactionPiece, onRead: (assembler: StreamAssembler) => void): Promise<string> {
  const assembler = new StreamAssembler();
  const deadlines = new StreamDeadlines(host.system.clock, run.agent.limits, run.abort.signal);
  const { toolChoice: _toolChoice, stopSequences: _stopSequences, ...settings } = run.agent.settings;
  const options: LanguageModelV4CallOptions = { ...settings, prompt: compactionPrompt(instructions, piece) };
  try {
    await readStream({ model, options }, assembler, () => undefined, deadlines, () => undefined);
  } catch (error) {
    throw deadlines.fault ?? error;
  } finally {
    deadlines.end();
    onRead(assembler);
  }
  if (assembler.finish?.reason === 'content-filter') throw new HoldfastError('content_refused', 'the provider refused to summarise the conversation (finish reason content-filter)');
  const text = assembler.parts().flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('').trim();
  if (text === '') throw new HoldfastError('compaction_empty', 'the model wrote no summary');
  return wellFormedText(text);
}

/** Usage of several calls; what one of them does not say is not known of all. */
function sumOf(usages: readonly (Usage | null)[]): Usage | null {
  const names = ['inputTokens', 'outputTokens', 'cachedInputTokens', 'reasoningTokens'] as const;
  if (usages.includes(null)) return null;
  return Object.fromEntries(names.flatMap((name) => {
    const counts = usages.flatMap((usage) => (usage?.[name] === undefined ? [] : [usage[name]]));
    return counts.length < usages.length ? [] : [[name, counts.reduce((sum, count) => sum + count, 0)]];
  })) as Usage;
}
