import { expect, onTestFinished } from 'vitest';
import { emptyFeedView, foldFeed, type FeedEvent, type FeedView } from '../../src/core/feed-event.ts';
import { streamedPartsOf } from '../../src/core/stream-parts.ts';
import type { SessionHandle } from '../../src/library/handles.ts';

/** Everything that a follower received, in order. */
export interface Recording {
  readonly events: readonly FeedEvent[];
  /** Resolves when an event has come that fits. */
  until(fits: (event: FeedEvent) => boolean): Promise<FeedEvent>;
  /** Stops following; resolves when that is done. */
  stop(): Promise<void>;
}

/** Follows a session until the test ends. */
export function record(session: SessionHandle, after?: string): Recording {
  const events: FeedEvent[] = [];
  const ending = new AbortController();
  let changed: (() => void)[] = [];
  let failure: unknown = null;
  const notify = (): void => {
    const listeners = changed;
    changed = [];
    for (const listener of listeners) listener();
  };
  const done = (async () => {
    try {
      for await (const event of session.events({ signal: ending.signal, ...(after === undefined ? {} : { after }) })) {
        events.push(event);
        notify();
      }
    } catch (error) {
      failure = error;
    }
    notify();
  })();
  const stop = async (): Promise<void> => {
    ending.abort();
    await done;
    if (failure !== null) throw failure as Error;
  };
  onTestFinished(stop);
  const until = async (fits: (event: FeedEvent) => boolean): Promise<FeedEvent> => {
    for (let looked = 0; ;) {
      const found = events.slice(looked).find(fits);
      if (found !== undefined) return found;
      looked = events.length;
      if (failure !== null) throw failure as Error;
      await new Promise<void>((resolve) => changed.push(resolve));
    }
  };
  return { events, until, stop };
}

/** What is after a position, up to now: the state of the session is told last of it. */
export async function whatFollows(session: SessionHandle, after: string): Promise<readonly FeedEvent[]> {
  const events: FeedEvent[] = [];
  for await (const event of session.events({ after })) {
    events.push(event);
    if (event.type === 'status') break;
  }
  return events;
}

/**
 * What a client knows after these events; its position aside, which is a way of saying so and no knowledge. What it was shown of an attempt up to its step's commit
 * has to be the step's text, no more and no less.
 */
export function knowledge(...parts: readonly (readonly FeedEvent[])[]): Omit<FeedView, 'position'> {
  const { position: _position, ...known } = parts.flat().reduce((view, event) => {
    if (event.type === 'entry' && event.entry.kind === 'assistant-step' && event.entry.attempt.id === view.live?.attemptId) {
      expect(view.live.parts.map(({ text }) => text)).toEqual(streamedPartsOf(event.entry).map(({ text }) => text));
    }
    return foldFeed(view, event);
  }, emptyFeedView);
  return known;
}

/**
 * Resumes after every position that was ever received, from every place where a client that has it may have been cut, and compares what is known then with
 * what the uninterrupted one knows. Returns how many positions there are. Nothing may change meanwhile.
 */
export async function checkEveryPosition(session: SessionHandle, received: readonly FeedEvent[]): Promise<number> {
  const known = knowledge(received);
  const positions = new Set(received.map(({ position }) => position));
  for (const position of positions) {
    const rest = await whatFollows(session, position);
    received.forEach((event, place) => {
      if (event.position === position) expect(knowledge(received.slice(0, place + 1), rest), `cut after event ${place}, at ${position}`).toEqual(known);
    });
  }
  return positions.size;
}
