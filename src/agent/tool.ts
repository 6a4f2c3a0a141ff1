import type { LanguageModelV4ToolResultOutput, SharedV4ProviderOptions } from '@ai-sdk/provider';
import { jsonSchema, type FlexibleSchema, type ModelMessage } from '@ai-sdk/provider-utils';
import type { ToolRules } from '../core/decide.ts';
import type { OperationMode } from '../core/operation.ts';
import type { Session } from '../core/session.ts';
import type { SqlTransaction } from './sql-transaction.ts';
import type { ToolNode } from './tool-node.ts';
import type { ToolState } from './tool-state.ts';

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
  /** What the agent keeps between turns. */
  readonly state: ToolState;
  /** Where the conversation is, and where it may go. */
  readonly node: ToolNode;
  /**
   * Says how far an operation is, from 0 to 1; stored and shown at most every 250 ms, the last one of an interval always. Of a tool that is no operation it is
   * shown nowhere. Never throws.
   */
  readonly progress: (fraction: number, text?: string) => void;
  /**
   * For an operation that somebody outside completes: an address and a one-time token for `POST`ing `{output}` or `{errorText}` with `Authorization: Bearer <token>`.
   * The same for each time it is asked for in one run; when it rejects because the store did not answer, it can be asked for again. Once it has been and `execute` has returned, no worker is held until then. Resolves when that is committed. Rejects with code `not_an_operation` in a
   * tool without `background`.
   */
  readonly externalCompletion: () => Promise<ExternalCompletion>;
}

/** What `execute` of a tool with `transaction` is given. */
export interface TransactionToolOptions<Context = unknown> extends ToolOptions<Context> {
  /** What is written with it lands together with the call's result, or not at all; see {@link ToolPolicy.transaction}. */
  readonly transaction: SqlTransaction;
}

type OptionsOf<Context, InTransaction extends boolean> = InTransaction extends true ? TransactionToolOptions<Context> : ToolOptions<Context>;

export interface ExternalCompletion {
  readonly operationId: string;
  /** Absolute with the option `publicUrl` of `createHoldfast`, else from the server's root. */
  readonly url: string;
  /** Shown only here: the store keeps its hash. */
  readonly token: string;
}

/** What a probe finds out about a call whose worker died: it ran, and with what result; it did not, so it runs now; or nobody can tell (outcome `unknown`). */
export type ProbeFinding = { readonly ran: true; readonly output: unknown } | { readonly ran: false } | { readonly ran: 'unknown' };

/** Finds out whether a call ran whose worker died before it reported. Given what `execute` was given, with the same `callKey`. It may be asked more than once. */
export type RecoveryProbe = (input: never, options: never) => ProbeFinding | Promise<ProbeFinding>;

/** What Holdfast knows of a tool beyond the AI SDK's fields. */
export interface ToolPolicy {
  /**
   * What happens to a call in flight when its worker dies (G6): `rerun` runs it again, `rerun-keyed` runs it again with the same
   * `callKey`, `report` ends it with the outcome `unknown` and tells the model, `ask` lets a person decide, a function finds out. Default `report`. A tool
   * with `background` cannot `ask`.
   */
  readonly recovery?: Exclude<ToolRules['recovery'], 'probe'> | RecoveryProbe;
  /**
   * It runs as an operation with a life of its own: `await` parks the turn until it ends, `detach` answers the call at once and brings the result later. A function
   * decides by the call's input. Default: it runs within its step.
   */
  readonly background?: OperationMode | ((input: never) => OperationMode);
  /**
   * On Postgres only: `execute` runs in a transaction, given as `options.transaction`, whose commit also stores the call's result. What it writes with that happens exactly once for the call: when it throws, runs
   * out of time, is stopped or its process dies, nothing of it is kept; after a crash, and when it lost against another transaction, it runs again. So it has the recovery `rerun`, and what it does besides must bear
   * that. It holds a connection and whatever rows it has locked while it runs, for `timeoutMs` at most: keep it short. At most half of the connections of the store's pool are held so (4 of the 10 by default); further calls
   * wait for their turn, as long as their `timeoutMs`. It reads `state` and does not write it. Not together with another `recovery`, with `background`, or without `execute`. Default false.
   */
  readonly transaction?: boolean;
  /** With `background`: while an operation of the same owner, agent, tool and key lives, another call is answered `in_progress`. At most 255 characters. */
  readonly operationKey?: (input: never) => string;
  /** How long its approval, its client or its answer is waited for, in milliseconds; null: for ever. Default: a client tool 1,800,000 (30 min), else null. */
  readonly actionExpiresAfterMs?: number | null;
  /** Only a principal with one of these roles may decide its action (the role `system` always may). Default: whoever may use the session. */
  readonly actionRoles?: readonly string[];
  /** It must be the only call of its step; together with others nothing runs. Default false. */
  readonly exclusive?: boolean;
  /** Its success ends the turn. Default false. */
  readonly stopAfter?: boolean;
  /** How long it may run, in milliseconds. Default: the agent's `toolTimeoutMs` (300,000); with `background` a day, from its start to its end, restarts included. */
  readonly timeoutMs?: number;
  /** How large a result the model and the log see, in UTF-8 bytes; a larger one keeps head and tail. Default: the agent's `toolResultBytesMax`. */
  readonly maxResultBytes?: number;
}

