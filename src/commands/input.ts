import { z } from 'zod';
import { refuse, type Refusal } from '../core/errors.ts';
import { isDeeperThan, utf8Bytes, wellFormedJson, wellFormedText, type JsonObject, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';

/** The shapes that commands take, by library and HTTP alike. Unknown fields are refused, so that a typo is not ignored. */

const text = z.string().refine((value) => wellFormedText(value) === value, 'has a lone surrogate or NUL, which no store keeps');
const clientId = text.min(1).max(limits.clientIdCharsMax);

/** Whether Holdfast gave a message this id. */
export function isGivenMessageId(messageId: string): boolean {
  return /^msg_[0-9a-z]{26}$/.test(messageId);
}

/** A client's id of a message is unique in its session for good: so it is none that Holdfast gives, which no key keeps from being used again. */
const messageId = clientId.refine((id) => !isGivenMessageId(id), 'is one that Holdfast gives; give an id of your own, or none').optional();
const jsonObject = z.record(z.string(), z.json()).refine((value) => utf8Bytes(JSON.stringify(value)) <= limits.metadataBytesMax, `is larger than ${limits.metadataBytesMax} bytes as JSON`);

/** Any JSON, in its plain form; its text is made well-formed where it is kept. */
const json = z.json();
const errorText = text.min(1).max(limits.errorTextCharsMax);

const identity = z.strictObject({ type: clientId, id: clientId });

const part = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), text: text.max(limits.bodyBytesMax) }),
  z.strictObject({
    type: z.literal('file'), mediaType: text.min(1).max(255), data: z.base64().optional(), url: z.url({ protocol: /^(https?|data)$/ }).optional(), filename: text.max(255).optional(),
  }).refine((file) => (file.data === undefined) !== (file.url === undefined), 'has exactly one of data and url'),
]);

const clientTools = z.array(z.strictObject({
  name: z.string().regex(/^[\w-]{1,64}$/, 'has 1 to 64 letters, digits, _ and -'),
  description: text.optional(),
  inputSchema: z.record(z.string(), json),
})).max(limits.clientToolsMax)
  .refine((tools) => utf8Bytes(JSON.stringify(tools)) <= limits.clientToolsBytesMax, `are larger than ${limits.clientToolsBytesMax} bytes as JSON`)
  .refine((tools) => wellFormedJson(tools as JsonValue) === tools, 'have a text with a lone surrogate or NUL, which no store keeps');

const content = {
  text: text.max(limits.bodyBytesMax).optional(),
  parts: z.array(part).min(1).max(limits.messagePartsMax).optional(),
  actor: identity.optional(),
  model: clientId.optional(),
  clientTools: clientTools.optional(),
  metadata: jsonObject.optional(),
  visibility: z.enum(['user', 'model']).optional(),
};

function hasOneContent(message: { readonly text?: unknown; readonly parts?: unknown }): boolean {
  return (message.text === undefined) !== (message.parts === undefined);
}

const oneContent = 'has exactly one of text and parts';

export const messageInput = z.strictObject({ ...content, messageId }).refine(hasOneContent, oneContent);

export const sendInput = z.strictObject({
  ...content, messageId, whenBusy: z.enum(['queue', 'steer', 'interrupt', 'replace', 'reject']).default('queue'),
}).refine(hasOneContent, oneContent);

export const queueEditInput = z.strictObject(content).refine(hasOneContent, oneContent);

export const createInput = z.strictObject({
  agent: clientId,
  owner: clientId.optional(),
  externalId: clientId.refine((value) => !value.startsWith('ses_'), 'begins with ses_, as session ids do').optional(),
  title: text.min(1).max(limits.titleCharsMax).optional(),
  metadata: jsonObject.optional(),
  message: messageInput.optional(),
  subject: identity.optional(),
  binding: z.strictObject({ id: clientId, workspaceId: clientId.optional(), botId: clientId.optional() }).optional(),
  threadId: clientId.optional(),
});

const answers = <Fields extends z.ZodRawShape>(fields: Fields) => z.discriminatedUnion('type', [
  z.strictObject({ ...fields, type: z.literal('approve'), input: json.optional() }),
  z.strictObject({ ...fields, type: z.literal('deny'), reason: text.max(limits.errorTextCharsMax).optional() }),
  z.strictObject({ ...fields, type: z.literal('result'), output: json }),
  z.strictObject({ ...fields, type: z.literal('error'), errorText }),
  z.strictObject({ ...fields, type: z.literal('answer'), value: json }),
]);

/** `inputHash`: the input that was looked at. */
const inputHash = clientId.optional();

export const answerInput = answers({ inputHash });

export const decisionsInput = z.strictObject({
  decisions: z.array(answers({ actionId: clientId, inputHash })).min(1).max(limits.answersMax)
    .refine((decisions) => new Set(decisions.map(({ actionId }) => actionId)).size === decisions.length, 'decide one action twice'),
});

