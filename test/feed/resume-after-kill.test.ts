import { describe, expect, it } from 'vitest';
import { startChild } from '../support/child-process.ts';
import { checkEveryPosition, knowledge, record } from '../support/feed-recording.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { sqliteFiles, stores } from '../support/stores.ts';
import { probeAgent, probeText, silentPort } from '../worker/children/probe-agent.ts';

const script = 'test/worker/children/worker-process.ts';

describe.each(stores)('a stream whose worker is killed with -9 in the middle of it on $name (G5)', (kind) => {
  it('gives what the uninterrupted one gives, from every position ever received: before and after each kill, and at the end', async () => {
    // On SQLite a death is seen before the lease ends; elsewhere the lease is all there is.
    const [path, url, leaseMs] = [await temporaryDatabase(), await kind.newUrl(), kind === sqliteFiles ? 20_000 : 3_000];
    const holdfast = await openHoldfast({ agents: [probeAgent(silentPort)], store: url, worker: false });
    const session = await holdfast.sessions.create({ agent: 'probe' });
    const whole = record(session);
    const pieces = ['One \u{1F40B} ', 'pause', 'two \u{1F433}', 'pause', ' three ', 'pause', '\u{1F99E} four'];
    const turn = await session.send(probeText({ stream: [...pieces, 'wait', ' and five \u{1F41A}'] }));

    for (let kills = 0; kills < 2; kills += 1) {
      const seen = whole.events.length;
      const child = startChild(script, { path, url, leaseMs, waits: ['streaming'] });
      await child.hears('streaming');
      await whole.until((event) => whole.events.indexOf(event) >= seen && event.type === 'chunk' && event.segments.some(({ text }) => text.endsWith('four')));
      await checkEveryPosition(session, whole.events.slice());
      await child.signal('SIGKILL');
      await checkEveryPosition(session, whole.events.slice());
    }
    startChild(script, { path, url, leaseMs, waits: [] });
    expect(await turn.result).toMatchObject({ reason: 'complete' });
    await whole.until((event) => event.type === 'entry' && event.entry.kind === 'turn-ended');
    await whole.until((event) => event.type === 'status' && event.status === 'idle' && whole.events.at(-1) === event);

    const entries = await session.entries();
    expect(entries.map(({ kind }) => kind)).toEqual(['session-created', 'user-message', 'attempt-lost', 'attempt-lost', 'assistant-step', 'turn-ended']);
    expect(knowledge(whole.events)).toEqual({ entries, live: null, status: 'idle', turnId: null, queue: { held: false, messages: [] }, actions: [], operations: [] });
    const positions = await checkEveryPosition(session, whole.events);
    expect(positions).toBeGreaterThan(10);
    expect(whole.events.filter(({ type }) => type === 'chunk-retracted')).toHaveLength(2);
  });
});
