import { queueEditInput } from '../../commands/input.ts';
import { deleteQueued, editQueued, holdQueue, promoteQueued, releaseQueue } from '../../commands/queue.ts';
import { isRefusal } from '../../core/errors.ts';
import { readQueue } from '../../feed/queue-view.ts';
import { queueChangeSchema, queueSchema } from '../reply-schemas.ts';
import { commandResponse, jsonResponse, nothing, route, sessionOf } from '../route.ts';

/** The messages that wait: read, changed, taken out, moved, held. */
export const queueRoutes = [
  route({
    method: 'GET', path: '/v1/sessions/:id/queue', name: 'getQueue', summary: 'The waiting messages, the next one first.',
    replies: { 200: queueSchema }, refusals: ['session_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      if (isRefusal(session)) return session;
      const { revision, queueHeld } = session;
      return jsonResponse({ revision, held: queueHeld, items: await readQueue(call.host.commands.store, session) }, { revision });
    },
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/queue/hold', name: 'holdQueue', command: 'guarded', body: nothing, bodyOptional: true,
    summary: 'Keeps waiting messages from starting. Repeating it is harmless.',
    replies: { 200: queueChangeSchema }, refusals: ['session_not_found', 'session_ended'],
    handle: async ({ host, param, options }) => commandResponse(await holdQueue(host.commands, param('id'), options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/queue/release', name: 'releaseQueue', command: 'guarded', body: nothing, bodyOptional: true,
    summary: 'Lets the queue go on, and starts its first message at rest. Repeating it is harmless.',
    replies: { 200: queueChangeSchema }, refusals: ['session_not_found', 'session_ended', 'session_archived'],
    handle: async ({ host, param, options }) => commandResponse(await releaseQueue(host.commands, param('id'), options)),
  }),
  route({
    method: 'PATCH', path: '/v1/sessions/:id/queue/:messageId', name: 'editQueuedMessage', command: 'guarded', body: queueEditInput,
    summary: 'Changes a waiting message; it keeps its place.',
    replies: { 200: queueChangeSchema }, refusals: ['session_not_found', 'message_not_found', 'model_not_allowed', 'client_tool_taken'],
    handle: async ({ host, param, body, options }) => commandResponse(await editQueued(host.commands, param('id'), param('messageId'), body, options)),
  }),
  route({
    method: 'DELETE', path: '/v1/sessions/:id/queue/:messageId', name: 'deleteQueuedMessage', command: 'guarded',
    summary: 'Takes a waiting message out of the queue.',
    replies: { 200: queueChangeSchema }, refusals: ['session_not_found', 'message_not_found'],
    handle: async ({ host, param, options }) => commandResponse(await deleteQueued(host.commands, param('id'), param('messageId'), options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/queue/:messageId/promote', name: 'promoteQueuedMessage', command: 'guarded', body: nothing, bodyOptional: true,
    summary: 'Moves a waiting message to the front. Repeating it is harmless.',
    replies: { 200: queueChangeSchema }, refusals: ['session_not_found', 'message_not_found'],
    handle: async ({ host, param, options }) => commandResponse(await promoteQueued(host.commands, param('id'), param('messageId'), options)),
  }),
];
