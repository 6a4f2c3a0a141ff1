import type { LanguageModelV4Message } from '@ai-sdk/provider';
import type { Entry } from '../core/entry.ts';

/** One entry of a history as a model is sent it. */
export interface HistoryItem {
  readonly seq: number;
  /** `said`: a user message; `told`: the end of an operation; `summary`: what stands in place of all before it. */
  readonly kind: 'said' | 'told' | 'step' | 'results' | 'context' | 'summary';
  readonly messages: readonly LanguageModelV4Message[];
  /** Estimated. */
  readonly tokens: number;
  /** Of a summary. */
  readonly text?: string;
  /** Of all but a summary. */
  readonly entry?: Entry;
}
