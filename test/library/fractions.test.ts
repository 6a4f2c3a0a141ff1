import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, tool } from '../../src/index.ts';
import { retryDelayMs } from '../../src/core/retry.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { stores } from '../support/stores.ts';

/** 12,342,857.142… ms. */
const seventhOfADayMs = 86_400_000 / 7;

describe.each(stores)('times on $name', ({ newUrl }) => {
  it('that a program says in parts of a millisecond are whole ones in the log and the row', async () => {
    const approved = tool({ inputSchema: z.object({}), needsApproval: true, actionExpiresAfterMs: seventhOfADayMs, recovery: 'rerun', execute: () => 'x' });
    const one = agent({
      name: 'one', model: scriptedModel([[{ call: 'approved', input: {} }], 'ok']), tools: { approved }, limits: { endAfterInactivityMs: seventhOfADayMs, deleteAfterRestMs: seventhOfADayMs },
    });
    const holdfast = await openHoldfast({ agents: [one], store: await newUrl() });
    const session = await holdfast.sessions.create({ agent: 'one' });
    const { actions: [action], id } = await (await session.send('go')).result;
    expect(Number.isSafeInteger(action?.expiresAtMs)).toBe(true);
    await session.respond(action?.id ?? '', { type: 'approve' });
    expect((await session.turn({ turnId: id }).result).reason).toBe('complete');
    const { endsAtMs, deletesAtMs } = (await holdfast.store.readSession({ tenant: 'default', id: session.id })) ?? {};
    expect([endsAtMs, deletesAtMs].map(Number.isSafeInteger)).toEqual([true, true]);
  });
});

it('a provider that asks for parts of a millisecond is waited for in whole ones', () => {
  expect(retryDelayMs(1, 0, 1_234.5)).toBe(1_235);
});
