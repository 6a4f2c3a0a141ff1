import type { FeedEvent } from '../../core/feed-event.ts';
import { httpRequest } from './client.ts';
import { EventFrames } from './event-frames.ts';
import { NoReply, type SimulatedProcess } from './simulated-process.ts';
import type { WatchedWorld } from './check.ts';

const withinMs = 10_000;
const againMs = 1_000;
const triesMax = 20;

/** What a world at rest sends to somebody who follows after a position, or from the log's beginning, up to now: the state of the session is told last of it. null: for this owner there is none. Lets time pass. */
export async function eventsAfter({ processes, time }: Pick<WatchedWorld, 'processes' | 'time'>, sessionId: string, owner: string, after: string | null): Promise<readonly FeedEvent[] | null> {
  for (let tries = 1; ; tries += 1) {
    const process = processes.find(({ state, holdfast }) => state === 'running' && holdfast !== null);
    let isOver = false;
    const reading = process === undefined ? Promise.reject(new NoReply('nobody listens')) : read(process, sessionId, owner, after);
    const ends = (): void => void (isOver = true);
    void reading.then(ends, ends);
    await time.until(() => isOver, withinMs, 'a stream is not read');
    try {
      return await reading;
    } catch (error) {
      // A deployment that began before everything came to rest may take a process away.
      if (!(error instanceof NoReply) || tries === triesMax) throw error;
      await time.advance(againMs);
    }
  }
}

async function read(process: SimulatedProcess, sessionId: string, owner: string, after: string | null): Promise<readonly FeedEvent[] | null> {
  const reply = await process.stream(httpRequest({ method: 'GET', path: `/v1/sessions/${sessionId}/events`, owner, key: null, headers: after === null ? {} : { 'last-event-id': after } }), withinMs);
  if (reply.status === 404) return null;
  const frames = new EventFrames();
  const events: FeedEvent[] = [];
  while (events.at(-1)?.type !== 'status') {
    const bytes = await reply.read();
    // A process that ends in order ends its streams.
    if (bytes === null) throw new NoReply('the stream ended');
    for (const { id = '', data } of frames.of(bytes)) if (data !== undefined) events.push({ position: id, ...JSON.parse(data) } as FeedEvent);
  }
  reply.leave();
  return events;
}
