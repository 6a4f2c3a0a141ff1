import { describe, expect, it, onTestFinished } from 'vitest';
import type { FeedEvent } from '../../src/core/feed-event.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { agent } from '../../src/index.ts';
import { listen } from '../../src/server/listen.ts';
import { openStoreUrl, postgres, postgresUrlParts, type StoreSource } from '../../src/store-url.ts';
import { gate, type Gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openEvents, type EventStream, type StreamFrame } from '../support/event-stream.ts';
import { knowledge } from '../support/feed-recording.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { postgresSchemas, sqliteFiles } from '../support/stores.ts';

interface Way {
  readonly way: string;
  readonly newSource: () => Promise<StoreSource>;
}

const ways: readonly Way[] = [
  { way: 'SQLite', newSource: async () => { const url = await sqliteFiles.newUrl(); return { open: (settings) => openStoreUrl(url, settings) }; } },
  { way: 'Postgres with hints', newSource: async () => postgres(optionsOf(await postgresSchemas.newUrl())) },
  { way: 'Postgres by polling only', newSource: async () => postgres({ ...optionsOf(await postgresSchemas.newUrl()), dialect: { notify: false } }) },
];

function optionsOf(url: string): { readonly url: string; readonly schema: string } {
  const { connection, schema = 'holdfast' } = postgresUrlParts(url);
  return { url: connection, schema };
}

/** What was sent, as the library gives it: the frame's id is the position. */
function eventsOf({ frames }: EventStream): readonly FeedEvent[] {
  return frames.flatMap(({ id, data }) => (id === undefined || data === undefined || data.type === 'deleted' ? [] : [{ position: id, ...data }]));
}

function said(text: string): Parameters<EventStream['until']>[0] {
  return ({ data }) => data?.type === 'chunk' && data.segments.some((segment) => segment.text.includes(text));
}

/** A client that follows the session there from a position, and goes away when it has seen what it waits for; what it received. */
async function follow(url: string, sessionId: string, after: string | null, until: Parameters<EventStream['until']>[0]): Promise<readonly FeedEvent[]> {
  const stream = await openEvents(`${url}/v1/sessions/${sessionId}/events`, { headers: after === null ? {} : { 'last-event-id': after } });
  await stream.until(until);
  stream.leave();
  await stream.ended;
  return eventsOf(stream);
}

async function served(source: StoreSource): Promise<{ readonly holdfast: Holdfast; readonly url: string }> {
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([]) })], store: source, worker: false });
  const listener = await listen({ fetch: holdfast.fetch, port: 0, graceMs: 500 });
  onTestFinished(() => listener.close());
  return { holdfast, url: listener.url };
}

describe.each(ways)('a session that a third process works on, on $way', ({ newSource }) => {
  it('is followed at either of two servers, and from one to the other: what a client knows then is what an uninterrupted one knows', async () => {
    const source = await newSource();
    const gates: readonly Gate[] = [gate(), gate(), gate()];
    const steps = gates.flatMap((each, place) => [{ text: [`piece ${place} \u{1F40B} `, `of ${place}; `] }, { gate: each }]);
    await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([[{ reasoning: 'hm' }, ...steps, { text: 'the end' }]], { otherwise: 'the second answer' }) })], store: source, worker: { chunkIntervalMs: 20, pollMs: 50 } });
    const [here, there] = [await served(source), await served(source)];
    const session = await here.holdfast.sessions.create({ agent: 'one' });
    const whole = await openEvents(`${there.url}/v1/sessions/${session.id}/events`);
    const turn = await session.send('go');

    const received: FeedEvent[] = [];
    for (const [place, each] of gates.entries()) {
      received.push(...await follow(place % 2 === 0 ? there.url : here.url, session.id, received.at(-1)?.position ?? null, said(`of ${place};`)));
      each.open();
    }
    // The second message is sent to the other server.
    const second = await (await there.holdfast.sessions.get(session.id)).send('and now?');
    expect(await turn.result).toMatchObject({ reason: 'complete' });
    expect(await second.result).toMatchObject({ reason: 'complete', text: 'the second answer' });
    const isOver = ({ data }: StreamFrame): boolean => data?.type === 'entry' && data.entry.kind === 'turn-ended' && data.entry.turnId === second.id;
    received.push(...await follow(here.url, session.id, received.at(-1)?.position ?? null, isOver));
    await whole.until(isOver);
    const isIdle = (events: readonly FeedEvent[]): boolean => knowledge(events).status === 'idle';
    await eventually('the uninterrupted one to know that it rests', () => isIdle(eventsOf(whole)));
    received.push(...await follow(there.url, session.id, received.at(-1)?.position ?? null, ({ data }) => data?.type === 'status' && data.status === 'idle'));
    expect(knowledge(received)).toEqual(knowledge(eventsOf(whole)));
    expect(knowledge(received).entries).toEqual(await session.entries());
    // From every position that the uninterrupted one was ever given, at the other server.
    const events = eventsOf(whole);
    const positions = events.map(({ position }) => position);
    for (const place of [0, 1, 2, 3].map((quarter) => Math.floor((quarter * events.length) / 4))) {
      const rest = await follow(here.url, session.id, positions[place] ?? null, ({ data }) => data?.type === 'status' && data.status === 'idle');
      expect(knowledge(events.slice(0, place + 1), rest)).toEqual(knowledge(events));
    }
  });
});
