import { describe, expect, it } from 'vitest';
import { agent } from '../../src/index.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { startChild, type Child } from '../support/child-process.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { stores } from '../support/stores.ts';

const points = ['in the call', 'before its outcome is stored', 'after its outcome is stored', 'before the step is committed', 'after the step is committed'] as const;

describe.each(stores)('what calls write of state, their worker killed with kill -9 ($name)', ({ newUrl }) => {
  it.each(points)('%s: it is written once for each call, with its result', async (point) => {
    const url = await newUrl();
    const holdfast = await openHoldfast({ agents: [agent({ name: 'counter', model: scriptedModel([]) })], store: url, worker: false });
    const session = await holdfast.sessions.create({ agent: 'counter' });
    const worker = (stopsAt: string | null): Child => startChild('test/worker/children/state-worker.ts', { url, stopsAt });
    const first = worker(point);
    await first.hears('ready');
    const turn = await session.send('count twice');
    await first.hears(point);
    // What is not committed with its step's results, nobody sees.
    const written = point === 'after the step is committed' ? 2 : undefined;
    expect([(await session.state.get('conversation', 'n'))?.value, (await session.state.get('agent', 'n'))?.value]).toEqual([written, written]);
    await first.signal('SIGKILL');
    worker(null);

    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'counted' });
    const entries = await session.entries();
    expect(ofKind(entries, 'tool-results').flatMap(({ results }) => results.map(({ outcome }) => outcome))).toEqual(['done', 'done']);
    expect([(await session.state.get('conversation', 'n'))?.value, (await session.state.get('agent', 'n'))?.value]).toEqual([2, 2]);
    expect(ofKind(entries, 'state-changed').map((entry) => entry.value)).toEqual([2]);
  });
});
