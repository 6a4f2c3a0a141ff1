import { compactHistory } from '../../commands/compact.ts';
import { compactInput } from '../../commands/input.ts';
import { compactedSchema } from '../reply-schemas.ts';
import { commandResponse, route } from '../route.ts';

/** The history as the model sees it, shortened. */
export const compactionRoutes = [
  route({
    method: 'POST', path: '/v1/sessions/:id/compact', name: 'compactHistory', command: 'guarded', body: compactInput, bodyOptional: true,
    summary: 'Has a summary written in place of the history as the model sees it, in a turn of its own. People see everything as before.',
    replies: { 202: compactedSchema }, refusals: ['session_not_found', 'session_ended', 'session_archived', 'session_busy', 'nothing_to_compact'],
    handle: async ({ host, param, body, options }) => commandResponse(await compactHistory(host.commands, param('id'), body, options)),
  }),
];