export const completeInput = z.strictObject({ output: json.optional(), errorText: errorText.optional(), token: clientId.optional() })
  .refine((completion) => (completion.output === undefined) !== (completion.errorText === undefined), 'has exactly one of output and errorText');

export const stopInput = z.strictObject({ turnId: clientId.optional(), holdQueue: z.boolean().optional(), keepOperations: z.boolean().optional() });
export const endInput = z.strictObject({ stop: z.boolean().optional() });
export const settingsInput = z.strictObject({
  title: text.min(1).max(limits.titleCharsMax).nullable().optional(), metadata: jsonObject.optional(), archived: z.boolean().optional(),
  simulator: z.strictObject({
    enabled: z.boolean(), persona: text.min(1).max(limits.personaCharsMax), maxTurns: z.int().min(1).max(limits.simulatedTurnsMax).default(limits.simulatedTurnsDefault),
  }).nullable().optional(),
});

export const compactInput = z.strictObject({ instructions: text.min(1).max(limits.compactionInstructionsCharsMax).optional() });

const move = { stop: z.boolean().optional(), keepOperations: z.boolean().optional() };

export const rewindInput = z.strictObject({ ...move, turnId: clientId.nullable() });
export const restoreInput = z.strictObject(move);
export const retryInput = z.strictObject({ ...move, turnId: clientId.optional(), model: clientId.optional() });
export const editInput = z.strictObject({ ...move, ...content, turnId: clientId, messageId }).refine(hasOneContent, oneContent);
export const forkInput = z.strictObject({
  turnId: clientId.nullable().optional(), title: text.min(1).max(limits.titleCharsMax).optional(),
  externalId: clientId.refine((value) => !value.startsWith('ses_'), 'begins with ses_, as session ids do').optional(),
});

export const enterNodeInput = z.strictObject({ node: clientId, reason: text.min(1).max(limits.nodeReasonCharsMax).optional(), force: z.boolean().optional() });

export type EnterNodeInput = z.input<typeof enterNodeInput>;

export const redactInput = z.strictObject({ seq: z.int().min(1) });

export type RedactInput = z.input<typeof redactInput>;

export const stateSetInput = z.strictObject({ value: json, ttlMs: z.int().min(1).max(limits.stateTtlMsMax).optional() })
  .refine(({ value }) => wellFormedJson(value as JsonValue) === value, 'value: has a text with a lone surrogate or NUL, which no store keeps');
export const stateIncrementInput = z.strictObject({ by: z.number().default(1) });

export type StateSetInput = z.input<typeof stateSetInput>;
export type StateIncrementInput = z.input<typeof stateIncrementInput>;

export const transferInput = z.strictObject({ owner: clientId });

export type TransferInput = z.input<typeof transferInput>;
export type CompactInput = z.input<typeof compactInput>;
export type RewindInput = z.input<typeof rewindInput>;
export type RestoreInput = z.input<typeof restoreInput>;
export type RetryInput = z.input<typeof retryInput>;
export type EditInput = z.input<typeof editInput>;
export type ForkInput = z.input<typeof forkInput>;
export type MessageInput = z.input<typeof messageInput>;
export type SendInput = z.input<typeof sendInput>;
export type QueueEditInput = z.input<typeof queueEditInput>;
export type CreateInput = z.input<typeof createInput>;
export type AnswerInput = z.input<typeof answerInput>;
export type DecisionsInput = z.input<typeof decisionsInput>;
export type CompleteInput = z.input<typeof completeInput>;
export type StopInput = z.input<typeof stopInput>;
export type EndInput = z.input<typeof endInput>;
export type SettingsInput = z.input<typeof settingsInput>;

/** Checks an input; the refusal names each place that is wrong. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, value: unknown): { readonly input: z.output<Schema> } | Refusal {
  // Whoever does not come over HTTP has no such bound before; what is deeper, checks and texts of it would not end well.
  if (isDeeperThan(value as JsonValue, limits.bodyDepthMax)) return refuse('invalid_request', `it nests deeper than ${limits.bodyDepthMax}`);
  const parsed = schema.safeParse(value);
  if (parsed.success) return { input: parsed.data };
  const issues = parsed.error.issues.slice(0, 10).map((issue) => ({ path: issue.path.join('.'), message: issue.message }));
  const first = issues[0];
  return refuse('invalid_request', `${first?.path ? `${first.path}: ` : ''}${first?.message ?? 'not valid'}`, { issues } as JsonObject);
}

/** Without members that are undefined, so that equal requests have equal fingerprints and entries hold no empty fields. */
export function compact<Value extends object>(value: Value): { [Key in keyof Value]: Exclude<Value[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as { [Key in keyof Value]: Exclude<Value[Key], undefined> };
}

export function asJson(value: unknown): JsonValue {
  return value as JsonValue;
}
