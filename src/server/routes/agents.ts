import { agentPageSchema } from '../reply-schemas.ts';
import { jsonResponse, route } from '../route.ts';

/** The agents that this process defines. */
export const agentRoutes = [
  route({
    method: 'GET', path: '/v1/agents', name: 'listAgents', summary: 'The agents that this server defines, with the models a message may ask for, their tools and their nodes.',
    replies: { 200: agentPageSchema },
    handle: async ({ host }) => jsonResponse({
      items: [...host.commands.agents.values()].map(({ name, version, greet, models, tools, rules: { nodes } }) => ({
        name, version, greets: greet, models: Object.keys(models),
        tools: [...tools].map(([toolName, { description }]) => ({ name: toolName, description: typeof description === 'string' ? description : null })),
        firstNode: nodes?.first ?? null,
        nodes: [...(nodes?.nodes ?? [])].map(([node, { transitions, ends }]) => ({ name: node, transitions: [...transitions], ends })),
      })),
    }),
  }),
];
