import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import { limits } from '../../src/core/limits.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { startChild } from '../support/child-process.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { sqliteFiles, stores } from '../support/stores.ts';

describe.each(stores)('a session that kills its workers on $name', (kind) => {
  it('is taken alone from the second crash on, parked as poisoned, and harms no other; a new message begins anew', async () => {
    // On SQLite a death is seen before the lease ends; elsewhere the lease is all there is.
    const [path, url, leaseMs] = [await temporaryDatabase(), await kind.newUrl(), kind === sqliteFiles ? 20_000 : 1_500];
    const stub = scriptedModel([]);
    const agents = [agent({ name: 'poisonous', model: stub }), agent({ name: 'bystander', model: stub })];
    const holdfast = await openHoldfast({ agents, store: url, worker: false });
    const poisonous = await holdfast.sessions.create({ agent: 'poisonous' });
    const turn = await poisonous.send('go');
    let ended = false;
    void turn.result.then(() => { ended = true; });

    let processes = 0;
    for (; !ended && processes < 12; processes += 1) {
      const child = startChild('test/worker/children/poison-process.ts', { path, url, leaseMs });
      await Promise.race([child.ended, turn.result]);
    }
    const crashesMax = limits.crashesBeforeSolo + limits.soloCrashesMax;
    expect(await turn.result).toMatchObject({ reason: 'failed', error: { code: 'poisoned', retryable: false } });
    expect(processes).toBe(crashesMax + 1);
    const noted = readFileSync(`${path}.journal`, 'utf8').trim().split('\n');
    expect(noted).toHaveLength(crashesMax);
    // The first two were taken beside others; then never again, though there was other work.
    for (const line of noted.slice(0, limits.crashesBeforeSolo)) expect(line).not.toBe('crash 1 ready');
    expect(noted.slice(limits.crashesBeforeSolo)).toEqual(Array.from({ length: limits.soloCrashesMax }, () => 'crash 1 ready'));

    // Its call has an answer, so that the next prompt is whole.
    expect((await poisonous.entries()).slice(-3)).toMatchObject([
      { kind: 'assistant-step', parts: [{ type: 'tool-call', toolName: 'crash' }] },
      { kind: 'tool-results', results: [{ toolName: 'crash', outcome: 'unknown' }] },
      { kind: 'turn-ended', reason: 'failed' },
    ]);

    const { items } = await holdfast.sessions.list({ agent: 'bystander' });
    expect(items).toHaveLength(crashesMax);
    for (const { id } of items) {
      const session = await holdfast.sessions.get(id);
      const [started] = (await session.entries()).flatMap((entry) => (entry.kind === 'user-message' ? [entry.turnId] : []));
      expect(await session.turn({ turnId: started ?? '' }).result).toMatchObject({ reason: 'complete' });
    }

    expect((await poisonous.get()).status).toBe('failed');
    const again = await poisonous.send('go');
    const survivor = startChild('test/worker/children/poison-process.ts', { path, url, leaseMs });
    // The new turn has all its tries: its tool runs, and kills this process too.
    const first = await Promise.race([survivor.ended.then(() => 'its tool ran'), again.result.then(({ error }) => error?.code)]);
    expect(first).toBe('its tool ran');
    expect(await poisonous.get()).toMatchObject({ status: 'running', turnId: again.id });
  }, 40_000);
});
