import { z } from 'zod';
import type { FeedEventBody } from '../core/feed-event.ts';
import { actionType, entrySchema } from './entry-schema.ts';
import { operationSchema, sessionStatus } from './reply-schemas.ts';

/** The published shape of an event of a stream: the `data` of each server-sent event; its `event:` is the type, its `id:` the position. */

const text = z.string();
const optionalText = z.exactOptional(text);
const yes = z.exactOptional(z.literal(true));

const segment = z.object({
  part: z.int(), type: z.enum(['text', 'reasoning', 'tool-input']), offset: z.int(), text, toolName: optionalText, toolCallId: optionalText,
});

const queuedMessage = z.object({
  messageId: text, turnId: text, seq: z.int(), model: optionalText, clientTools: yes, steer: yes, queuedAtMs: z.number(), preview: optionalText,
});

const openAction = z.object({
  id: text, type: actionType, index: z.int(), toolCallId: text, toolName: text, inputHash: text, openedAtMs: z.number(), expiresAtMs: z.number().nullable(),
  roles: z.exactOptional(z.array(text)), reason: optionalText,
});

export const eventSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('entry'), entry: entrySchema }),
  z.object({ type: z.literal('chunk'), attemptId: text, turnId: text, segments: z.array(segment) }),
  z.object({ type: z.literal('chunk-retracted'), attemptId: text }),
  z.object({ type: z.literal('status'), status: sessionStatus, turnId: text.nullable() }),
  z.object({ type: z.literal('queue'), held: z.boolean(), messages: z.array(queuedMessage) }),
  z.object({ type: z.literal('action'), turnId: text.nullable(), actions: z.array(openAction) }),
  z.object({ type: z.literal('operation'), operations: z.array(operationSchema) }),
  z.object({ type: z.literal('retry'), attempt: z.int(), delayMs: z.number(), atMs: z.number(), reason: text }),
  // At the end of the stream of a session that was deleted.
  z.object({ type: z.literal('deleted') }),
]) satisfies z.ZodType<FeedEventBody | { readonly type: 'deleted' }>;
