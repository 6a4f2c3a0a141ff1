import { agent } from '../../agent/agent.ts';
import { tool } from '../../agent/tool.ts';
import { jsonSchema } from '@ai-sdk/provider-utils';
import { scriptedModel } from '../scripted-model.ts';
import type { AgentsOf } from './observed-agents.ts';

/** An agent with all that an agent can have, whose model says and calls whatever follows from its prompt. */
export const simulatedAgents: AgentsOf = ({ system, chanceOf }) => {
  const model = scriptedModel([], {
    clock: system.clock,
    otherwise: ({ prompt }) => {
      const chance = chanceOf('says', JSON.stringify(prompt));
      if (prompt.at(-1)?.role === 'user' && chance.happens(0.5)) return [{ text: 'let me see' }, { call: 'note', input: {} }];
      return [{ text: ['so ', 'it ', 'is'] }, { delayMs: chance.below(400) }, { text: 'and more' }];
    },
  });
  const note = tool({
    inputSchema: jsonSchema({ type: 'object' }),
    execute: async () => {
      await new Promise<void>((resolve) => system.clock.after(50, resolve));
      return 'noted';
    },
  });
  return [agent({ name: 'simulated', model, tools: { note } })];
};
