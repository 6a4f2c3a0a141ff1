/**
 * An approval that waits longer than any process lives. The first process asks to refund money and exits; a second one, much later,
 * decides; the turn goes on there and ends. In your project the imports are from 'holdfast' and 'holdfast/demo'.
 *
 *   node examples/approve-later.ts [DATABASE]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { z } from 'zod';
import { demoModel } from '../src/demo/demo-model.ts';
import { agent, createHoldfast, tool } from '../src/index.ts';

const database = process.argv[2] ?? 'approve-later.db';

const support = agent({
  name: 'support',
  model: demoModel(), // any AI SDK model
  tools: {
    refund: tool({
      description: 'Gives money back',
      inputSchema: z.object({ amount: z.number() }),
      needsApproval: ({ amount }) => amount > 20,
      execute: ({ amount }) => ({ refunded: amount }),
    }),
  },
});

if (process.send === undefined) {
  await once(fork(import.meta.filename, [database]), 'exit');

  // Nothing ran meanwhile, and nothing was kept in memory. Whoever opens the store finds what waits.
  await using holdfast = await createHoldfast({ agents: [support], store: `sqlite:${database}` });
  const session = await holdfast.sessions.get('ticket-12');
  const { turnId } = await session.get();
  for (const { id, toolName, input, inputHash } of await session.actions()) {
    console.log(`[second process] waiting: ${toolName} ${JSON.stringify(input)}`);
    await session.approve(id, { inputHash }); // exactly this call, with exactly this input
  }
  const { status, reason, text } = await session.turn({ turnId: turnId ?? '' }).result;
  console.log(`[second process] ${status}: ${reason}: ${text}`);
} else {
  await using holdfast = await createHoldfast({ agents: [support], store: `sqlite:${database}` });
  const session = await holdfast.sessions.create({ agent: 'support', owner: 'ada', externalId: 'ticket-12' });
  const { status, actions } = await (await session.send('refund 50', { idempotencyKey: 'request-1' })).result;
  console.log(`[first process] ${status}: ${actions.map(({ type, toolName }) => `${type} of ${toolName}`).join()}; it exits`);
}
