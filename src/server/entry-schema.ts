import { z } from 'zod';
import type { CallResult, Entry, ErrorInfo, StepPart } from '../core/entry.ts';
import type { JsonObject } from '../core/json.ts';

/** The published shapes of the log: an entry of each kind, and what they are made of. */

export const json = z.json();
export const jsonObject: z.ZodType<JsonObject> = z.record(z.string(), json);
export const identity = z.object({ type: z.string(), id: z.string() });
export const binding = z.object({ id: z.string(), workspaceId: z.exactOptional(z.string()), botId: z.exactOptional(z.string()) });
export const turnEndReason = z.enum(['complete', 'stop_after_tool', 'max_steps', 'stopped', 'failed']);
const optionalText = z.exactOptional(z.string());
const yes = z.exactOptional(z.literal(true));
const metadata = z.exactOptional(jsonObject);

export const errorInfo = z.object({
  code: z.string(), message: z.string(), provider: optionalText, httpStatus: z.exactOptional(z.int()), retryable: z.boolean(),
}) satisfies z.ZodType<ErrorInfo>;

const tokens = z.exactOptional(z.int());
export const usage = z.object({ inputTokens: tokens, outputTokens: tokens, cachedInputTokens: tokens, reasoningTokens: tokens });

const messagePart = z.union([
  z.object({ type: z.literal('text'), text: z.string() }),
  z.object({ type: z.literal('file'), mediaType: z.string(), data: optionalText, url: optionalText, filename: optionalText }),
]);

const clientTool = z.object({ name: z.string(), description: optionalText, inputSchema: jsonObject });

const visibility = z.exactOptional(z.enum(['user', 'model']));

export const messageContent = {
  messageId: z.string(), parts: z.array(messagePart), actor: z.exactOptional(identity), model: optionalText, clientTools: z.exactOptional(z.array(clientTool)), metadata, visibility,
};

export const actionType = z.enum(['approval', 'client-tool', 'question', 'recovery']);
export const actionResolution = z.enum(['approved', 'denied', 'result', 'error', 'answered', 'expired', 'withdrawn']);
export const operationMode = z.enum(['await', 'detach']);
export const operationStatus = z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled', 'unknown']);
const roles = z.exactOptional(z.array(z.string()));

export const contextSize = z.object({ tokens: z.int(), windowTokens: z.int() });
export const compactionTrigger = z.enum(['manual', 'threshold', 'overflow']);

const attempt = z.object({
  id: z.string(), number: z.int(), startedAtMs: z.number(), durationMs: z.exactOptional(z.number()), firstPartMs: z.exactOptional(z.number()),
  provider: optionalText, model: optionalText, agentVersion: optionalText, instructionsHash: optionalText, providerResponseId: optionalText, usage: usage.nullable(),
  purpose: z.exactOptional(z.enum(['compaction', 'title', 'turn-summary', 'simulated-user'])), costMicros: tokens, context: z.exactOptional(contextSize),
});

const stepPart = z.union([
  z.object({ type: z.enum(['text']), text: z.string(), providerMetadata: metadata }),
  z.object({ type: z.enum(['reasoning']), text: z.string(), providerMetadata: metadata }),
  z.object({
    type: z.literal('tool-call'), index: z.int(), toolCallId: z.string(), toolName: z.string(), input: json, inputText: optionalText, problem: optionalText,
    providerExecuted: yes, dynamic: yes, title: optionalText, inputHash: optionalText, mcpServer: optionalText, providerMetadata: metadata,
    needs: z.exactOptional(z.object({ type: z.enum(['approval', 'client-tool', 'question']), expiresAfterMs: z.exactOptional(z.number()), roles, reason: optionalText })),
    denied: z.exactOptional(z.object({ code: z.string(), reason: z.string() })),
    operation: z.exactOptional(z.object({ mode: operationMode, key: optionalText })),
    transition: z.exactOptional(z.object({ from: z.string().nullable(), to: z.string(), reason: optionalText })),
  }),
  z.object({ type: z.literal('partial-call'), toolName: z.string(), inputText: z.string() }),
  z.object({ type: z.literal('tool-result'), toolCallId: z.string(), toolName: z.string(), output: json, isError: yes, providerMetadata: metadata }),
  z.object({
    type: z.literal('source'), sourceType: z.enum(['url', 'document']), id: z.string(), url: optionalText, title: optionalText, mediaType: optionalText,
    filename: optionalText, providerMetadata: metadata,
  }),
  z.object({ type: z.enum(['file', 'reasoning-file']), mediaType: z.string(), data: optionalText, url: optionalText, providerMetadata: metadata }),
  z.object({ type: z.literal('other'), value: jsonObject }),
]) satisfies z.ZodType<StepPart>;

