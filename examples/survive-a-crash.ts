/**
 * What happens to a turn whose process is killed while a tool runs. The first process charges a card and is killed in the middle; the
 * second opens the same file and goes on. The card is not charged twice: the call ends as `unknown`, and the model is told.
 *
 *   node examples/survive-a-crash.ts [DATABASE]
 */
import { fork } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import type { LanguageModelV4, LanguageModelV4StreamPart } from '@ai-sdk/provider';
import { z } from 'zod';
import { agent, createHoldfast, tool } from '../src/index.ts';

const database = process.argv[2] ?? 'survive-a-crash.db';
const ledgerOfCharges = `${database}.charges`;

const usage = { inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 }, outputTokens: { total: 1, text: 1, reasoning: 0 } };

/** A model that charges 30, then says how that ended. */
const cashier: LanguageModelV4 = {
  specificationVersion: 'v4', provider: 'example', modelId: 'cashier', supportedUrls: {},
  doGenerate: () => Promise.reject(new Error('this model streams')),
  doStream: ({ prompt }) => {
    const last = prompt.at(-1);
    const parts: LanguageModelV4StreamPart[] = last?.role === 'tool'
      ? [{ type: 'text-start', id: '1' }, { type: 'text-delta', id: '1', delta: `About your payment: ${JSON.stringify(last.content[0])}` }, { type: 'text-end', id: '1' }, { type: 'finish', usage, finishReason: { unified: 'stop', raw: 'stop' } }]
      : [{ type: 'tool-call', toolCallId: 'call_1', toolName: 'charge', input: '{"amount":30}' }, { type: 'finish', usage, finishReason: { unified: 'tool-calls', raw: 'tool_calls' } }];
    return Promise.resolve({ stream: new ReadableStream({ start: (controller) => { for (const part of parts) controller.enqueue(part); controller.close(); } }) });
  },
};

const shop = agent({
  name: 'shop',
  model: cashier,
  tools: {
    charge: tool({
      inputSchema: z.object({ amount: z.number() }),
      execute: async ({ amount }, { callKey }) => {
        appendFileSync(ledgerOfCharges, `${amount} ${callKey}\n`);
        process.send?.('charging');
        await new Promise((resolve) => setTimeout(resolve, 60_000)); // the bank is slow
        return { charged: amount };
      },
      // recovery: 'report' is the default: never run again by itself
    }),
  },
});

if (process.send === undefined) {
  const first = fork(import.meta.filename, [database]);
  await once(first, 'message');
  first.kill('SIGKILL');
  await once(first, 'exit');
  console.log('the first process was killed while the card was being charged');

  await using holdfast = await createHoldfast({ agents: [shop], store: `sqlite:${database}` });
  const session = await holdfast.sessions.get('order-7');
  const [, charge] = await session.entries();
  if (charge?.kind !== 'user-message') throw new Error('the message is kept');
  const { text, reason } = await session.turn({ turnId: charge.turnId }).result;
  console.log(text);
  console.log(`the turn ended: ${reason}; charges on the card: ${readFileSync(ledgerOfCharges, 'utf8').trim().split('\n').length}`);
} else {
  const holdfast = await createHoldfast({ agents: [shop], store: `sqlite:${database}` });
  const session = await holdfast.sessions.create({ agent: 'shop', externalId: 'order-7' });
  await session.send('I want to pay', { idempotencyKey: 'pay-once' });
}
