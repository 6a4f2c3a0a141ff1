/**
 * One agent, one question, one durable turn. In your project the imports are from 'holdfast' and 'holdfast/demo'.
 *
 *   node examples/quick-start.ts [DATABASE]
 */
import { z } from 'zod';
import { demoModel } from '../src/demo/demo-model.ts';
import { agent, createHoldfast, tool } from '../src/index.ts';

const support = agent({
  name: 'support',
  model: demoModel(), // any AI SDK model
  instructions: 'You help customers of an airline.',
  tools: {
    weather: tool({
      description: 'The weather in a city',
      inputSchema: z.object({ city: z.string() }),
      execute: ({ city }) => ({ city, sky: 'sunny', celsius: 21 }),
      recovery: 'rerun',
    }),
  },
});

await using holdfast = await createHoldfast({ agents: [support], store: `sqlite:${process.argv[2] ?? 'quick-start.db'}` });
const session = await holdfast.sessions.create({ agent: 'support', owner: 'ada' });
const turn = await session.send('weather in Lisbon', { idempotencyKey: 'request-1' });
for await (const part of turn.stream) {
  if (part.type === 'text') process.stdout.write(part.text);
  if (part.type === 'tool-result') console.log(`[${part.result.toolName}: ${part.result.outcome}]`);
}
const { reason, steps } = await turn.result;
console.log(`\nended: ${reason} after ${steps} generations`);
