import { expect, test, vi } from 'vitest';
import { crashEverywhere, type CrashScenario } from '../../src/testing/index.ts';
import { refundAgent } from '../support/refunding-agents.ts';

vi.setConfig({ testTimeout: 60_000 });

function refundOnce(recovery: 'report' | 'rerun', more: Partial<CrashScenario> = {}): CrashScenario {
  const booked: string[] = [];
  return {
    agents: [refundAgent(recovery, (callKey) => booked.push(callKey))],
    play: async (holdfast) => {
      const session = await holdfast.sessions.create({ agent: 'support', externalId: 'order-7' });
      const turn = await session.send('refund 20', { idempotencyKey: 'request-1' });
      await turn.result;
    },
    check: async (holdfast) => {
      expect(booked.length).toBeLessThan(2);
      const session = await holdfast.sessions.get('order-7');
      expect((await session.entries()).map(({ kind }) => kind).filter((kind) => kind === 'user-message' || kind === 'turn-ended')).toEqual(['user-message', 'turn-ended']);
    },
    ...more,
  };
}

test('wherever its process dies, a refund is booked once, and its turn ends', async () => {
  const deaths = await crashEverywhere(() => refundOnce('report'));
  expect(new Set(deaths.map(({ when }) => when))).toEqual(new Set(['before', 'after']));
  expect(deaths.map(({ name }) => name)).toEqual(expect.arrayContaining(['registerWorker', 'create', 'update']));
  expect(deaths.filter(({ name }) => name === 'update').length).toBeGreaterThan(4);
});

test('a tool that runs again and must not is found, and where the process died is named', async () => {
  await expect(crashEverywhere(() => refundOnce('rerun'))).rejects.toMatchObject({
    code: 'crash_scenario_failed', message: expect.stringMatching(/^after a death before change \d+ of the store \(update\): expected 2 to be less than 2/) as string,
  });
});

test('a scenario that fails without a death says so', async () => {
  const broken = new Error('wrong from the beginning');
  await expect(crashEverywhere(() => refundOnce('report', { play: () => Promise.reject(broken) }))).rejects.toMatchObject({ code: 'crash_scenario_failed', message: 'without a death: wrong from the beginning', cause: broken });
});

test('what is not over in time fails', async () => {
  await expect(crashEverywhere(() => refundOnce('report', { play: () => new Promise<never>(() => undefined) }), { withinMs: 50 })).rejects.toMatchObject({ code: 'crash_scenario_failed', message: 'without a death: not over within 50 ms' });
});
