import { expect, it } from 'vitest';
import { agent } from '../../src/index.ts';
import { scriptedModel } from '../../src/testing/index.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { collect } from './kit.ts';

it('the ids of imported messages are taken in their session for good', async () => {
  const holdfast = await openHoldfast({ agents: [agent({ name: 'demo', model: scriptedModel([], { otherwise: 'yes' }) })], store: 'sqlite::memory:' });
  const messages = [{ id: 'm-1', role: 'user', parts: [{ type: 'text', text: 'hello' }] }, { id: 'a-1', role: 'assistant', parts: [{ type: 'text', text: 'well?' }] }];
  const [imported] = await collect(holdfast.import([JSON.stringify({ id: 'c1', messages })], { agent: 'demo' }));
  if (imported === undefined || !('sessionId' in imported)) throw new Error(JSON.stringify(imported));
  const session = await holdfast.sessions.get(imported.sessionId);
  await expect(session.send({ text: 'hello', messageId: 'm-1' })).rejects.toMatchObject({ code: 'idempotency_mismatch' });
  expect((await (await session.send({ text: 'more', messageId: 'm-2' })).result).status).toBe('ended');
});
