import type { LanguageModelV4ToolResultOutput, SharedV4ProviderOptions } from '@ai-sdk/provider';
import type { FlexibleSchema, ModelMessage } from '@ai-sdk/provider-utils';
import type { ToolRules } from '../core/decide.ts';
import type { Session } from '../core/session.ts';

/** Who calls: a tenant's owner. With authentication off, the tenant is `default`. */
export interface Principal {
  readonly tenant: string;
  readonly owner: string;
  readonly roles: readonly string[];
}

/** What a tool's `execute` is given beside its input. */
export interface ToolOptions<Context = unknown> {
  /** The provider's id of the call. Providers reuse it: use `callKey` to name the call. */
  readonly toolCallId: string;
  /** Names this call for ever, the same when it is run again: pass it on as an idempotency key. */
  readonly callKey: string;
  /** The conversation as the model had it, without the system message, and last the message that made the call (the AI SDK leaves that one out). */
  readonly messages: ModelMessage[];
  /** Aborted when the turn is stopped or taken over, and when the tool's time is over. */
  readonly abortSignal: AbortSignal;
  /** What the agent's `context` function returned for this step; never stored. */
  readonly context: Context;
  /** The session as of the step. */
  readonly session: Session;
  readonly principal: Principal;
}

/** What Holdfast knows of a tool beyond the AI SDK's fields. */
export interface ToolPolicy {
  /**
   * What happens to a call in flight when its worker dies (G6): `rerun` runs it again, `rerun-keyed` runs it again with the same
   * `callKey`, `report` ends it with the outcome `unknown` and tells the model. Default `report`.
   */
  readonly recovery?: ToolRules['recovery'];
  /** It must be the only call of its step; together with others nothing runs. Default false. */
  readonly exclusive?: boolean;
  /** Its success ends the turn. Default false. */
  readonly stopAfter?: boolean;
  /** How long it may run, in milliseconds. Default: the agent's `toolTimeoutMs` (300,000). */
  readonly timeoutMs?: number;
  /** How large a result the model and the log see, in UTF-8 bytes; a larger one keeps head and tail. Default: the agent's `toolResultBytesMax`. */
  readonly maxResultBytes?: number;
}

/** A tool of Holdfast: the AI SDK's fields, and a {@link ToolPolicy}. */
export interface Tool<Input, Output, Context = unknown> extends ToolPolicy {
  readonly description?: string;
  /** Any Standard Schema (zod, valibot, …) or the AI SDK's `jsonSchema()`. */
  readonly inputSchema: FlexibleSchema<Input>;
  execute(input: Input, options: ToolOptions<Context>): Output | PromiseLike<Output> | AsyncIterable<Output>;
  toModelOutput?(options: { toolCallId: string; input: Input; output: Output }): LanguageModelV4ToolResultOutput | PromiseLike<LanguageModelV4ToolResultOutput>;
  readonly strict?: boolean;
  readonly providerOptions?: SharedV4ProviderOptions;
}

/**
 * Any tool that an agent takes: Holdfast's, the AI SDK's `tool()` unchanged, or a provider's own. Structural, and with methods,
 * so that tools of whatever input and context fit.
 */
export interface AgentTool extends ToolPolicy {
  readonly type?: 'function' | 'dynamic' | 'provider' | undefined;
  readonly description?: unknown;
  readonly inputSchema: FlexibleSchema;
  execute?(input: never, options: never): unknown;
  toModelOutput?(options: never): unknown;
  readonly needsApproval?: unknown;
  readonly strict?: boolean | undefined;
  readonly providerOptions?: SharedV4ProviderOptions | undefined;
  /** With `type: 'provider'`. */
  readonly id?: string | undefined;
  readonly args?: Record<string, unknown> | undefined;
  readonly isProviderExecuted?: boolean | undefined;
}

/** Declares a tool with the types of its input and output inferred. Does nothing else. */
export function tool<Input, Output, Context = unknown>(definition: Tool<Input, Output, Context>): Tool<Input, Output, Context> {
  return definition;
}

/** Whether the provider runs the tool, so that it never runs here. */
export function isProviderExecuted(definition: AgentTool): boolean {
  return definition.type === 'provider' && definition.isProviderExecuted !== false;
}
