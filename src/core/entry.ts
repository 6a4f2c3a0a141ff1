import type { AttemptRecord, ErrorInfo } from './attempt-record.ts';
import type { CallResult } from './call-result.ts';
import type { ActionOpened, ActionResolved, CallNeed } from './action.ts';
import type { BranchDiscarded, BranchRestored, HistoryRedone, HistoryRewound } from './history-entry.ts';
import type { Binding, Identity } from './identity.ts';
import type { JsonObject, JsonValue } from './json.ts';
import type { LabelFailed, LabelsWanted, SummarySet, TitleSet } from './label-entry.ts';
import type { EntryRedacted, Redaction } from './redaction-entry.ts';
import type { SimulatorSet, UserSimulated } from './simulation-entry.ts';
import type { StateChanged } from './state-entry.ts';
import type { CallOperation, LateResult, OperationEnded, OperationResult, OperationStarted } from './operation.ts';

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

export type { AttemptPurpose, AttemptRecord, ErrorInfo, Usage } from './attempt-record.ts';
export type { CallResult, Outcome } from './call-result.ts';
export type { SimulatorSet, SimulatorSettings, UserSimulated } from './simulation-entry.ts';
export type { LabelFailed, LabelKind, LabelsWanted, SummarySet, TitleSet } from './label-entry.ts';
export type { Interval } from './history-entry.ts';
export type { Binding, Identity } from './identity.ts';

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
  | LabelsWanted
  | SummarySet
  | LabelFailed
  | SimulatorSet
  | UserSimulated
  | MetadataSet
  | ArchivedSet
  | HistoryRewound
  | HistoryRedone
  | BranchDiscarded
  | BranchRestored
  | SessionEnded
  | OwnerChanged
  | EntryRedacted
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
  readonly origin: 'greeting' | 'operation';
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

/** What a provider attached to a part, given back to it unchanged in the next prompt. */
export type ProviderMetadata = JsonObject;

export type StepPart = TextPart | ReasoningPart | ToolCallPart | PartialCallPart | ProviderResultPart | SourcePart | FilePart | OtherPart;

export interface TextPart {
  readonly type: 'text';
  readonly text: string;
  readonly providerMetadata?: ProviderMetadata;
}

export interface ReasoningPart {
  readonly type: 'reasoning';
  readonly text: string;
  readonly providerMetadata?: ProviderMetadata;
}

export interface ToolCallPart {
  readonly type: 'tool-call';
  /** Place among the step's calls, from 0: half of a call's identity. */
  readonly index: number;
  /** The provider's id. Providers reuse them, so it names a call only within its step. */
  readonly toolCallId: string;
  readonly toolName: string;
  readonly input: JsonValue;
  /** The input's text as streamed, where it is not simply `JSON.stringify(input)`. */
  readonly inputText?: string;
  /** Why the call cannot run: unknown tool, invalid input. It is answered with an error. */
  readonly problem?: string;
  /** The provider ran it; its result is a part of this step, and it never runs here. */
  readonly providerExecuted?: true;
  readonly dynamic?: true;
  readonly title?: string;
  /** SHA-256 of the canonical input, base64url, where an action may be bound to it. */
  readonly inputHash?: string;
  readonly needs?: CallNeed;
  /** Nobody is asked: the agent's own rules deny it. */
  readonly denied?: { readonly code: string; readonly reason: string };
  /** It runs as an operation. */
  readonly operation?: CallOperation;
  /** The MCP server whose tool it is. */
  readonly mcpServer?: string;
  readonly providerMetadata?: ProviderMetadata;
}

/** A call whose input was still being written when the turn was stopped. It is shown and never sent to a model. */
export interface PartialCallPart {
  readonly type: 'partial-call';
  readonly toolName: string;
  readonly inputText: string;
}

/** The result of a provider-executed call. */
export interface ProviderResultPart {
  readonly type: 'tool-result';
  readonly toolCallId: string;
  readonly toolName: string;
  readonly output: JsonValue;
  readonly isError?: true;
  readonly providerMetadata?: ProviderMetadata;
}

export interface SourcePart {
  readonly type: 'source';
  readonly sourceType: 'url' | 'document';
  readonly id: string;
  readonly url?: string;
  readonly title?: string;
  readonly mediaType?: string;
  readonly filename?: string;
  readonly providerMetadata?: ProviderMetadata;
}

export interface FilePart {
  readonly type: 'file' | 'reasoning-file';
  readonly mediaType: string;
  readonly data?: string;
  readonly url?: string;
  readonly providerMetadata?: ProviderMetadata;
}

/** A part of a kind this version does not interpret (approval requests of the provider's own tools, custom content): kept whole. */
export interface OtherPart {
  readonly type: 'other';
  readonly value: JsonObject;
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
