import { z } from 'zod';
import {
  answerInput, completeInput, createInput, decisionsInput, editInput, endInput, enterNodeInput, forkInput, queueEditInput, restoreInput, retryInput, rewindInput, sendInput, settingsInput, stopInput, redactInput, stateIncrementInput, stateSetInput, transferInput,
} from '../commands/input.ts';
import { entrySchema, errorInfo } from './entry-schema.ts';
import { eventSchema } from './event-schema.ts';
import { problemCodes, problemPath, problemTable, type ProblemCode } from './problem-table.ts';
import * as replies from './reply-schemas.ts';
import { sessionUsageSchema, usageReportSchema } from './usage-schemas.ts';
import { stateDeletedSchema, statePageSchema, stateSnapshotSchema, stateValueSchema } from './state-schemas.ts';
import { nothing, type ReplyShape, type Route } from './route.ts';

type JsonSchema = Record<string, unknown>;

const problemSchema = z.object({
  type: z.string(), title: z.string(), status: z.int(), code: z.enum(problemCodes), detail: z.string(),
}).describe('An error reply (RFC 9457). `code` is stable; `type` is the page that explains it. Details may follow as further members.');

/** What the document calls each shape. */
const names: Readonly<Record<string, z.ZodType>> = {
  Session: replies.sessionSchema, SessionPage: replies.sessionPageSchema, Created: replies.createdSchema, Sent: replies.sentSchema,
  Revision: replies.revisionSchema, Deleted: replies.deletedSchema, Stopped: replies.stoppedSchema, Ended: replies.endedSchema, NodeEntered: replies.nodeEnteredSchema,
  Turn: replies.turnSchema, TurnPage: replies.turnPageSchema, Message: replies.messageSchema, MessagePage: replies.messagePageSchema,
  Entry: entrySchema, EntryPage: replies.entryPageSchema, Queue: replies.queueSchema, QueueChange: replies.queueChangeSchema,
  Action: replies.actionSchema, ActionList: replies.actionListSchema, Resolved: replies.resolvedSchema, WholeResult: replies.wholeResultSchema,
  Operation: replies.operationSchema, OperationPage: replies.operationPageSchema, OperationEnd: replies.operationEndSchema, Event: eventSchema,
  Moved: replies.movedSchema, Edited: replies.editedSchema, Forked: replies.forkedSchema, CompactionBegun: replies.compactedSchema, BranchPage: replies.branchPageSchema, EffectPage: replies.effectPageSchema,
  Transferred: replies.transferredSchema, Redacted: replies.redactedSchema, Transfer: transferInput, RedactEntry: redactInput,
  StateValue: stateValueSchema, StatePage: statePageSchema, StateDeleted: stateDeletedSchema, StateSnapshot: stateSnapshotSchema, SetState: stateSetInput, IncrementState: stateIncrementInput,
  SessionUsage: sessionUsageSchema, UsageReport: usageReportSchema,
  AgentPage: replies.agentPageSchema, Health: replies.healthSchema, Error: errorInfo, Problem: problemSchema,
  CreateSession: createInput, SendMessage: sendInput, EditMessage: queueEditInput, ChangeSession: settingsInput, StopTurn: stopInput, EndSession: endInput, EnterNode: enterNodeInput,
  Rewind: rewindInput, EditTurn: editInput, RetryTurn: retryInput, Fork: forkInput, RestoreBranch: restoreInput,
  Answer: answerInput, Decisions: decisionsInput, Completion: completeInput, Nothing: nothing,
};

const nameOf = new Map(Object.entries(names).map(([name, schema]) => [schema, name]));

/** The API as an OpenAPI 3.1 document, from the routes and the schemas that check their requests. */
export function openApiDocument(routes: readonly Route[]): unknown {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const each of routes) {
    const path = each.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [each.method.toLowerCase()]: operationOf(each) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Holdfast', version: '1', description: 'Durable conversations for AI agents. Session ids in paths may be external ids.' },
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'Where the server was told to ask who calls.' },
        operationToken: { type: 'http', scheme: 'bearer', description: 'The one-time token that the tool of the operation was given.' },
      },
    },
    security: [{}, { bearer: [] }],
  };
}

/** The codes by which a route may refuse, its own and those of its kind. */
export function problemCodesOf({ path, body, command, access, refusals = [] }: Route): readonly ProblemCode[] {
  const isApi = path.startsWith('/v1/');
  return [...new Set<ProblemCode>([
    'invalid_request', 'method_not_allowed', 'internal_error',
    ...(isApi && access !== 'token' ? ['unauthenticated'] as const : []),
    ...(isApi ? ['forbidden_origin', 'store_unavailable', 'shutting_down'] as const : []),
    ...(body === undefined && command === undefined ? [] : ['body_too_large', 'unsupported_media_type'] as const),
    ...(takesKey(command) ? ['idempotency_mismatch'] as const : []),
    ...(command === 'guarded' ? ['revision_conflict'] as const : []),
    ...refusals,
  ])];
}

