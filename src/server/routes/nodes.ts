import { enterNode } from '../../commands/node.ts';
import { enterNodeInput } from '../../commands/input.ts';
import { nodeEnteredSchema } from '../reply-schemas.ts';
import { commandResponse, route } from '../route.ts';

/** The nodes of a conversation. */
export const nodeRoutes = [
  route({
    method: 'POST', path: '/v1/sessions/:id/node', name: 'enterNode', command: 'guarded', body: enterNodeInput,
    summary: 'Enters a node of the conversation, where a transition leads there: at rest with its greeting, while a turn runs from the next generation on. `force` is for the role `system`.',
    replies: { 200: nodeEnteredSchema }, refusals: ['session_not_found', 'session_ended', 'session_archived', 'agent_not_found', 'nodes_not_used', 'node_unknown', 'node_not_allowed'],
    handle: async ({ host, param, body, options }) => commandResponse(await enterNode(host.commands, param('id'), body, options)),
  }),
];
