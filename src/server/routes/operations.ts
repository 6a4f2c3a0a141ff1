import { z } from 'zod';
import { completeInput } from '../../commands/input.ts';
import { cancelOperation, completeOperation, listOperations, readOperation } from '../../commands/operations.ts';
import { isRefusal } from '../../core/errors.ts';
import { operationStatus } from '../entry-schema.ts';
import { limitParameter, textParameter } from '../query-parameters.ts';
import { operationEndSchema, operationPageSchema, operationSchema } from '../reply-schemas.ts';
import { bearerToken } from '../request-headers.ts';
import { commandResponse, jsonResponse, nothing, possibleId, route, sessionOf } from '../route.ts';

/** Operations: listed, read, cancelled, completed from outside. */
export const operationRoutes = [
  route({
    method: 'GET', path: '/v1/sessions/:id/operations', name: 'listOperations', summary: 'The operations of a session, newest first, ended ones included. `nextCursor` is the `before` of the next page.',
    query: z.strictObject({ status: operationStatus.optional(), before: textParameter.optional(), limit: limitParameter }),
    replies: { 200: operationPageSchema }, refusals: ['session_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      return isRefusal(session) ? session : jsonResponse(await listOperations(call.host.commands, session, call.query));
    },
  }),
  route({
    method: 'GET', path: '/v1/operations/:id', name: 'getOperation', summary: 'An operation as of now, with its progress, and its result once it has one.',
    replies: { 200: operationSchema }, refusals: ['operation_not_found'],
    handle: async ({ host, param, principal }) => {
      const operation = await readOperation(host.commands, possibleId(param('id')), principal);
      return isRefusal(operation) ? operation : jsonResponse(operation);
    },
  }),
  route({
    method: 'POST', path: '/v1/operations/:id/cancel', name: 'cancelOperation', command: 'repeatable', body: nothing, bodyOptional: true,
    summary: 'Ends an operation. Cancelling one that has ended is harmless; the reply says how it ended.',
    replies: { 200: operationEndSchema }, refusals: ['operation_not_found'],
    handle: async ({ host, param, options }) => commandResponse(await cancelOperation(host.commands, possibleId(param('id')), options)),
  }),
  route({
    method: 'POST', path: '/v1/operations/:id/complete', name: 'completeOperation', command: 'repeatable', access: 'token', body: completeInput,
    summary: 'Completes an operation from outside, by the one-time token that its tool was given, in `Authorization: Bearer …` or in the body: it is all that is asked for. A second completion is harmless; the reply says how the operation ended.',
    replies: { 200: operationEndSchema }, refusals: ['operation_not_found'],
    handle: async ({ host, param, body, request }) => commandResponse(await completeOperation(host.commands, possibleId(param('id')), body, bearerToken(request.headers))),
  }),
];