export const outcome = z.enum(['done', 'failed', 'denied', 'expired', 'stopped', 'unknown']);

export const callResult = z.object({
  index: z.int(), toolCallId: z.string(), toolName: z.string(), outcome,
  output: z.exactOptional(json), modelOutput: metadata, errorText: optionalText, code: optionalText, mayHaveRun: yes,
  startedAtMs: z.exactOptional(z.number()), durationMs: z.exactOptional(z.number()), wholeBytes: z.exactOptional(z.int()),
  wholeId: optionalText, approvedInput: z.exactOptional(json), stopsTurn: yes,
}) satisfies z.ZodType<CallResult>;

const head = { seq: z.int(), v: z.int(), atMs: z.number(), visibility: z.exactOptional(z.enum(['user', 'model'])), imported: metadata, copied: yes, redacted: z.exactOptional(z.object({ atMs: z.number(), by: z.string() })) };

export const intervals = z.array(z.object({ fromSeq: z.int(), toSeq: z.int().nullable() }));
const deliveries = z.array(z.object({ operationId: z.string(), seq: z.int(), stepSeq: z.int(), turnId: z.string().nullable() }));
const node = z.exactOptional(z.string().nullable());
const turnId = z.string();
const labelKind = z.enum(['title', 'summary']);
const call = { stepSeq: z.int(), index: z.int() };
const namedCall = { ...call, toolCallId: z.string(), toolName: z.string() };

