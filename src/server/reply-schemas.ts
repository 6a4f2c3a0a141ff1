import { z } from 'zod';
import type { CompactReply } from '../core/accept/compact.ts';
import type { ResolveReply } from '../core/accept/resolve.ts';
import type { Effect, EffectPage } from '../commands/effects.ts';
import type { EditedReply, MovedReply } from '../commands/history.ts';
import type { SendReply } from '../core/accept/send.ts';
import type { EnterNodeReply } from '../core/accept/node.ts';
import type { QueueReply } from '../core/accept/queue.ts';
import type { Branch } from '../core/history.ts';
import type { OperationView } from '../core/operation.ts';
import type { OperationEndReply } from '../core/operation-transitions.ts';
import type { TranscriptMessage } from '../core/transcript.ts';
import type { ActionView } from '../feed/action-view.ts';
import type { SessionView } from '../feed/session-view.ts';
import type { TurnView } from '../feed/turn-view.ts';
import {
  actionResolution, actionType, binding, callResult, compactionTrigger, contextSize, errorInfo, entrySchema, identity, intervals, jsonObject, messageContent, operationMode, operationStatus, outcome, turnEndReason, usage,
} from './entry-schema.ts';

/** The published shapes of replies. Each says by its type that it describes what is sent; a test says so of what is really sent. */

export const sessionStatus = z.enum(['idle', 'ready', 'running', 'requires_action', 'waiting', 'failed', 'ended']);

export const sessionSchema = z.object({
  id: z.string(), externalId: z.string().nullable(), owner: z.string(), agent: z.string(), title: z.string().nullable(), preview: z.string().nullable(), summary: z.object({ turnId: z.string(), text: z.string() }).nullable(),
  status: sessionStatus, archived: z.boolean(), metadata: jsonObject,
  subject: identity.nullable(), binding: binding.nullable(), threadId: z.string().nullable(),
  createdAtMs: z.int(), updatedAtMs: z.int(), activeAtMs: z.int(), revision: z.int(), lastSeq: z.int(),
  turnId: z.string().nullable(), error: errorInfo.nullable(),
  retry: z.object({ atMs: z.number(), attempt: z.int(), reason: z.string() }).nullable(),
  queue: z.object({ held: z.boolean(), count: z.int() }), actions: z.object({ count: z.int() }), operations: z.object({ count: z.int() }), turns: z.int(),
  branches: z.object({ count: z.int() }), redo: z.object({ fromTurnId: z.string(), turns: z.int() }).nullable(),
  forkedFrom: z.object({ sessionId: z.string(), turnId: z.string().nullable() }).nullable(), node: z.string().nullable(),
  simulator: z.object({ enabled: z.boolean(), persona: z.string(), maxTurns: z.int(), turns: z.int(), ended: z.boolean() }).nullable(),
  usage: z.object({ attempts: z.int(), inputTokens: z.int(), outputTokens: z.int(), cachedInputTokens: z.int(), reasoningTokens: z.int(), costMicros: z.exactOptional(z.int()) }),
  context: contextSize.nullable(),
}) satisfies z.ZodType<SessionView>;

export const sessionPageSchema = z.object({ items: z.array(sessionSchema), nextCursor: z.string().nullable(), count: z.int().nullable() });

const sentFields = {
  turnId: z.string(), messageId: z.string(), revision: z.int(), queued: z.boolean(),
  steers: z.exactOptional(z.object({ turnId: z.string() })), started: z.exactOptional(z.object({ turnId: z.string(), messageId: z.string() })),
};

export const compactedSchema = z.object({ turnId: z.string(), messageId: z.null(), revision: z.int(), queued: z.literal(false) }) satisfies z.ZodType<CompactReply>;

export const sentSchema = z.object(sentFields) satisfies z.ZodType<SendReply>;

export const createdSchema = z.object({
  session: sessionSchema,
  turn: z.union([sentSchema, z.object({ turnId: z.string(), messageId: z.null() })]).nullable(),
});

