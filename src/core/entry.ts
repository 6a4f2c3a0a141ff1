import type { CallResult } from './call-result.ts';
import type { ActionOpened, ActionResolved } from './action.ts';
import type { Compaction, ContextInjected, ContextSize } from './compaction.ts';
import type { BranchDiscarded, BranchRestored, HistoryRedone, HistoryRewound } from './history-entry.ts';
import type { Binding, Identity } from './identity.ts';
import type { JsonObject } from './json.ts';
import type { EntryRedacted, Redaction } from './redaction-entry.ts';
import type { StateChanged } from './state-entry.ts';
import type { StepPart } from './step-part.ts';
import type { LateResult, OperationEnded, OperationResult, OperationStarted } from './operation.ts';

/**
 * The entries of a session's log: one immutable fact each. A kind is either *timeline* (it belongs to the
 * conversation's history) or *ledger* (kept beside it); `entry-format.ts` says which, and reads old versions.
 */
export interface EntryHead {
  /** Dense per session, from 1. */
  readonly seq: number;
  /** Version of the kind's format. */
  readonly v: number;
  readonly atMs: number;
  /** Absent: both the person and the model see it. */
  readonly visibility?: 'user' | 'model';
  /** With an imported session: what the source said and no other field holds, so that an export gives it back. Nothing else reads it. */
  readonly imported?: JsonObject;
  /** Copied into a fork: it happened, and was counted, in the session that it is from. */
  readonly copied?: true;
  /** Its content was removed. */
  readonly redacted?: Redaction;
}

export type { CallResult, Outcome } from './call-result.ts';
export type { Interval } from './history-entry.ts';
export type { Binding, Identity } from './identity.ts';
export type { FilePart, OtherPart, PartialCallPart, ProviderMetadata, ProviderResultPart, ReasoningPart, SourcePart, StepPart, TextPart, ToolCallPart } from './step-part.ts';

export type Entry = EntryHead & EntryBody;
export type EntryKind = EntryBody['kind'];
export type EntryOf<Kind extends EntryKind> = Extract<Entry, { readonly kind: Kind }>;

/** An entry as a transition writes it, before it has its seq. */
export type EntryDraft = EntryBody & Pick<EntryHead, 'visibility' | 'imported' | 'copied'>;

export type EntryBody =
  | SessionCreated
  | TurnStarted
  | UserMessage
  | AssistantStep
  | ToolResults
  | TurnEnded
  | MessageQueued
  | QueuedMessageEdited
  | QueuedMessageMoved
  | MessageUnqueued
  | QueueHeld
  | QueueReleased
  | AttemptFailed
  | AttemptLost
  | AttemptStopped
  | TitleSet
  | MetadataSet
  | ArchivedSet
  | HistoryRewound
  | HistoryRedone
  | BranchDiscarded
  | BranchRestored
  | SessionEnded
  | OwnerChanged
  | EntryRedacted
  | ContextInjected
  | HistoryCompacted
  | StateChanged
  | ActionOpened
  | ActionResolved
  | OperationStarted
  | OperationEnded
  | OperationResult
  | LateResult;

export interface SessionCreated {
  readonly kind: 'session-created';
  readonly agent: string;
  readonly owner: string;
  readonly externalId?: string;
  readonly title?: string;
  readonly metadata?: JsonObject;
  readonly subject?: Identity;
  readonly binding?: Binding;
  readonly threadId?: string;
  readonly forkedFrom?: ForkOrigin;
}

/** Where a fork comes from. The origin may be gone since. */
export interface ForkOrigin {
  readonly sessionId: string;
  /** The last turn that was copied; null: none was. */
  readonly turnId: string | null;
}

/** A turn that no user message opened. */
export interface TurnStarted {
  readonly kind: 'turn-started';
  readonly turnId: string;
  readonly origin: 'greeting' | 'operation' | 'compaction';
  /** Of a compaction: what was asked for with it. */
  readonly instructions?: string;
}

export type MessagePart =
  | { readonly type: 'text'; readonly text: string }
  /** `data` is base64, or a URL that the provider fetches. */
  | { readonly type: 'file'; readonly mediaType: string; readonly data?: string; readonly url?: string; readonly filename?: string };

/** What a client sends; the same whether it starts a turn at once or waits in the queue. */
export interface MessageContent {
  readonly messageId: string;
  readonly parts: readonly MessagePart[];
  readonly actor?: Identity;
  /** One of the agent's allowed models, for this turn. */
  readonly model?: string;
  /** Tools that the client runs itself, for this turn. */
  readonly clientTools?: readonly ClientTool[];
  readonly metadata?: JsonObject;
  /** Who sees it; absent: the person and the model. One that only the person sees is a note: nothing answers it. */
  readonly visibility?: 'user' | 'model';
}

