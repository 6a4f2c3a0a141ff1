import type { FeedEvent } from '../../core/feed-event.ts';
import { httpRequest } from './client.ts';
import { EventFrames } from './event-frames.ts';
import type { SimulatedProcess } from './simulated-process.ts';
import type { World } from './world.ts';

const withinMs = 10_000;

/** What a world at rest sends to somebody who follows after a position, or from the log's beginning, up to now: the state of the session is told last of it. null: for this owner there is none. Lets time pass. */
export async function eventsAfter({ processes, time }: World, sessionId: string, owner: string, after: string | null): Promise<readonly FeedEvent[] | null> {
  const process = processes.find(({ state, holdfast }) => state === 'running' && holdfast !== null);
  if (process === undefined) throw new RangeError('a world at rest has a process that runs');
  let isOver = false;
  const reading = read(process, sessionId, owner, after);
  const ends = (): void => void (isOver = true);
  void reading.then(ends, ends);
  await time.until(() => isOver, withinMs, 'a stream is not read');
  return reading;
}

async function read(process: SimulatedProcess, sessionId: string, owner: string, after: string | null): Promise<readonly FeedEvent[] | null> {
  const reply = await process.stream(httpRequest({ method: 'GET', path: `/v1/sessions/${sessionId}/events`, owner, key: null, headers: after === null ? {} : { 'last-event-id': after } }), withinMs);
  if (reply.status === 404) return null;
  const frames = new EventFrames();
  const events: FeedEvent[] = [];
  while (events.at(-1)?.type !== 'status') {
    const bytes = await reply.read();
    if (bytes === null) return null;
    for (const { id = '', data } of frames.of(bytes)) if (data !== undefined) events.push({ position: id, ...JSON.parse(data) } as FeedEvent);
  }
  reply.leave();
  return events;
}
