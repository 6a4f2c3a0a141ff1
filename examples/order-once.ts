/**
 * An order table of your own, beside Holdfast's tables in the same Postgres, and a tool that writes to it exactly once. The first process is killed after the tool has written and before that is committed; the second
 * goes on. There is one order, and the model is told that it was placed.
 *
 *   node examples/order-once.ts postgres://user:password@host:port/database
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { LanguageModelV4, LanguageModelV4StreamPart } from '@ai-sdk/provider';
import pg from 'pg';
import { z } from 'zod';
import { agent, createHoldfast, postgres, tool } from '../src/index.ts';

const url = process.argv[2] ?? process.env['DATABASE_URL'];
if (url === undefined) throw new Error('say which Postgres: node examples/order-once.ts postgres://user:password@host:port/database');
const isFirst = process.argv[3] === 'first';

const usage = { inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 }, outputTokens: { total: 1, text: 1, reasoning: 0 } };

/** A model that orders tea, then says how that ended. */
const waiter: LanguageModelV4 = {
  specificationVersion: 'v4', provider: 'example', modelId: 'waiter', supportedUrls: {},
  doGenerate: () => Promise.reject(new Error('this model streams')),
  doStream: ({ prompt }) => {
    const last = prompt.at(-1);
    const parts: LanguageModelV4StreamPart[] = last?.role === 'tool'
      ? [{ type: 'text-start', id: '1' }, { type: 'text-delta', id: '1', delta: `About your order: ${JSON.stringify(last.content[0])}` }, { type: 'text-end', id: '1' }, { type: 'finish', usage, finishReason: { unified: 'stop', raw: 'stop' } }]
      : [{ type: 'tool-call', toolCallId: 'call_1', toolName: 'order', input: '{"what":"tea"}' }, { type: 'finish', usage, finishReason: { unified: 'tool-calls', raw: 'tool_calls' } }];
    return Promise.resolve({ stream: new ReadableStream({ start: (controller) => { for (const part of parts) controller.enqueue(part); controller.close(); } }) });
  },
};

const cafe = agent({
  name: 'cafe',
  model: waiter,
  tools: {
    order: tool({
      inputSchema: z.object({ what: z.string() }),
      transaction: true, // what it writes is committed with its result, or not at all
      execute: async ({ what }, { transaction }) => {
        const { rows } = await transaction.query<{ id: number }>('INSERT INTO orders (what) VALUES ($1) RETURNING id', [what]);
        if (isFirst) {
          process.send?.('written');
          await new Promise(() => undefined); // here it is killed
        }
        return { order: rows[0]?.id };
      },
    }),
  },
});

// Your own pool; Holdfast's tables are in a schema of their own. A short lease, so that the example need not wait for the usual 10 s.
const pool = new pg.Pool({ connectionString: url });
const open = () => createHoldfast({ agents: [cafe], store: postgres({ pool, schema: 'holdfast' }), worker: { leaseMs: 1_000 } });

if (isFirst) {
  const holdfast = await open();
  // Your row and the message land together.
  await holdfast.transaction(async (transaction) => {
    await transaction.query('INSERT INTO guests (name) VALUES ($1)', ['Ada']);
    const session = await holdfast.sessions.create({ agent: 'cafe', externalId: 'table-7' }, { transaction });
    await session.send('A tea, please', { transaction, idempotencyKey: 'tea-for-ada' });
  });
} else {
  await pool.query('CREATE TABLE orders (id serial PRIMARY KEY, what text NOT NULL)');
  await pool.query('CREATE TABLE guests (name text NOT NULL)');
  const first = fork(import.meta.filename, [url, 'first']);
  await once(first, 'message');
  first.kill('SIGKILL');
  await once(first, 'exit');
  console.log('the first process was killed after its tool had written, before that was committed');

  const holdfast = await open();
  const session = await holdfast.sessions.get('table-7');
  const message = (await session.entries()).find((entry) => entry.kind === 'user-message');
  if (message === undefined) throw new Error('the message is kept');
  const { text, reason } = await session.turn({ turnId: message.turnId }).result;
  console.log(text);
  const { rows } = await pool.query<{ orders: number; guests: number }>('SELECT (SELECT count(*)::int FROM orders) AS orders, (SELECT count(*)::int FROM guests) AS guests');
  console.log(`the turn ended: ${reason}; orders: ${rows[0]?.orders}, guests: ${rows[0]?.guests}`);
  await holdfast.close();
  await pool.end();
}
