/** How much of its model's window a prompt takes. */
export interface ContextSize {
  readonly tokens: number;
  readonly windowTokens: number;
}

/** Why a history was compacted: somebody asked for it, the prompt grew over the agent's share of the window, the provider refused it as too long. */
export type CompactionTrigger = 'manual' | 'threshold' | 'overflow';

/** What the model is sent in place of the beginning of a history. The entries that it stands for stay in the log, and people see them as before. */
export interface Compaction {
  readonly summary: string;
  /** Seq of the last entry that it stands for. */
  readonly throughSeq: number;
  /** Seqs of messages up to there that the model is sent all the same, word for word: nothing has answered them yet. */
  readonly keeps: readonly number[];
  readonly trigger: CompactionTrigger;
  /** What was asked for with it. */
  readonly instructions?: string;
  /** Size of the prompt before, and an estimate of it after. */
  readonly tokensBefore: number;
  readonly tokensAfter: number;
  readonly windowTokens: number;
}

/** A compaction that a turn is to make before it generates. */
export interface CompactionRequest {
  readonly trigger: 'manual' | 'overflow';
  readonly instructions?: string;
}

/** What the model is told beside the conversation, as its provider had it. */
export interface InjectedContext {
  readonly provider: string;
  readonly version: string;
  /** null: in this version the provider has nothing. */
  readonly text: string | null;
}

/** Context of a version that the visible history did not hold yet, given to the model from here on. */
export interface ContextInjected extends InjectedContext {
  readonly kind: 'context-injected';
  readonly turnId: string;
}
