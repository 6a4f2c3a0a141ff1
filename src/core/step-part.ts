import type { CallNeed } from './action.ts';
import type { JsonObject, JsonValue } from './json.ts';
import type { CallOperation } from './operation.ts';

/** What a provider attached to a part, given back to it unchanged in the next prompt. */
export type ProviderMetadata = JsonObject;

/** What an assistant step is made of. */
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
