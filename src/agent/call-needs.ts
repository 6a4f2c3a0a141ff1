import { createHash } from 'node:crypto';
import type { ModelMessage } from '@ai-sdk/provider-utils';
import type { CallNeed } from '../core/action.ts';
import type { ToolCallPart } from '../core/entry.ts';
import { canonicalJson, wellFormedText, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import type { Agent, StepScope } from './agent.ts';
import type { ToolApprovalStatus } from './tool-approval.ts';
import { isClientTool, type AgentTool, type ApprovalOptions } from './tool.ts';

/** What the agent's rules say of a call before it may run; as it is recorded with the call. */
export type CallRules = Pick<ToolCallPart, 'needs' | 'denied' | 'operation' | 'inputHash' | 'mcpServer'>;

export interface CallToRule {
  readonly toolCallId: string;
  readonly toolName: string;
  /** As the model wrote it, and as the tool's schema made it. */
  readonly input: JsonValue;
  readonly checkedInput: unknown;
}

/** What a valid call needs before it can run or end. Throws what the agent's own predicates throw. */
export async function callRules(agent: Agent, definition: AgentTool, call: CallToRule, scope: StepScope, messages: ModelMessage[]): Promise<CallRules> {
  const { needs, denied } = await askedOf(agent, definition, call, scope, messages);
  const operation = denied === undefined ? operationOf(definition, call, scope.session) : undefined;
  return {
    ...(needs === undefined ? {} : { needs }), ...(denied === undefined ? {} : { denied }), ...(operation === undefined ? {} : { operation }),
    ...(needs !== undefined || definition.recovery === 'ask' ? { inputHash: inputHashOf(call.input) } : {}),
    ...(definition.mcpServer === undefined ? {} : { mcpServer: definition.mcpServer }),
  };
}

/** SHA-256 of an input's canonical JSON, base64url. */
export function inputHashOf(input: JsonValue): string {
  return createHash('sha256').update(canonicalJson(input)).digest('base64url');
}

async function askedOf(agent: Agent, definition: AgentTool, call: CallToRule, scope: StepScope, messages: ModelMessage[]): Promise<Pick<ToolCallPart, 'needs' | 'denied'>> {
  const need = await needOf(agent, definition, call, scope, messages);
  if (need === null) return {};
  if ('denied' in need) return need;
  if (agent.headless === null) return { needs: need };
  const mayRunUnasked = need.type === 'approval' && agent.headless.allow.includes(call.toolName);
  return mayRunUnasked ? {} : { denied: { code: 'headless', reason: `the agent runs with nobody to ask, and ${call.toolName} is not on its allow list` } };
}

async function needOf(agent: Agent, definition: AgentTool, call: CallToRule, scope: StepScope, messages: ModelMessage[]): Promise<CallNeed | { readonly denied: NonNullable<ToolCallPart['denied']> } | null> {
  const { actionExpiresAfterMs, actionRoles: roles } = definition;
  const bound = (type: CallNeed['type'], expiresAfterMs: number | null, reason?: string): CallNeed => ({
    type, ...(expiresAfterMs === null ? {} : { expiresAfterMs }), ...(roles === undefined ? {} : { roles }), ...(reason === undefined ? {} : { reason: wellFormedText(reason.slice(0, limits.actionReasonCharsMax)) }),
  });
  if (definition.isQuestion === true) return bound('question', actionExpiresAfterMs ?? null);
  if (isClientTool(definition)) return bound('client-tool', actionExpiresAfterMs === undefined ? limits.clientToolExpiryMs : actionExpiresAfterMs);
  const status = await approvalOf(agent, definition, call, scope, messages);
  if (status.type === 'denied') return { denied: { code: 'denied', reason: wellFormedText((status.reason ?? 'the agent does not allow it').slice(0, limits.actionReasonCharsMax)) } };
  return status.type === 'user-approval' ? bound('approval', actionExpiresAfterMs ?? null, status.reason) : null;
}

async function approvalOf(agent: Agent, definition: AgentTool, call: CallToRule, scope: StepScope, messages: ModelMessage[]): Promise<Extract<ToolApprovalStatus, object>> {
  const { toolApproval } = agent;
  const { toolCallId, toolName, checkedInput } = call;
  const { context } = scope;
  if (typeof toolApproval === 'function') {
    const toolCall = { type: 'tool-call' as const, toolCallId, toolName, input: checkedInput };
    return normalized(await toolApproval({ toolCall, tools: Object.fromEntries(agent.tools), toolsContext: context, runtimeContext: context, messages }));
  }
  // A tool's name is the model's choice: only what the agent itself says of it counts.
  const own = toolApproval !== undefined && Object.hasOwn(toolApproval, toolName) ? toolApproval[toolName] : undefined;
  if (typeof own === 'function') return normalized(await own(checkedInput as never, { toolCallId, messages, toolContext: context, runtimeContext: context }));
  if (own !== undefined) return normalized(own);
  const { needsApproval } = definition;
  if (typeof needsApproval !== 'function') return { type: needsApproval === true ? 'user-approval' : 'not-applicable' };
  const predicate = needsApproval as (input: unknown, options: ApprovalOptions) => boolean | PromiseLike<boolean>;
  return { type: (await predicate.call(definition, checkedInput, { ...scope, toolCallId, messages })) ? 'user-approval' : 'not-applicable' };
}

function normalized(status: ToolApprovalStatus): Extract<ToolApprovalStatus, object> {
  if (status === undefined) return { type: 'not-applicable' };
  return typeof status === 'string' ? { type: status } : status;
}

/** How a call of a `background` tool runs, by its input; undefined: not as an operation. Throws what the tool's own functions throw. */
export function operationOf({ background, operationKey }: AgentTool, { toolName, checkedInput }: Pick<CallToRule, 'toolName' | 'checkedInput'>, session: Pick<Session, 'owner' | 'agent'>): ToolCallPart['operation'] {
  if (background === undefined) return undefined;
  const mode = typeof background === 'function' ? background(checkedInput as never) : background;
  const key = operationKey?.(checkedInput as never);
  if (key === undefined) return { mode };
  // One key of one owner's agent and tool; canonical JSON, so that separators cannot collide.
  return { mode, key: canonicalJson([session.owner, session.agent, toolName, String(key).slice(0, limits.operationKeyCharsMax)]) };
}
