import { describe, expect, it } from 'vitest';
import { agent, question } from '../../src/index.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';

const periodMs = 10_000; // of a short life

async function bench(script: readonly ScriptedGeneration[], limits: { readonly deleteAfterRestMs: number; readonly endAfterInactivityMs?: number }) {
  const system = fakeSystem();
  const holdfast = await openHoldfast({ system, agents: [agent({ name: 'one', model: scriptedModel(script), tools: { ask: question() }, limits })] });
  const exists = async (id: string): Promise<boolean> => (await holdfast.store.readSession({ tenant: 'default', id })) !== null;
  return { system, holdfast, exists };
}

describe('a session of an agent that keeps sessions for a while', () => {
  it('is deleted with everything of it when it has rested that long, and not before', async () => {
    const { system, holdfast, exists } = await bench(['hello', 'again'], { deleteAfterRestMs: 30 * periodMs });
    const session = await holdfast.sessions.create({ agent: 'one', externalId: 'crm-1' });
    await (await session.send('hi')).result;
    await system.advance(29 * periodMs);
    expect(await exists(session.id)).toBe(true);
    // A turn is a reason to keep it as long again.
    await (await session.send('still here')).result;
    await system.advance(29 * periodMs);
    expect(await exists(session.id)).toBe(true);
    await system.advance(2 * periodMs);
    expect(await exists(session.id)).toBe(false);
    expect(await holdfast.store.readEntries({ tenant: 'default', id: session.id }, { limit: 10 })).toEqual([]);
    // Its external id is free.
    expect((await holdfast.sessions.create({ agent: 'one', externalId: 'crm-1' })).created).toBe(true);
  });

  it('is kept while a turn waits for somebody, however long', async () => {
    const { system, holdfast, exists } = await bench([[{ call: 'ask', input: { question: 'well?' } }], 'thanks'], { deleteAfterRestMs: periodMs });
    const session = await holdfast.sessions.create({ agent: 'one' });
    const { actions } = await (await session.send('hi')).result;
    await system.advance(10 * periodMs);
    expect(await exists(session.id)).toBe(true);
    await session.respond(actions[0]?.id ?? '', { type: 'answer', value: 'yes' });
    await system.advance(2 * periodMs);
    expect(await exists(session.id)).toBe(false);
  });

  it('may end by inactivity first, and is deleted later', async () => {
    const { system, holdfast, exists } = await bench(['hello'], { deleteAfterRestMs: 3 * periodMs, endAfterInactivityMs: periodMs });
    const session = await holdfast.sessions.create({ agent: 'one' });
    await (await session.send('hi')).result;
    await system.advance(2 * periodMs);
    expect((await session.get()).status).toBe('ended');
    await system.advance(2 * periodMs);
    expect(await exists(session.id)).toBe(false);
  });
});