const effect = z.object({
  callId: z.string(), turnId: z.string(), seq: z.int(), toolName: z.string(), input: z.json(), outcome, mayHaveRun: z.exactOptional(z.literal(true)),
}) satisfies z.ZodType<Effect>;

export const effectPageSchema = z.object({ items: z.array(effect), nextCursor: z.int().nullable() }) satisfies z.ZodType<EffectPage>;

const movedFields = { revision: z.int(), turns: z.int(), effects: z.array(effect), moreEffects: z.boolean() };

export const movedSchema = z.object(movedFields) satisfies z.ZodType<MovedReply>;
export const editedSchema = z.object({ ...sentFields, ...movedFields }) satisfies z.ZodType<EditedReply>;
export const forkedSchema = z.object({ sessionId: z.string(), revision: z.int(), turns: z.int(), session: sessionSchema });

export const branchPageSchema = z.object({
  items: z.array(z.object({ id: z.string(), discardedAtMs: z.int(), fromTurnId: z.string().nullable(), turns: z.int(), before: intervals, intervals })) satisfies z.ZodType<readonly Branch[]>,
  nextCursor: z.string().nullable(),
  redo: z.object({ fromTurnId: z.string(), turns: z.int() }).nullable(),
});

export const revisionSchema = z.object({ revision: z.int() });
export const redactedSchema = z.object({ revision: z.int(), redacted: z.boolean() });
export const transferredSchema = z.object({ revision: z.int(), owner: z.string() });
export const deletedSchema = z.object({ deleted: z.literal(true) });
export const stoppedSchema = z.object({ stopped: z.boolean(), turnId: z.string().nullable(), revision: z.int() });
export const nodeEnteredSchema = z.object({ revision: z.int(), node: z.string(), from: z.string().nullable(), turnId: z.string().nullable(), status: sessionStatus }) satisfies z.ZodType<EnterNodeReply>;
export const endedSchema = z.object({ revision: z.int(), status: z.literal('ended') });

export const actionSchema = z.object({
  id: z.string(), type: actionType, toolName: z.string(), toolCallId: z.string(), callId: z.string(), input: z.json(), inputHash: z.string(), openedAtMs: z.number(),
  expiresAtMs: z.number().nullable(), reason: z.string().nullable(), roles: z.array(z.string()).nullable(),
}) satisfies z.ZodType<ActionView>;

export const actionListSchema = z.object({ turnId: z.string().nullable(), items: z.array(actionSchema) });

export const resolvedSchema = z.object({ actions: z.array(z.object({ actionId: z.string(), resolution: actionResolution })), revision: z.int() }) satisfies z.ZodType<ResolveReply>;

export const operationSchema = z.object({
  id: z.string(), sessionId: z.string(), turnId: z.string(), stepSeq: z.int(), index: z.int(), toolCallId: z.string(), toolName: z.string(), mode: operationMode,
  status: operationStatus, attempts: z.int(), progress: z.object({ fraction: z.number(), text: z.exactOptional(z.string()), atMs: z.number() }).nullable(), external: z.boolean(),
  result: callResult.nullable(), timeoutAtMs: z.number(), createdAtMs: z.number(), startedAtMs: z.number().nullable(), endedAtMs: z.number().nullable(),
}) satisfies z.ZodType<OperationView>;

export const operationPageSchema = z.object({ items: z.array(operationSchema), nextCursor: z.string().nullable() });
export const operationEndSchema = z.object({ operationId: z.string(), status: operationStatus }) satisfies z.ZodType<OperationEndReply>;

export const wholeResultSchema = z.unknown().describe('Any JSON value: the whole result of a call.');

export const turnSchema = z.object({
  id: z.string(), status: z.enum(['queued', 'running', 'requires_action', 'waiting', 'ended']), reason: turnEndReason.nullable(), error: errorInfo.nullable(), text: z.string(),
  steps: z.int(), usage: usage.extend({ costMicros: z.exactOptional(z.int()) }), messageId: z.string().nullable(), startedAtMs: z.int().nullable(), endedAtMs: z.int().nullable(),
  actions: z.array(actionSchema), context: contextSize.nullable(),
}) satisfies z.ZodType<TurnView>;

