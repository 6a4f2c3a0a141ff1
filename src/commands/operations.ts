import { completionTokenHash, tenantOfToken } from '../agent/completion-token.ts';
import { checkOutput } from '../agent/model-tools.ts';
import { failedCall } from '../core/call-result.ts';
import type { CallResult } from '../core/entry.ts';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { wellFormedJson, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { isLive, operationView, type Operation, type OperationStatus, type OperationView } from '../core/operation.ts';
import { cancelOperation as cancelTransition, completeOperation as completeTransition, type OperationEndReply, type OperationTransition } from '../core/operation-transitions.ts';
import type { Principal } from '../agent/tool.ts';
import type { OperationKey, SessionRef } from '../store/store.ts';
import { capAnswer } from './cap-answer.ts';
import { circumstancesOf, ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { asJson, completeInput, parseInput, type CompleteInput } from './input.ts';
import { refuseValue } from './resolve.ts';
import { afterCommit } from './run-command.ts';

export interface OperationViewPage {
  /** Newest first. */
  readonly items: readonly OperationView[];
  /** `before` of the next page; null at the end. */
  readonly nextCursor: string | null;
}

/** An operation as of now. Refusal: `operation_not_found`. */
export async function readOperation({ store }: Pick<CommandHost, 'store'>, id: string, principal: Principal): Promise<OperationView | Refusal> {
  const operation = await store.readOperation(keyOf(id, principal));
  return operation === null ? noOperation(id) : operationView(operation);
}

/** The operations of a session that the caller may see, newest first, ended ones included; `limit` at most 100. */
export async function listOperations({ store }: Pick<CommandHost, 'store'>, ref: SessionRef, { status, before, limit }: { readonly status?: OperationStatus | undefined; readonly before?: string | undefined; readonly limit: number }): Promise<OperationViewPage> {
  const { items, nextCursor } = await store.listOperations(ref, { status, before, limit: Math.min(limit, limits.pageItemsMax) });
  return { items: items.map(operationView), nextCursor };
}

/** Ends an operation that lives; its tool is told to end, and what it does from here on counts no more. Cancelling one that has ended is harmless and says how it ended. Refusal: `operation_not_found`. Safe to retry. */
export async function cancelOperation(host: CommandHost, id: string, { principal }: Pick<CommandOptions, 'principal'>): Promise<CommandReply<OperationEndReply> | Refusal> {
  return endOperation(host, keyOf(id, principal), cancelTransition(circumstancesOf(host)));
}

/**
 * Completes an operation from outside, by the one-time token that its tool was given: `token` of the body, else the one that is passed along. Of the token only the hash
 * goes on from here. Who completes it needs no other right. A second completion is harmless and says how the first ended. Refusals: `invalid_request` (also an output that the tool's
 * `outputSchema` does not take), `operation_not_found` (also with a wrong token). Safe to retry.
 */
export async function completeOperation(host: CommandHost, id: string, body: CompleteInput, bearerToken: string | null): Promise<CommandReply<OperationEndReply> | Refusal> {
  const parsed = parseInput(completeInput, body);
  if ('refused' in parsed) return parsed;
  const { token = bearerToken, ...completion } = parsed.input;
  const tenant = token === null ? null : tenantOfToken(token);
  if (token === null || tenant === null) return noOperation(id);
  const tokenHash = completionTokenHash(token);
  const operation = await host.store.readOperation({ tenant, id });
  if (operation === null || !operation.tokenHashes.includes(tokenHash)) return noOperation(id);
  const result = isLive(operation) ? await resultOf(host, operation, completion) : failedCall(operation, 'external_error', '');
  if (isRefusal(result)) return result;
  return endOperation(host, { tenant, id }, completeTransition(tokenHash, result, circumstancesOf(host)));
}

/** What a completion makes of the call. What is too large for the log is kept before the commit that names it. */
async function resultOf(host: CommandHost, operation: Operation, { output, errorText }: { readonly output?: JsonValue | undefined; readonly errorText?: string | undefined }): Promise<CallResult | Refusal> {
  const { tenant, sessionId, agent: agentName, toolName, index, toolCallId, startedAtMs } = operation;
  const times = startedAtMs === null ? {} : { startedAtMs, durationMs: Math.max(0, host.system.clock.nowMs() - startedAtMs) };
  if (errorText !== undefined) return { ...failedCall(operation, 'external_error', errorText), ...times };
  const agent = host.agents.get(agentName);
  const tool = agent?.tools.get(toolName);
  const plain = wellFormedJson(asJson(output));
  const checked = tool === undefined ? null : await checkOutput(tool, plain);
  if (checked?.valid === false) return refuseValue('output', toolName, checked);
  return { index, toolCallId, toolName, outcome: 'done', ...(await capAnswer(host, { tenant, id: sessionId }, agent, toolName, plain)), ...times };
}

async function endOperation(host: CommandHost, key: OperationKey, transition: OperationTransition<OperationEndReply>): Promise<CommandReply<OperationEndReply> | Refusal> {
  const result = await host.store.updateOperation({ key, reads: { session: true }, transition });
  if (result.kind === 'refused') return result.operation === null ? noOperation(key.id) : result.refusal;
  host.work?.operationChanged(result.operation);
  if (result.session !== null) {
    host.committed(result.session, result.entries);
    afterCommit(host, result.session);
  }
  return { reply: result.reply, httpStatus: 200, replayed: false };
}

function keyOf(id: string, principal: Principal): OperationKey {
  return { tenant: principal.tenant, id, owner: ownerScope(principal) };
}

/** One answer for what is not there, what is another's, and a wrong token: to others it does not exist (G13). */
function noOperation(id: string): Refusal {
  return refuse('operation_not_found', `there is no operation ${id.slice(0, limits.clientIdCharsMax).toWellFormed()}`);
}
