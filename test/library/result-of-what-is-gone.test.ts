import { expect, it } from 'vitest';
import { ofKind, runTurn } from '../support/run-turn.ts';
import { stores } from '../support/stores.ts';

it.for(stores)('the result of a turn that ended here says nothing of what was redacted since, and is gone with its session ($name)', async ({ newUrl }) => {
  const { session, turn, entries, result } = await runTurn({ store: await newUrl(), script: ['the secret'] });
  expect(result.text).toBe('the secret');
  await session.redact(ofKind(entries, 'assistant-step')[0]?.seq ?? 0);
  expect((await session.turn({ turnId: turn.id }).result).text).toBe('[redacted]');
  await session.delete();
  await expect(session.turn({ turnId: turn.id }).result).rejects.toMatchObject({ code: 'turn_not_found' });
});
