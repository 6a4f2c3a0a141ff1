import type { LanguageModelV4, LanguageModelV4CallOptions } from '@ai-sdk/provider';
import type { CompactionPlan } from '../agent/compaction-plan.ts';
import { compactionFrameTokens, compactionInstructions, compactionPieces, compactionPrompt, cutText, type CompactionPiece } from '../agent/compaction-text.ts';
import { bytesPerToken, estimatedTokens } from '../agent/context-size.ts';
import { windowTokensOf } from '../agent/context-window.ts';
import type { CompactionTrigger } from '../core/compaction.ts';
import type { Usage } from '../core/entry.ts';
import { HoldfastError } from '../core/errors.ts';
import { wellFormedText } from '../core/json.ts';
import { classifyFailure } from '../core/retry.ts';
import type { Attempt } from '../core/session.ts';
import type { GenerationOutcome } from '../core/settle.ts';
import { StreamDeadlines } from './deadlines.ts';
import { AttemptMeasure, hashText, readStream, type AbortedGeneration, type Prepared } from './perform-generation.ts';
import { providerFailure } from './provider-failure.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';
import { StreamAssembler } from './stream-assembler.ts';

/** The share of the window that a summary may take. */
const summaryShare = 0.1;
/** A smaller piece would have nothing in it. */
const pieceTokensMin = 64;
/** How often pieces are made smaller that the provider finds too long: it counts otherwise than we estimate. */
const halvingsMax = 4;
/** What is wrong with the summary itself: trying again would not help. */
const ownFailures: ReadonlySet<string> = new Set(['compaction_empty', 'context_overflow', 'content_refused']);

export interface Compacting {
  readonly prepared: Prepared;
  readonly plan: CompactionPlan;
  readonly trigger: CompactionTrigger;
  /** What somebody asked for with it. */
  readonly asked: string | undefined;
}

/**
 * Has a summary written of what the plan covers, piece by piece where it is too long for one prompt, each with the summary of those before it. Nothing of it is shown as an answer. Never throws.
 */
export async function performCompaction(host: WorkerHost, run: SessionRun, { prepared, plan, trigger, asked }: Compacting, attempt: Attempt): Promise<GenerationOutcome | AbortedGeneration> {
  const { clock } = host.system;
  const { agent, history } = run;
  const { size } = prepared;
  const model = agent.compaction.model ?? prepared.model;
  const instructions = agent.compaction.instructions ?? compactionInstructions;
  const measured = new AttemptMeasure({ ...attempt, purpose: 'compaction', agentVersion: agent.version }, agent.prices);
  measured.called({ model, size, instructionsHash: hashText(instructions) });
  const usages: (Usage | null)[] = [];
  const writer: Writer = {
    host, run, model, instructions, asked,
    onRead: (assembler) => {
      usages.push(assembler.finish?.usage ?? null);
      measured.answered(assembler, sumOf(usages));
    },
  };
  try {
    const summary = await writeSummary(writer, plan, roomOf(Math.min(size.windowTokens, agent.compaction.model === undefined ? size.windowTokens : windowTokensOf(model.modelId)), compactionFrameTokens(instructions, asked), trigger === 'overflow' ? plan : null));
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
    const record = measured.record(clock.nowMs());
    if (run.abort.signal.aborted) return { kind: 'aborted', attempt: record };
    if (error instanceof HoldfastError && ownFailures.has(error.code)) return { kind: 'failed', attempt: record, error: { code: error.code, message: error.message, retryable: false }, retryAfterMs: 0 };
    const failure = providerFailure(error, model.provider, clock.nowMs());
    return { kind: 'failed', attempt: record, error: classifyFailure(failure), retryAfterMs: failure.retryAfterMs ?? 0 };
  }
}

interface Room {
  readonly pieceTokens: number;
  readonly summaryBytes: number;
}

/** How a window is divided, so that a request has room for its piece, for the summary before it, and for the new one. `refused`: what the provider found too long is not sent as a whole again. */
function roomOf(windowTokens: number, frameTokens: number, refused: CompactionPlan | null): Room {
  const summaryTokens = Math.floor(windowTokens * summaryShare);
  const pieceTokens = windowTokens - frameTokens - 2 * summaryTokens;
  if (pieceTokens < pieceTokensMin) throw new HoldfastError('context_overflow', `the model takes ${windowTokens} tokens, and a request to summarise takes ${frameTokens} before anything is in it`);
  return { summaryBytes: summaryTokens * bytesPerToken, pieceTokens: refused === null ? pieceTokens : Math.max(pieceTokensMin, Math.min(pieceTokens, Math.ceil(refused.coveredTokens / 2))) };
}

/** What a summary is written with. */
interface Writer {
  readonly host: WorkerHost;
  readonly run: SessionRun;
  readonly model: LanguageModelV4;
  readonly instructions: string;
  readonly asked: string | undefined;
  readonly onRead: (assembler: StreamAssembler) => void;
}

async function writeSummary(writer: Writer, plan: CompactionPlan, room: Room): Promise<string> {
  const { clock } = writer.host.system;
  for (let halvings = 0, { pieceTokens } = room; ; halvings += 1, pieceTokens = Math.floor(pieceTokens / 2)) {
    try {
      let earlier = plan.earlier;
      for (const text of compactionPieces(plan.covered, pieceTokens)) {
        earlier = cutText(await summarise(writer, { earlier: earlier === null ? null : cutText(earlier, room.summaryBytes), text, asked: writer.asked }), room.summaryBytes);
      }
      if (earlier === null) throw new HoldfastError('compaction_empty', 'there is no text in what is to be summarised');
      return earlier;
    } catch (error) {
      const isTooLong = !(error instanceof HoldfastError) && classifyFailure(providerFailure(error, writer.model.provider, clock.nowMs())).code === 'context_overflow';
      if (!isTooLong || halvings >= halvingsMax || pieceTokens / 2 < pieceTokensMin) throw error;
    }
  }
}

async function summarise({ host, run, model, instructions, onRead }: Writer, piece: CompactionPiece): Promise<string> {
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
