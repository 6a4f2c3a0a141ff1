/**
 * A model plays the user of an agent, to test it: here an offline one that says what its persona is, sentence by sentence. In your project the imports are from 'holdfast' and 'holdfast/demo'.
 *
 *   node examples/simulated-user.ts [DATABASE]
 */
import { z } from 'zod';
import { demoModel, personaModel } from '../src/demo/demo-model.ts';
import { agent, createHoldfast, tool } from '../src/index.ts';

const database = process.argv[2] ?? 'simulated-user.db';

const support = agent({
  name: 'support',
  model: demoModel(), // any AI SDK model
  titles: ({ said }) => said, // or { model }: a title after the first reply, in the background
  tools: {
    refund: tool({ description: 'Gives money back', inputSchema: z.object({ amount: z.number() }), needsApproval: true, execute: ({ amount }) => ({ refunded: amount }) }),
  },
});

await using holdfast = await createHoldfast({ agents: [support], store: `sqlite:${database}` });
const played = { agent: 'support', persona: 'hello; refund 50; thank you', model: personaModel() }; // any AI SDK model, and who it is

const first = await holdfast.simulate({ ...played, maxTurns: 1 });
console.log(`${first.reason} after ${first.turns}; calling it again goes on`);
const { sessionId, reason, turns } = await holdfast.simulate({ ...played, sessionId: first.sessionId, maxTurns: 10, approve: 'all' });

const session = await holdfast.sessions.get(sessionId);
for (const { role, parts } of (await session.messages()).items) console.log(`${role}: ${parts.map((part) => (part.type === 'text' ? part.text : '')).join('')}`);
console.log(`${reason} after ${turns}; title: ${(await session.get()).title}`);