export const turnPageSchema = z.object({ items: z.array(turnSchema), nextCursor: z.int().nullable() });

const toolPart = z.object({
  type: z.templateLiteral(['tool-', z.string()]), toolCallId: z.string(),
  state: z.enum(['input-streaming', 'input-available', 'approval-requested', 'approval-responded', 'output-available', 'output-error', 'output-denied']),
  input: z.exactOptional(z.json()), output: z.exactOptional(z.json()), errorText: z.exactOptional(z.string()), providerExecuted: z.exactOptional(z.literal(true)),
  approval: z.exactOptional(z.object({
    id: z.string(), approved: z.exactOptional(z.boolean()), requestReason: z.exactOptional(z.string()), reason: z.exactOptional(z.string()),
    isAutomatic: z.exactOptional(z.literal(true)),
  })),
  callId: z.exactOptional(z.string()), outcome: z.exactOptional(outcome), code: z.exactOptional(z.string()), mayHaveRun: z.exactOptional(z.literal(true)),
  action: z.exactOptional(z.object({ id: z.string(), type: actionType, expiresAtMs: z.number().nullable() })),
  approvedInput: z.exactOptional(z.json()), wholeBytes: z.exactOptional(z.int()), lateResult: z.exactOptional(callResult),
  operation: z.exactOptional(z.object({
    id: z.string(), status: z.enum(['started', 'succeeded', 'failed', 'cancelled', 'unknown']), result: z.exactOptional(callResult),
  })),
});

export const messageSchema = z.object({
  id: z.string(), role: z.enum(['user', 'assistant']),
  metadata: z.object({
    turnId: z.string(), seq: z.int(), atMs: z.int(), end: z.exactOptional(turnEndReason), error: z.exactOptional(errorInfo), custom: z.exactOptional(jsonObject),
  }),
  parts: z.array(z.union([
    z.object({ type: z.literal('step-start') }),
    z.object({ type: z.enum(['text', 'reasoning']), text: z.string(), state: z.literal('done') }),
    z.object({ type: z.literal('file'), mediaType: z.string(), url: z.string(), filename: z.exactOptional(z.string()) }),
    z.object({ type: z.literal('source-url'), sourceId: z.string(), url: z.string(), title: z.exactOptional(z.string()) }),
    z.object({ type: z.literal('source-document'), sourceId: z.string(), mediaType: z.string(), title: z.string(), filename: z.exactOptional(z.string()) }),
    z.object({ type: z.literal('data-node'), data: z.object({ node: z.string(), from: z.string().nullable(), by: z.enum(['start', 'tool', 'api']) }) }),
    toolPart,
    z.object({ type: z.literal('data-compaction'), data: z.object({ seq: z.int(), trigger: compactionTrigger, tokensBefore: z.int(), tokensAfter: z.int() }) }),
  ])),
}) satisfies z.ZodType<TranscriptMessage>;

export const messagePageSchema = z.object({ items: z.array(messageSchema), nextCursor: z.int().nullable() });
export const entryPageSchema = z.object({ items: z.array(entrySchema), nextCursor: z.int().nullable() });

export const queueSchema = z.object({
  revision: z.int(), held: z.boolean(),
  items: z.array(z.object({ ...messageContent, turnId: z.string(), text: z.string(), queuedAtMs: z.int(), steer: z.exactOptional(z.literal(true)) })),
});

export const queueChangeSchema = z.object({ revision: z.int(), held: z.boolean(), messageIds: z.array(z.string()) }) satisfies z.ZodType<QueueReply>;

export const agentPageSchema = z.object({
  items: z.array(z.object({
    name: z.string(), version: z.string(), greets: z.boolean(), models: z.array(z.string()),
    tools: z.array(z.object({ name: z.string(), description: z.string().nullable() })),
    firstNode: z.string().nullable(), nodes: z.array(z.object({ name: z.string(), transitions: z.array(z.string()), ends: z.boolean() })),
  })),
});

export const healthSchema = z.object({ status: z.enum(['ok', 'not_ready']) });
