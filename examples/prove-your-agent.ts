/**
 * Whole systems with your agent in them are run under simulation: processes die and stand still anywhere, clients repeat and stop and rewind, and a check of yours looks whether a refund is booked twice. With the tool as
 * it should be it never is. With a careless one (`recovery: 'rerun'` for what must not run twice) a seed fails, is made as small as it still fails, and is told. In your project the imports are from 'holdfast' and
 * 'holdfast/testing', and this is a test.
 *
 *   node examples/prove-your-agent.ts
 */
import { z } from 'zod';
import { agent, tool } from '../src/index.ts';
import { answersActions, describeReport, rewinds, scriptedModel, sends, simulate, stops, type AgentsOf, type MakeCheck } from '../src/testing/index.ts';

/** Your agents, made anew for each simulated process. `outside` is the world that outlives it: here the bank. */
const support = (recovery: 'report' | 'rerun'): AgentsOf => ({ system, outside }) => {
  const refund = tool({
    inputSchema: z.object({ amount: z.number() }),
    needsApproval: ({ amount }) => amount > 100,
    recovery,
    execute: async ({ amount }, { callKey }) => {
      outside.set(callKey, Number(outside.get(callKey) ?? 0) + 1); // the bank books it
      await new Promise<void>((resolve) => void system.clock.after(400, resolve)); // and takes a while to say so
      return { refunded: amount };
    },
  });
  const asks = (amount: number) => [{ call: 'refund', input: { amount } }];
  const model = scriptedModel([], { otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'tool' ? 'That is settled.' : asks(JSON.stringify(prompt.at(-1)).includes('500') ? 500 : 20)) });
  return [agent({ name: 'support', model, tools: { refund } })];
};

const bookedOnce: MakeCheck = (violated) => ({
  atRest({ outside }) {
    for (const [call, times] of outside) if (times !== 1) violated('a refund is booked once', `${call} is booked ${JSON.stringify(times)} times`);
  },
});

const commands = [sends('refund 20', 'refund 500'), answersActions({ approveShare: 0.7 }), stops(), rewinds()];

const careful = await simulate({ agents: support('report'), commands, checks: [bookedOnce], seeds: 50 });
console.log(`as it should be:\n${describeReport(careful)}\n`);

const careless = await simulate({ agents: support('rerun'), commands, checks: [bookedOnce], seeds: 50 });
console.log(`careless:\n${describeReport(careless)}`);
