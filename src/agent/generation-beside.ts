import type { LanguageModelV4, LanguageModelV4CallOptions } from '@ai-sdk/provider';
import type { AttemptPurpose, AttemptRecord, ErrorInfo } from '../core/entry.ts';
import type { JsonValue } from '../core/json.ts';
import type { AgentLimits } from '../core/limits.ts';
import type { ModelPrice } from '../core/price.ts';
import type { Attempt } from '../core/session.ts';

/** A generation that is no step of a turn: a label, what a simulated user says. It is not shown while it comes. */
export interface GenerationBeside {
  readonly attempt: Attempt;
  readonly purpose: AttemptPurpose;
  readonly model: LanguageModelV4;
  /** By model id. */
  readonly prices: ReadonlyMap<string, ModelPrice>;
  readonly options: LanguageModelV4CallOptions;
  readonly limits: Pick<AgentLimits, 'firstChunkTimeoutMs' | 'silenceTimeoutMs' | 'stepTimeoutMs'>;
  /** Aborting it ends the generation. */
  readonly signal: AbortSignal;
}

/** What came of it. Its attempt is to be recorded, whatever came of it (G14). */
export type BesideOutcome =
  | { readonly kind: 'generated'; readonly attempt: AttemptRecord; readonly text: string; readonly calls: readonly BesideCall[] }
  | { readonly kind: 'failed'; readonly attempt: AttemptRecord; readonly error: ErrorInfo; readonly retryAfterMs: number };

export interface BesideCall {
  readonly toolName: string;
  /** As the model made it; null where that is no JSON. */
  readonly input: JsonValue;
}

/** Generates. Never throws; null when it was aborted. */
export type GenerateBeside = (generation: GenerationBeside) => Promise<BesideOutcome | null>;
