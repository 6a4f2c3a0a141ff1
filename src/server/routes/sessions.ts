import { z } from 'zod';
import { ownerScope } from '../../commands/command-host.ts';
import { create } from '../../commands/create.ts';
import { deleteSession } from '../../commands/delete.ts';
import { end } from '../../commands/end.ts';
import { createInput, endInput, settingsInput, stopInput, redactInput, transferInput } from '../../commands/input.ts';
import { changeSettings } from '../../commands/settings.ts';
import { redact } from '../../commands/redact.ts';
import { stop } from '../../commands/stop.ts';
import { transferSession } from '../../commands/transfer.ts';
import { isRefusal, refuse } from '../../core/errors.ts';
import { sessionView } from '../../feed/session-view.ts';
import { flagParameter, limitParameter, textParameter } from '../query-parameters.ts';
import { createdSchema, deletedSchema, endedSchema, revisionSchema, sessionPageSchema, sessionSchema, sessionStatus, stoppedSchema, redactedSchema, transferredSchema } from '../reply-schemas.ts';
import { commandResponse, jsonResponse, route, sessionOf } from '../route.ts';

/** Sessions: made, listed, read, named, stopped, ended, deleted. */
export const sessionRoutes = [
  route({
    method: 'POST', path: '/v1/sessions', name: 'createSession', command: 'keyed', body: createInput,
    summary: 'Creates a session, with its first message if there is one; with an external id that is in use, gives the session that has it (200).',
    replies: { 201: createdSchema, 200: createdSchema },
    refusals: [
      'agent_not_found', 'external_id_taken', 'model_not_allowed', 'client_tool_taken', 'message_id_taken', 'session_ended', 'session_archived', 'queue_full',
    ],
    handle: async ({ host, body, options }) =>
      commandResponse(await create(host.commands, body, options), ({ session, turn }) => ({ session: sessionView(session), turn })),
  }),
  route({
    method: 'GET', path: '/v1/sessions', name: 'listSessions',
    summary: 'The sessions of the caller, the most recently active first.',
    query: z.strictObject({
      status: sessionStatus.optional(), agent: textParameter.optional(), owner: textParameter.optional(),
      archived: flagParameter.optional(), q: textParameter.optional(), cursor: textParameter.optional(), limit: limitParameter, count: flagParameter.default(false),
    }),
    replies: { 200: sessionPageSchema },
    handle: async ({ host, principal, query: { q, owner, ...filter } }) => {
      const scope = ownerScope(principal);
      if (owner !== undefined && scope !== undefined && owner !== scope) return refuse('invalid_request', 'owner: only the role system may list the sessions of another owner');
      const page = await host.commands.store.listSessions({ ...filter, tenant: principal.tenant, owner: scope ?? owner, titleText: q });
      return jsonResponse({ ...page, items: page.items.map(sessionView) });
    },
  }),
  route({
    method: 'GET', path: '/v1/sessions/:id', name: 'getSession', summary: 'A session as of now.',
    replies: { 200: sessionSchema }, refusals: ['session_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      return isRefusal(session) ? session : jsonResponse(sessionView(session), { revision: session.revision });
    },
  }),
  route({
    method: 'PATCH', path: '/v1/sessions/:id', name: 'changeSession', command: 'guarded', body: settingsInput,
    summary: 'Sets title, metadata, archive and who plays the user. The revision stays, so that it refuses nobody.',
    replies: { 200: revisionSchema }, refusals: ['session_not_found'],
    handle: async ({ host, param, body, options }) => commandResponse(await changeSettings(host.commands, param('id'), body, options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/redact', name: 'redactEntry', command: 'guarded', body: redactInput,
    summary: 'Removes the content of an entry for good and leaves a tombstone.',
    replies: { 200: redactedSchema }, refusals: ['session_not_found', 'session_busy'],
    handle: async ({ host, param, body, options }) => commandResponse(await redact(host.commands, param('id'), body, options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/transfer', name: 'transferSession', command: 'guarded', body: transferInput,
    summary: 'Gives the session to another owner, with its operations: from guest to account. Only the role `system` may.',
    replies: { 200: transferredSchema }, refusals: ['session_not_found', 'external_id_taken'],
    handle: async ({ host, param, body, options }) => commandResponse(await transferSession(host.commands, param('id'), body, options)),
  }),
  route({
    method: 'DELETE', path: '/v1/sessions/:id', name: 'deleteSession', command: 'guarded',
    summary: 'Removes everything of the session; a turn in flight lands nowhere.',
    replies: { 200: deletedSchema }, refusals: ['session_not_found'],
    handle: async ({ host, param, options }) => commandResponse(await deleteSession(host.commands, param('id'), options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/stop', name: 'stopTurn', command: 'guarded', body: stopInput, bodyOptional: true,
    summary: 'Ends the running turn: with the reply it is over, and what was shown is kept. Repeating it is harmless.',
    replies: { 200: stoppedSchema }, refusals: ['session_not_found'],
    handle: async ({ host, param, body, options }) => commandResponse(await stop(host.commands, param('id'), body, options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/end', name: 'endSession', command: 'guarded', body: endInput, bodyOptional: true,
    summary: 'Closes the session for good. Repeating it is harmless.',
    replies: { 200: endedSchema }, refusals: ['session_not_found', 'session_busy'],
    handle: async ({ host, param, body, options }) => commandResponse(await end(host.commands, param('id'), body, options)),
  }),
];
