import type { ModelMessage } from '@ai-sdk/provider-utils';
import type { AgentTool } from './tool.ts';

/** The AI SDK's verdict on a call. `undefined` is `not-applicable`. */
export type ToolApprovalStatus =
  | undefined
  | 'not-applicable' | 'approved' | 'denied' | 'user-approval'
  | { readonly type: 'not-applicable' | 'approved' | 'denied' | 'user-approval'; readonly reason?: string };

interface SdkApprovalOptions {
  readonly toolCallId: string;
  readonly messages: ModelMessage[];
  readonly toolContext: unknown;
  readonly runtimeContext: unknown;
}

interface SdkGenericApprovalOptions {
  readonly toolCall: { readonly type: 'tool-call'; readonly toolCallId: string; readonly toolName: string; readonly input: unknown };
  readonly tools: Readonly<Record<string, AgentTool>>;
  readonly toolsContext: unknown;
  readonly runtimeContext: unknown;
  readonly messages: ModelMessage[];
}

/** The AI SDK's `toolApproval`: one function for all calls, or a verdict or function per tool. It goes before a tool's `needsApproval`. */
export type ToolApproval =
  | ((options: SdkGenericApprovalOptions) => ToolApprovalStatus | PromiseLike<ToolApprovalStatus>)
  | Readonly<Record<string, ToolApprovalStatus | ((input: never, options: SdkApprovalOptions) => ToolApprovalStatus | PromiseLike<ToolApprovalStatus>)>>;
