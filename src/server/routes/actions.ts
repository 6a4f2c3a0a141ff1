import { answerInput, decisionsInput } from '../../commands/input.ts';
import { resolveAction, resolveActions } from '../../commands/resolve.ts';
import { isRefusal } from '../../core/errors.ts';
import { readActions } from '../../feed/action-view.ts';
import { readWholeResult } from '../../feed/whole-result.ts';
import type { ProblemCode } from '../problem-table.ts';
import { actionListSchema, resolvedSchema, wholeResultSchema } from '../reply-schemas.ts';
import { commandResponse, jsonResponse, route, sessionOf } from '../route.ts';

const refusals: readonly ProblemCode[] = [
  'session_not_found', 'action_not_found', 'action_decided', 'action_expired', 'action_withdrawn', 'action_mismatch', 'action_forbidden',
];

/** What turns wait for from outside: listed and answered; and what their calls came to. */
export const actionRoutes = [
  route({
    method: 'GET', path: '/v1/sessions/:id/actions', name: 'listActions', summary: 'What the running turn waits for from outside: approvals, results of client tools, answers, each with its call.',
    replies: { 200: actionListSchema }, refusals: ['session_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      if (isRefusal(session)) return session;
      const items = await readActions(call.host.commands.store, session);
      return jsonResponse({ turnId: session.turn?.id ?? null, items }, { revision: session.revision });
    },
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/actions', name: 'resolveActions', command: 'guarded', body: decisionsInput,
    summary: 'Answers several actions, all of them or none. Those that were answered the same way already do no harm.',
    replies: { 200: resolvedSchema }, refusals,
    handle: async ({ host, param, body, options }) => commandResponse(await resolveActions(host.commands, param('id'), body, options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/actions/:actionId', name: 'resolveAction', command: 'guarded', body: answerInput,
    summary: 'Answers an action. The same answer again is harmless, at any time; another one is refused.',
    replies: { 200: resolvedSchema }, refusals,
    handle: async ({ host, param, body, options }) => commandResponse(await resolveAction(host.commands, param('id'), param('actionId'), body, options)),
  }),
  route({
    method: 'GET', path: '/v1/sessions/:id/calls/:callId/result', name: 'getCallResult',
    summary: 'The whole result of a call, also where the log has only its head and tail. The call id is `<seq of the step>-<index>`.',
    replies: { 200: wholeResultSchema }, refusals: ['session_not_found', 'call_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      if (isRefusal(session)) return session;
      const text = await readWholeResult(call.host.commands.store, session, call.param('callId'));
      return isRefusal(text) ? text : new Response(text, { headers: { 'content-type': 'application/json' } });
    },
  }),
];
