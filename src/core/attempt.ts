import type { ContextSize } from './compaction.ts';

/** What one try at a generation was and cost (G14). */
export interface AttemptRecord {
  readonly id: string;
  /** 1 for the first try of a step. */
  readonly number: number;
  readonly startedAtMs: number;
  readonly durationMs?: number;
  /** From the start to the first part. */
  readonly firstPartMs?: number;
  readonly provider?: string;
  readonly model?: string;
  readonly agentVersion?: string;
  /** FNV-1a of the instructions as sent, so that a change of them is seen. */
  readonly instructionsHash?: string;
  readonly providerResponseId?: string;
  /** What it was for. Absent: a step of the turn. */
  readonly purpose?: AttemptPurpose;
  /** Size of the prompt as it was measured before it was sent, and the model's window. */
  readonly context?: ContextSize;
  /** null: not known, and never guessed. */
  readonly usage: Usage | null;
  /** By the prices that the agent had then, in millionths of their currency. Absent: not known, because the usage is not or its model had no price. */
  readonly costMicros?: number;
}

/** Generations beside a turn's steps: a summary in place of the history before it, a session's title, the label of a turn, what a simulated user says. */
export type AttemptPurpose = 'compaction' | 'title' | 'turn-summary' | 'simulated-user';

/** Tokens as the provider counted them; absent where it did not say. */
export interface Usage {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly cachedInputTokens?: number;
  readonly reasoningTokens?: number;
}

/** An error as it is stored and shown: never a secret, never a stack. */
export interface ErrorInfo {
  /** Stable name: `overloaded`, `rate_limit`, `timeout`, `stream_silence`, `truncated_stream`, `connection_reset`, `provider_error`, `authentication`, `configuration`, `quota`, `content_refused`, `context_overflow`, `poisoned`, `usage_limit`, … */
  readonly code: string;
  readonly message: string;
  readonly provider?: string;
  readonly httpStatus?: number;
  readonly retryable: boolean;
}
