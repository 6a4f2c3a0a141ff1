import { z } from 'zod';
import { agent, tool, type Agent } from '../../src/index.ts';
import { scriptedModel, type AgentsOf, type MakeCheck } from '../../src/testing/index.ts';

/** An agent that refunds, whatever it is told; each run of its tool counts in `outside`, at once, and takes 400 ms. */
export function refunding(recovery: 'report' | 'rerun'): AgentsOf {
  return ({ system, outside }) => [refundAgent(recovery, async (callKey) => {
    outside.set(callKey, Number(outside.get(callKey) ?? 0) + 1);
    await new Promise<void>((resolve) => void system.clock.after(400, resolve));
  })];
}

export function refundAgent(recovery: 'report' | 'rerun', book: (callKey: string) => unknown): Agent {
  const refund = tool({
    inputSchema: z.object({ amount: z.number() }), recovery,
    execute: async ({ amount }, { callKey }) => {
      await book(callKey);
      return { refunded: amount };
    },
  });
  const model = scriptedModel([], { otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'tool' ? 'done' : [{ call: 'refund', input: { amount: 20 } }]) });
  return agent({ name: 'support', model, tools: { refund } });
}

export const bookedOnce: MakeCheck = (violated) => ({
  atRest({ outside }) {
    for (const [call, times] of outside) if (times !== 1) violated('booked once', `${call} is booked ${JSON.stringify(times)} times`);
  },
});
