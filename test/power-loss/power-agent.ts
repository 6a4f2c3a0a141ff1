import { z } from 'zod';
import { agent, type Agent } from '../../src/agent/agent.ts';
import { tool } from '../../src/index.ts';
import { realSystem } from '../../src/system.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';

/** What a message to the agent asks it for, by its first word. */
export const requests = ['talk', 'note', 'pay', 'report'] as const;

const input = z.object({ about: z.string() });

/** Does one of each: talks, writes state in a tool, waits for an approval, runs an operation. */
export function powerAgent(): Agent {
  const model = scriptedModel([], {
    clock: realSystem().clock,
    otherwise: ({ prompt }) => {
      const last = prompt.at(-1);
      const text = last?.role === 'user' && last.content[0]?.type === 'text' ? last.content[0].text : '';
      const called = requests.find((name) => name !== 'talk' && text.startsWith(name));
      if (called !== undefined) return [{ text: 'at once' }, { call: called, input: { about: text } }];
      return [{ text: ['As I said, ', 'and say again: '] }, { delayMs: 25 }, { text: text === '' ? 'it is done' : text }];
    },
  });
  const tools = {
    note: tool({ inputSchema: input, execute: async ({ about }, { state }) => { await state.set('conversation', 'noted', about); return about; } }),
    pay: tool({ inputSchema: input, needsApproval: true, recovery: 'rerun-keyed', execute: ({ about }) => `paid ${about}` }),
    report: tool({ inputSchema: input, background: 'await', recovery: 'rerun', execute: ({ about }, { progress }) => { progress(0.5, 'half'); return `report ${about}`; } }),
  };
  return agent({ name: 'power', model, tools });
}