/** A tool of Holdfast: the AI SDK's fields, and a {@link ToolPolicy}. */
export interface Tool<Input, Output, Context = unknown, InTransaction extends boolean = boolean> extends Omit<ToolPolicy, 'recovery' | 'background' | 'operationKey' | 'transaction'> {
  readonly description?: string;
  /** Any Standard Schema that can make its JSON Schema (zod, ArkType, valibot through `toStandardJsonSchema`), or the AI SDK's `jsonSchema()`. */
  readonly inputSchema: FlexibleSchema<Input>;
  /** Absent: a client tool. The turn waits until a client posts its result. */
  execute?(input: Input, options: OptionsOf<Context, InTransaction>): Output | PromiseLike<Output> | AsyncIterable<Output>;
  /** Any Standard Schema: what comes from outside as its result is checked against it. */
  readonly outputSchema?: FlexibleSchema<Output>;
  readonly transaction?: InTransaction;
  /** Whether a person has to approve a call before it runs; `agent({ toolApproval })` goes before it. Default false. */
  needsApproval?: boolean | ((input: Input, options: ApprovalOptions<Context>) => boolean | PromiseLike<boolean>);
  recovery?: Exclude<ToolRules['recovery'], 'probe'> | ((input: Input, options: ToolOptions<Context>) => ProbeFinding | Promise<ProbeFinding>);
  background?: OperationMode | ((input: Input) => OperationMode);
  operationKey?(input: Input): string;
  toModelOutput?(options: { toolCallId: string; input: Input; output: Output }): LanguageModelV4ToolResultOutput | PromiseLike<LanguageModelV4ToolResultOutput>;
  readonly strict?: boolean;
  readonly providerOptions?: SharedV4ProviderOptions;
}

/** What a predicate of `needsApproval` is given beside the call's input. */
export interface ApprovalOptions<Context = unknown> {
  readonly toolCallId: string;
  /** The conversation as the model had it. */
  readonly messages: ModelMessage[];
  readonly context: Context;
  readonly session: Session;
  readonly principal: Principal;
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
  readonly outputSchema?: FlexibleSchema | undefined;
  /** Made by {@link question}: its call is put to a person, whose answer is its result. */
  readonly isQuestion?: true;
  /** Made for a node: its call takes the transition to this one. */
  readonly transitionTo?: string;
  /** The MCP server whose tool it is. */
  readonly mcpServer?: string;
  readonly strict?: boolean | undefined;
  readonly providerOptions?: SharedV4ProviderOptions | undefined;
  /** With `type: 'provider'`. */
  readonly id?: string | undefined;
  readonly args?: Record<string, unknown> | undefined;
  readonly isProviderExecuted?: boolean | undefined;
}

/** Declares a tool with the types of its input and output inferred. Does nothing else. */
export function tool<Input, Output, Context = unknown, const InTransaction extends boolean = false>(definition: Tool<Input, Output, Context, InTransaction>): Tool<Input, Output, Context, InTransaction> {
  return definition;
}

/** Why a tool cannot run in a transaction as it is declared; null: it can, or does not ask to. */
export function transactionProblem(definition: AgentTool): string | null {
  const { transaction, background, recovery = 'rerun' } = definition;
  if (transaction !== true) return null;
  if (definition.execute === undefined) return 'has transaction and no execute: only what runs here can be part of a transaction';
  if (background !== undefined) return 'has transaction and background: an operation takes too long to hold a transaction open';
  if (recovery !== 'rerun') return 'has transaction and another recovery than rerun: its writes land with its result or not at all, so after a crash it simply runs again';
  return null;
}

export interface QuestionOptions {
  /** Tells the model when to ask. */
  readonly description?: string;
  /** What the model asks; default `{question, options?}`. Any Standard Schema or the AI SDK's `jsonSchema()`. */
  readonly inputSchema?: FlexibleSchema;
  /** What an answer must be like. Default: any JSON. */
  readonly answerSchema?: FlexibleSchema;
  /** How long an answer is waited for, in milliseconds. Default null: for ever. */
  readonly expiresAfterMs?: number | null;
  /** Only a principal with one of these roles may answer. Default: whoever may use the session. */
  readonly roles?: readonly string[];
}

/** A tool with which the model asks a person: the turn waits, and the answer is the call's result. */
export function question({ description, inputSchema, answerSchema, expiresAfterMs, roles }: QuestionOptions = {}): AgentTool {
  return {
    isQuestion: true,
    description: description ?? 'Asks the user a question and waits for the answer.',
    inputSchema: inputSchema ?? jsonSchema({
      type: 'object', required: ['question'], additionalProperties: false,
      properties: { question: { type: 'string' }, options: { type: 'array', items: { type: 'string' }, description: 'Answers to choose from, if there are some.' } },
    }),
    ...(answerSchema === undefined ? {} : { outputSchema: answerSchema }),
    ...(expiresAfterMs === undefined ? {} : { actionExpiresAfterMs: expiresAfterMs }),
    ...(roles === undefined ? {} : { actionRoles: roles }),
  };
}

/** Whether somebody outside gives the call its result. */
export function isClientTool(definition: AgentTool): boolean {
  return definition.execute === undefined && definition.isQuestion !== true && !isProviderExecuted(definition);
}

/** Whether the provider runs the tool, so that it never runs here. */
export function isProviderExecuted(definition: AgentTool): boolean {
  return definition.type === 'provider' && definition.isProviderExecuted !== false;
}