function takesKey(command: Route['command']): boolean {
  return command === 'keyed' || command === 'guarded' || command === 'versioned';
}

function operationOf(each: Route): unknown {
  const { name, summary, body, bodyOptional, access } = each;
  return {
    operationId: name, summary,
    ...(access === 'token' ? { security: [{ operationToken: [] }, {}] } : {}),
    parameters: parametersOf(each),
    ...(body === undefined ? {} : { requestBody: { required: bodyOptional !== true, content: { 'application/json': { schema: referenceTo(body) } } } }),
    responses: { ...successesOf(each), ...problemsOf(each) },
  };
}

function parametersOf({ path, query, command, name }: Route): readonly unknown[] {
  const inPath = [...path.matchAll(/:(\w+)/g)].map(([, part = '']) => ({ name: part, in: 'path', required: true, schema: { type: 'string' } }));
  const { properties = {} } = query === undefined ? {} : (z.toJSONSchema(query, { io: 'output' }) as { properties?: Record<string, JsonSchema> });
  const inQuery = Object.entries(properties).map(([parameter, schema]) => ({ name: parameter, in: 'query', required: false, schema }));
  const header = (headerName: string, description: string, schema: JsonSchema) => ({ name: headerName, in: 'header', required: false, description, schema });
  return [
    ...inPath, ...inQuery,
    ...(!takesKey(command) ? [] : [header('Idempotency-Key', 'The same key with the same body has one effect and one reply.', { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' })]),
    ...(command === 'guarded' ? [header('If-Match', 'The revision that the sender has seen; refused if the session has moved on.', { type: 'string', pattern: '^("\\d{1,15}"|\\d{1,15})$' })] : []),
    ...(command === 'versioned' ? [header('If-Match', 'The version of the value that the sender has seen; 0: there is none. Refused if it has another.', { type: 'string', pattern: '^("\\d{1,15}"|\\d{1,15})$' })] : []),
    ...(name === 'followEvents' ? [header('Last-Event-ID', 'Position of the last event that was received.', { type: 'string' })] : []),
  ];
}

function successesOf({ replies: shapes, command }: Route): Record<string, unknown> {
  return Object.fromEntries(Object.entries(shapes).map(([status, shape]) => [status, {
    description: 'Done.',
    ...(!takesKey(command) ? {} : { headers: { 'Idempotent-Replayed': { description: '`true`: the reply of an earlier request with the same key.', schema: { type: 'string' } } } }),
    content: contentOf(shape),
  }]));
}

function contentOf(shape: ReplyShape): JsonSchema {
  if (shape instanceof z.ZodType) return { 'application/json': { schema: referenceTo(shape) } };
  return { [shape.contentType]: shape.event === undefined ? {} : { schema: referenceTo(shape.event) } };
}

function problemsOf(each: Route): Record<string, unknown> {
  const byStatus = Map.groupBy(problemCodesOf(each), (code) => problemTable[code].httpStatus);
  return Object.fromEntries([...byStatus].filter(([status]) => !(status in each.replies)).map(([status, codes]) => [status, {
    description: codes.map((code) => `[\`${code}\`](${problemPath(code)}): ${problemTable[code].title}.`).join(' '),
    content: { 'application/problem+json': { schema: { allOf: [{ $ref: '#/components/schemas/Problem' }, { properties: { code: { enum: codes } } }] } } },
  }]));
}

function referenceTo(schema: z.ZodType): JsonSchema {
  const name = nameOf.get(schema);
  return name === undefined ? (z.toJSONSchema(schema, { io: 'input' }) as JsonSchema) : { $ref: `#/components/schemas/${name}` };
}

function componentSchemas(): Record<string, JsonSchema> {
  const registry = z.registry<{ id: string }>();
  for (const [name, schema] of Object.entries(names)) registry.add(schema, { id: name });
  const { schemas } = z.toJSONSchema(registry, { io: 'input', uri: (id) => `#/components/schemas/${id}` });
  const { __shared: _json, ...named } = Object.fromEntries(Object.entries(schemas).map(([name, { $id: _id, $schema: _schema, ...schema }]) => [name, schema as JsonSchema]));
  // What zod finds to contain itself is JSON, and nothing else is. It has no name of its own.
  const text = JSON.stringify(named).replaceAll(/#\/components\/schemas\/__shared#\/\$defs\/schema\d+/g, '#/components/schemas/Json');
  return { ...(JSON.parse(text) as Record<string, JsonSchema>), Json: { description: 'Any JSON value.' } };
}