export const entrySchema = z.discriminatedUnion('kind', [
  z.object({
    ...head, kind: z.literal('session-created'), agent: z.string(), owner: z.string(), externalId: optionalText, title: optionalText, metadata,
    subject: z.exactOptional(identity), binding: z.exactOptional(binding), threadId: optionalText, 
    forkedFrom: z.exactOptional(z.object({ sessionId: z.string(), turnId: z.string().nullable() })),
  }),
  z.object({ ...head, kind: z.literal('turn-started'), turnId, origin: z.enum(['greeting', 'operation', 'compaction']), instructions: optionalText }),
  z.object({ ...head, kind: z.literal('user-message'), turnId, ...messageContent, steered: yes }),
  z.object({
    ...head, kind: z.literal('assistant-step'), turnId, attempt, parts: z.array(stepPart),
    finishReason: z.enum(['stop', 'length', 'content-filter', 'tool-calls', 'error', 'interrupted', 'other']), stopped: yes, scripted: yes, warnings: z.exactOptional(z.array(z.string())),
  }),
  z.object({ ...head, kind: z.literal('tool-results'), turnId, stepSeq: z.int(), results: z.array(callResult) }),
  z.object({ ...head, kind: z.literal('turn-ended'), turnId, reason: turnEndReason, error: z.exactOptional(errorInfo) }),
  z.object({ ...head, kind: z.literal('message-queued'), turnId, ...messageContent, first: yes, steer: yes }),
  z.object({ ...head, kind: z.literal('queued-message-edited'), turnId, ...messageContent }),
  z.object({ ...head, kind: z.literal('queued-message-moved'), messageId: z.string() }),
  z.object({ ...head, kind: z.literal('message-unqueued'), messageId: z.string(), reason: z.enum(['deleted', 'session-ended']) }),
  z.object({ ...head, kind: z.literal('queue-held') }),
  z.object({ ...head, kind: z.literal('queue-released') }),
  z.object({
    ...head, kind: z.literal('attempt-failed'), turnId, attempt, error: errorInfo, retry: z.exactOptional(z.object({ delayMs: z.number(), atMs: z.number() })), compacts: yes,
  }),
  z.object({ ...head, kind: z.literal('attempt-lost'), turnId, attempt }),
  z.object({ ...head, kind: z.literal('attempt-stopped'), turnId, attempt }),
  z.object({ ...head, kind: z.literal('title-set'), title: z.string().nullable(), by: z.enum(['person', 'generated']), turnId: optionalText, attempt: z.exactOptional(attempt) }),
  z.object({ ...head, kind: z.literal('labels-wanted'), turnId, labels: z.array(labelKind) }),
  z.object({ ...head, kind: z.literal('summary-set'), turnId, text: z.string(), endSeq: z.int(), attempt: z.exactOptional(attempt) }),
  z.object({ ...head, kind: z.literal('simulator-set'), simulator: z.object({ enabled: z.boolean(), persona: z.string(), maxTurns: z.int() }).nullable() }),
  z.object({
    ...head, kind: z.literal('user-simulated'), number: z.int(), attempt, messageId: optionalText, actionId: optionalText, ended: z.exactOptional(z.object({ reason: z.string() })), error: z.exactOptional(errorInfo),
  }),
  z.object({ ...head, kind: z.literal('label-failed'), turnId, label: labelKind, attempt, error: errorInfo }),
  z.object({ ...head, kind: z.literal('metadata-set'), metadata: jsonObject }),
  z.object({ ...head, kind: z.literal('archived-set'), archived: z.boolean() }),
  z.object({
    ...head, kind: z.literal('branch-discarded'), branchId: z.string(), fromTurnId: z.string().nullable(),
    intervals, turns: z.int(),
    before: z.exactOptional(intervals), deliveries: z.exactOptional(deliveries), node,
  }),
  z.object({
    ...head, kind: z.literal('history-rewound'), toTurnId: z.string().nullable(), branchId: z.string(), fromTurnId: z.string(), turns: z.int(), intervals, deliveries, node,
  }),
  z.object({
    ...head, kind: z.literal('entry-redacted'), redactedSeq: z.int(), redactedKind: z.string(), by: z.string(), clears: z.array(z.enum(['preview', 'title', 'metadata', 'summary', 'simulator'])), messageId: optionalText,
  }),
  z.object({ ...head, kind: z.literal('context-injected'), turnId, provider: z.string(), version: z.string(), text: z.string().nullable() }),
  z.object({
    ...head, kind: z.literal('history-compacted'), turnId, attempt, summary: z.string(), throughSeq: z.int(), keeps: z.array(z.int()), trigger: compactionTrigger, instructions: optionalText,
    tokensBefore: z.int(), tokensAfter: z.int(), windowTokens: z.int(),
  }),
  z.object({ ...head, kind: z.literal('owner-changed'), from: z.string(), to: z.string() }),
  z.object({ ...head, kind: z.literal('history-redone'), turns: z.int(), deliveries, node }),
  z.object({ ...head, kind: z.literal('branch-restored'), branchId: z.string(), turns: z.int(), visible: intervals, deliveries, node }),
  z.object({
    ...head, kind: z.literal('action-opened'), turnId, actionId: z.string(), type: actionType, ...namedCall, inputHash: z.string(), expiresAtMs: z.number().nullable(),
    roles, reason: optionalText,
  }),
  z.object({
    ...head, kind: z.literal('action-resolved'), turnId, actionId: z.string(), ...call, resolution: actionResolution, fingerprint: optionalText, by: optionalText,
    input: z.exactOptional(json), operation: z.exactOptional(z.object({ mode: operationMode, key: optionalText })), reason: optionalText,
  }),
  z.object({ ...head, kind: z.literal('operation-started'), turnId, operationId: z.string(), ...namedCall, mode: operationMode }),
  z.object({
    ...head, kind: z.literal('operation-ended'), operationId: z.string(), ...namedCall, mode: operationMode, status: operationStatus, result: z.exactOptional(callResult),
    deliveryTurnId: optionalText,
  }),
  z.object({ ...head, kind: z.literal('operation-result'), turnId, operationId: z.string(), ...namedCall, result: callResult }),
  z.object({ ...head, kind: z.literal('late-usage'), turnId, late: attempt }),
  z.object({
    ...head, kind: z.literal('budget-exhausted'), turnId, per: z.enum(['owner', 'tenant']), unit: z.enum(['tokens', 'cost']), period: z.enum(['day', 'week', 'month']), limit: z.number(), used: z.number(),
    resetAtMs: z.number(), nextAttempt: z.int(), retry: z.exactOptional(z.object({ delayMs: z.number(), atMs: z.number() })),
  }),
  z.object({ ...head, kind: z.literal('late-result'), turnId, stepSeq: z.int(), result: callResult }),
  z.object({
    ...head, kind: z.literal('state-changed'), scope: z.literal('conversation'), key: z.string(), value: z.exactOptional(json), deleted: yes, expiresAtMs: z.exactOptional(z.number()),
    by: z.enum(['tool', 'api']), turnId: optionalText, callKey: optionalText, actor: z.exactOptional(identity),
  }),
  z.object({ ...head, kind: z.literal('session-ended'), reason: z.enum(['api', 'inactivity', 'node']) }),
  z.object({
    ...head, kind: z.literal('node-entered'), node: z.string(), from: z.string().nullable(), by: z.enum(['start', 'tool', 'api']), turnId: optionalText, callKey: optionalText, reason: optionalText, forced: yes,
  }),
]) satisfies z.ZodType<Entry>;

/** Says what is wrong with a value that should be an entry, and where in it, as `.parts.0.text: …`; null: it is one. */
export function entryProblem(value: unknown): string | null {
  const parsed = entrySchema.safeParse(value);
  if (parsed.success) return null;
  const [issue] = parsed.error.issues;
  return `${(issue?.path ?? []).map((step) => `.${String(step)}`).join('')}: ${issue?.message ?? 'not valid'}`;
}
