import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { agent, type Agent } from '../../../src/agent/agent.ts';
import { tool } from '../../../src/index.ts';
import { scriptedModel } from '../../../src/testing/scripted-model.ts';

/** An agent that goes from one of its two nodes to the other at each message, by a tool: one that runs again after a crash, or one that does not. */
export function walkingAgent(): Agent {
  const walk = (recovery: 'rerun' | 'report') => tool({
    inputSchema: z.object({}), recovery,
    execute: async (_input, { node, state }) => {
      node.enter(node.name === 'here' ? 'there' : 'here');
      await state.increment('conversation', 'walks');
      await pause(20);
      return 'walked';
    },
  });
  return agent({
    name: 'walker',
    model: scriptedModel([], {
      otherwise: ({ prompt }) => {
        const last = prompt.at(-1);
        if (last?.role !== 'user') return 'so be it';
        return [{ call: last.content.some((part) => part.type === 'text' && part.text === 'again') ? 'walk_again' : 'walk_once' }];
      },
    }),
    tools: { walk_again: walk('rerun'), walk_once: walk('report') },
    firstNode: 'here', nodes: { here: { transitions: ['there'] }, there: { transitions: ['here'] } },
  });
}
