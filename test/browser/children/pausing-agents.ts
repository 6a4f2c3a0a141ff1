import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { agent, question, tool } from '../../../src/index.ts';
import { scriptedModel, type ScriptedCall, type ScriptedItem } from '../../../src/testing/scripted-model.ts';

/** `TOOL {input}` calls the tool; then its result is said. */
function answer({ prompt }: ScriptedCall): string | readonly ScriptedItem[] {
  const last = prompt.at(-1);
  if (last?.role === 'tool') return `It came to: ${JSON.stringify(last.content.map((part) => ('output' in part ? part.output : null))).slice(0, 200)}`;
  const text = last?.role === 'user' && last.content[0]?.type === 'text' ? last.content[0].text : '';
  const match = /^(\w+) (\{.*\})$/.exec(text);
  return match === null ? `You said: ${text}` : [{ call: match[1] ?? '', input: JSON.parse(match[2] ?? '{}') as object as never }];
}

/** Tools for what the demo agent never does: what a person decides after a crash, an approval that expires, a result that is too long, one that comes too late. */
export default agent({
  name: 'pausing',
  model: scriptedModel([], { otherwise: answer }),
  tools: {
    wipe: tool({
      inputSchema: z.object({ disk: z.string() }), recovery: 'ask',
      // The first run of a disk never ends: only a kill gets past it.
      execute: async ({ disk }, { abortSignal }) => {
        if (existsSync(`wiped-${disk}`)) return 'wiped clean';
        writeFileSync(`wiped-${disk}`, '');
        await sleep(600_000, undefined, { signal: abortSignal });
        return 'slept';
      },
    }),
    paint: tool({ description: 'Runs at the client.', inputSchema: z.object({ color: z.string() }) }),
    hurry: tool({ inputSchema: z.object({}), needsApproval: true, actionExpiresAfterMs: 1_500, execute: () => 'hurried' }),
    rate: question({ inputSchema: z.object({ subject: z.string() }), answerSchema: z.number() }),
    recite: tool({ inputSchema: z.object({}), maxResultBytes: 20_000, execute: () => `${'All work and no play. '.repeat(5_000)}The end.` }),
    dawdle: tool({
      inputSchema: z.object({ ms: z.number() }),
      // It does not hear that it is stopped.
      execute: async ({ ms }) => {
        await sleep(ms);
        return 'better late than never';
      },
    }),
  },
});
