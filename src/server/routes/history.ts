import { z } from 'zod';
import { edit, redo, restoreBranch, retry, rewind } from '../../commands/history.ts';
import { readEffects, rerunToolsOf } from '../../commands/effects.ts';
import { fork } from '../../commands/fork.ts';
import { editInput, forkInput, restoreInput, retryInput, rewindInput } from '../../commands/input.ts';
import { isRefusal } from '../../core/errors.ts';
import { sessionView } from '../../feed/session-view.ts';
import { branchPageSchema, editedSchema, effectPageSchema, forkedSchema, movedSchema } from '../reply-schemas.ts';
import { integerParameter, limitParameter, textParameter } from '../query-parameters.ts';
import { commandResponse, jsonResponse, nothing, route, sessionOf } from '../route.ts';

const moveRefusals = ['session_not_found', 'session_ended', 'session_busy'] as const;

/** Moves through a session's history: shortened, gone on from another place, brought back, copied. Nothing is destroyed. */
export const historyRoutes = [
  route({
    method: 'POST', path: '/v1/sessions/:id/rewind', name: 'rewind', command: 'guarded', body: rewindInput,
    summary: 'Shortens the visible history to a turn; null: to before the first. `redo` brings back what was cut off until the conversation goes on; then it is a branch. Lists the side effects that it leaves behind.',
    replies: { 200: movedSchema }, refusals: [...moveRefusals, 'turn_not_found', 'branches_full'],
    handle: async ({ host, param, body, options }) => commandResponse(await rewind(host.commands, param('id'), body, options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/redo', name: 'redo', command: 'guarded', body: nothing, bodyOptional: true,
    summary: 'Brings back what rewinding cut off. Where there is nothing to bring back, nothing changes.',
    replies: { 200: movedSchema }, refusals: moveRefusals,
    handle: async ({ host, param, options }) => commandResponse(await redo(host.commands, param('id'), options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/edit', name: 'editTurn', command: 'guarded', body: editInput,
    summary: 'Says something in place of a turn\'s message: the turn and all after it become a branch. One commit.',
    replies: { 202: editedSchema }, refusals: [...moveRefusals, 'session_archived', 'turn_not_found', 'branches_full', 'model_not_allowed', 'client_tool_taken', 'message_id_taken'],
    handle: async ({ host, param, body, options }) => commandResponse(await edit(host.commands, param('id'), body, options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/retry', name: 'retryTurn', command: 'guarded', body: retryInput, bodyOptional: true,
    summary: 'Says a turn\'s message again, the last one\'s by default: what came of it becomes a branch.',
    replies: { 202: editedSchema }, refusals: [...moveRefusals, 'session_archived', 'turn_not_found', 'branches_full', 'model_not_allowed', 'client_tool_taken'],
    handle: async ({ host, param, body, options }) => commandResponse(await retry(host.commands, param('id'), body, options)),
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/fork', name: 'fork', command: 'keyed', body: forkInput, bodyOptional: true,
    summary: 'Copies the visible history up to a turn into a new session. Operations, actions and usage stay with the origin.',
    replies: { 200: forkedSchema, 201: forkedSchema }, refusals: ['session_not_found', 'turn_not_found', 'external_id_taken', 'history_too_large', 'session_busy'],
    handle: async ({ host, param, body, options }) => commandResponse(await fork(host.commands, param('id'), body, options), ({ session, ...reply }) => ({ ...reply, session: sessionView(session) })),
  }),
  route({
    method: 'GET', path: '/v1/sessions/:id/branches', name: 'listBranches', summary: 'The discarded futures of a session, the latest first.',
    query: z.strictObject({ before: textParameter.optional(), limit: limitParameter }),
    replies: { 200: branchPageSchema }, refusals: ['session_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      if (isRefusal(session)) return session;
      const { rewound, revision } = session;
      const page = await call.host.commands.store.listBranches(session, call.query);
      return jsonResponse({ ...page, redo: rewound === null ? null : { fromTurnId: rewound.fromTurnId, turns: rewound.turns } }, { revision });
    },
  }),
  route({
    method: 'POST', path: '/v1/sessions/:id/branches/:branchId/restore', name: 'restoreBranch', command: 'guarded', body: restoreInput, bodyOptional: true,
    summary: 'Makes a discarded future the present history again. What is visible in its place becomes a branch.',
    replies: { 200: movedSchema }, refusals: [...moveRefusals, 'branch_not_found'],
    handle: async ({ host, param, body, options }) => commandResponse(await restoreBranch(host.commands, param('id'), param('branchId'), body, options)),
  }),
  route({
    method: 'GET', path: '/v1/sessions/:id/effects', name: 'listEffects',
    summary: 'What calls of turns that are not visible any more did outside, or may have done: the latest first. A page may be empty and have a next one.',
    query: z.strictObject({ before: integerParameter({ min: 1, max: Number.MAX_SAFE_INTEGER }).optional(), limit: limitParameter }),
    replies: { 200: effectPageSchema }, refusals: ['session_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      if (isRefusal(session)) return session;
      return jsonResponse(await readEffects(call.host.commands.store, session, rerunToolsOf(call.host.commands.agents.get(session.agent)?.rules), call.query));
    },
  }),
];