/** A tool that a client brings and runs. */
export interface ClientTool {
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of the input. */
  readonly inputSchema: JsonObject;
}

export interface UserMessage extends MessageContent {
  readonly kind: 'user-message';
  /** The turn that it opens, or that it joins. */
  readonly turnId: string;
  /** It joined a turn that was running already. */
  readonly steered?: true;
}

/** One committed generation. Its seq and a call's index are the call's identity; the provider's id is not. */
export interface AssistantStep {
  readonly kind: 'assistant-step';
  readonly turnId: string;
  readonly attempt: AttemptRecord;
  readonly parts: readonly StepPart[];
  readonly finishReason: FinishReason;
  /** Set when a stop ended the generation: the parts are what was shown. */
  readonly stopped?: true;
  readonly warnings?: readonly string[];
}

export type FinishReason = 'stop' | 'length' | 'content-filter' | 'tool-calls' | 'error' | 'interrupted' | 'other';

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

/** The results of a step's calls, in call order: each call of the step exactly once (G8). */
export interface ToolResults {
  readonly kind: 'tool-results';
  readonly turnId: string;
  readonly stepSeq: number;
  readonly results: readonly CallResult[];
}

export type TurnEndReason = 'complete' | 'stop_after_tool' | 'max_steps' | 'stopped' | 'failed';

export interface TurnEnded {
  readonly kind: 'turn-ended';
  readonly turnId: string;
  readonly reason: TurnEndReason;
  readonly error?: ErrorInfo;
}

/** An error as it is stored and shown: never a secret, never a stack. */
export interface ErrorInfo {
  /** Stable name: `overloaded`, `rate_limit`, `timeout`, `stream_silence`, `truncated_stream`, `connection_reset`, `provider_error`, `authentication`, `configuration`, `quota`, `content_refused`, `context_overflow`, `compaction_empty`, `nothing_to_compact`, `redacted_meanwhile`, `poisoned`, … */
  readonly code: string;
  readonly message: string;
  readonly provider?: string;
  readonly httpStatus?: number;
  readonly retryable: boolean;
}

/** A message that waits for the running turn to end. */
export interface MessageQueued extends MessageContent {
  readonly kind: 'message-queued';
  /** The turn it will open. */
  readonly turnId: string;
  /** It goes before the messages that wait already. */
  readonly first?: true;
  /** It joins the running turn before its next generation; if that ends first, it goes before the others. */
  readonly steer?: true;
}

export interface QueuedMessageEdited extends MessageContent {
  readonly kind: 'queued-message-edited';
  readonly turnId: string;
}

export interface QueuedMessageMoved {
  readonly kind: 'queued-message-moved';
  readonly messageId: string;
}

export interface MessageUnqueued {
  readonly kind: 'message-unqueued';
  readonly messageId: string;
  readonly reason: 'deleted' | 'session-ended';
}

export interface QueueHeld {
  readonly kind: 'queue-held';
}

export interface QueueReleased {
  readonly kind: 'queue-released';
}

export interface AttemptFailed {
  readonly kind: 'attempt-failed';
  readonly turnId: string;
  readonly attempt: AttemptRecord;
  readonly error: ErrorInfo;
  /** When it is tried again; absent when the turn fails with this attempt. */
  readonly retry?: { readonly delayMs: number; readonly atMs: number };
  /** The history is compacted before the next try: the provider found the prompt too long. */
  readonly compacts?: true;
}

/** The model is sent a summary in place of the history before it; `attempt` made it. */
export interface HistoryCompacted extends Compaction {
  readonly kind: 'history-compacted';
  readonly turnId: string;
  readonly attempt: AttemptRecord;
}

/** An attempt that died with its worker, recorded by the next claimant. */
export interface AttemptLost {
  readonly kind: 'attempt-lost';
  readonly turnId: string;
  readonly attempt: AttemptRecord;
}

/** An attempt that a stop ended before anything of it was shown. */
export interface AttemptStopped {
  readonly kind: 'attempt-stopped';
  readonly turnId: string;
  readonly attempt: AttemptRecord;
}

export interface TitleSet {
  readonly kind: 'title-set';
  readonly title: string | null;
  readonly by: 'person' | 'generated';
}

export interface MetadataSet {
  readonly kind: 'metadata-set';
  readonly metadata: JsonObject;
}

export interface ArchivedSet {
  readonly kind: 'archived-set';
  readonly archived: boolean;
}

/** The session was given to another owner: a guest has become somebody with an account. */
export interface OwnerChanged {
  readonly kind: 'owner-changed';
  readonly from: string;
  readonly to: string;
}

export interface SessionEnded {
  readonly kind: 'session-ended';
  readonly reason: 'api' | 'inactivity';
}
