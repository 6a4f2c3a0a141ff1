import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test, vi } from 'vitest';
import { z } from 'zod';
import { agent, createHoldfast, tool } from '../../src/index.ts';
import { sqliteStore, StoreError } from '../../src/store/index.ts';
import { answersActions, crashEverywhere, crashStore, describeReport, fakeSystem, rewinds, scriptedModel, sends, simulate, stops, type AgentsOf, type MakeCheck } from '../../src/testing/index.ts';

vi.setConfig({ testTimeout: 60_000 });

// What stands between the marks stands in the guide, too.

// guide: agent
function support(book: (callKey: string) => Promise<void> | void) {
  const refund = tool({
    inputSchema: z.object({ amount: z.number() }),
    execute: async ({ amount }, { callKey }) => {
      await book(callKey); // the bank
      return { refunded: amount };
    },
  });
  const model = scriptedModel([], {
    otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'tool' ? 'It is on its way.' : [{ call: 'refund', input: { amount: 20 } }]),
  });
  return agent({ name: 'support', model, tools: { refund } });
}
// guide end

// guide: dies
test('wherever its process dies, a refund is booked at most once', async () => {
  await crashEverywhere(() => {
    const booked: string[] = [];
    return {
      agents: [support((callKey) => void booked.push(callKey))],
      play: async (holdfast) => {
        const session = await holdfast.sessions.create({ agent: 'support', externalId: 'order-7' });
        const turn = await session.send('refund 20', { idempotencyKey: 'request-1' });
        await turn.result;
      },
      check: () => expect(booked.length).toBeLessThan(2),
    };
  });
});
// guide end

// guide: simulate
const agents: AgentsOf = ({ system, outside }) => [support(async (callKey) => {
  outside.set(callKey, Number(outside.get(callKey) ?? 0) + 1); // it books
  await new Promise<void>((resolve) => void system.clock.after(400, resolve)); // and takes a while to say so
})];

const bookedOnce: MakeCheck = () => ({
  atRest: ({ outside }) => expect([...outside].filter(([, times]) => times !== 1)).toEqual([]),
});

test('in twenty whole systems, no refund is booked twice', async () => {
  const commands = [sends('refund 20', 'I want my money back'), answersActions({ approveShare: 0.7 }), stops(), rewinds()];
  const report = await simulate({ agents, commands, checks: [bookedOnce], seeds: 20 });
  expect(report.failed, describeReport(report)).toBe(0);
  expect(report.met.tools['refund']).toBeGreaterThan(20); // it was really met
});
// guide end

// guide: clock
test('the fifth try succeeds, with no waiting', async () => {
  const system = fakeSystem();
  const overloaded = [{ error: Object.assign(new Error('overloaded'), { statusCode: 529, isRetryable: true }) }];
  const model = scriptedModel([overloaded, overloaded, overloaded, overloaded, 'Hello.']);
  await using holdfast = await createHoldfast({ agents: [agent({ name: 'support', model })], store: 'sqlite::memory:', system });
  const session = await holdfast.sessions.create({ agent: 'support' });
  const turn = await session.send('hello');
  await system.runUntil(() => model.calls.length === 5);
  expect((await turn.result).text).toBe('Hello.');
});
// guide end

// guide: crash store
test('a message whose store fails is refused, and sent again it is there once', async () => {
  let fails = true;
  const store = crashStore(await sqliteStore({ path: ':memory:', system: fakeSystem() }), async ({ name }, perform) => {
    const result = await perform();
    if (name === 'update' && fails) throw new StoreError('store_unavailable', 'the answer was lost');
    return result;
  });
  await using holdfast = await createHoldfast({ agents: [support(() => undefined)], store, worker: false });
  const session = await holdfast.sessions.create({ agent: 'support' });
  const send = () => session.send('refund 20', { idempotencyKey: 'request-1' });
  await expect(send()).rejects.toMatchObject({ code: 'store_unavailable' });
  fails = false;
  await send();
  expect((await session.entries()).filter(({ kind }) => kind === 'user-message')).toHaveLength(1);
});
// guide end

test('the guide has this code', () => {
  const own = readFileSync(import.meta.filename, 'utf8');
  const guide = readFileSync(path.join(import.meta.dirname, '../../docs/guide/testing-your-agent.md'), 'utf8');
  const parts = [...own.matchAll(/^\/\/ guide: .*\n([^]*?)\n\/\/ guide end$/gm)].map(([, part = '']) => part);
  expect(parts).toHaveLength(5);
  for (const part of parts) expect(guide).toContain(part);
});
