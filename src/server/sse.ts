import type { ServerResponse } from 'node:http';
import { HoldfastError } from '../core/errors.ts';
import type { FeedCursor, FeedEvent } from '../core/feed-event.ts';
import { limits } from '../core/limits.ts';
import type { System } from '../core/system.ts';
import type { Feed } from '../feed/feed.ts';
import type { SessionRef } from '../store/store.ts';
import { deletedFrame, framesOf, heartbeatFrame, retryFrame } from './event-frame.ts';
import { nodeOutlet, webOutlet, type OutletEvents, type StreamOutlet } from './stream-outlet.ts';

export interface EventStreamOptions {
  readonly feed: Feed;
  readonly system: System;
  readonly ref: SessionRef;
  readonly from: FeedCursor;
  /** The stream ends after the first event for which this holds. Default: it goes on until the session is deleted. */
  readonly isLast?: (event: FeedEvent) => boolean;
  /** Asked when the session is given to another owner. Where it says no, the session is gone for this client, from there on. Default: yes. */
  readonly mayFollow?: () => Promise<boolean>;
  /** Aborted when the process takes its leave. */
  readonly closing?: AbortSignal | undefined;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  /** Called once, when the stream is over in whatever way. */
  readonly onOver: () => void;
  /** Told why a stream was reset; not of clients that went. */
  readonly onReset: (reason: 'lags' | Error) => void;
  readonly headers?: Readonly<Record<string, string>>;
}

const streams = new WeakMap<Response, EventStream>();

/**
 * The events of a session as server-sent events (design section 10). A stream that breaks is reset, never ended cleanly, so that the client knows and
 * resumes from its last position. Nothing is read ahead of what the client takes; one that leaves more than 1 MB or anything for 10 s is
 * disconnected. The end of a stream cancels nothing.
 */
export function eventStreamResponse(options: EventStreamOptions): Response {
  const stream = new EventStream(options);
  const response = new Response(stream.body, {
    headers: { ...options.headers, 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' },
  });
  streams.set(response, stream);
  return response;
}

/**
 * Sends an event stream as the response of Node that it becomes, several times as fast as its body can be read. False: the response is none, and the
 * caller sends it.
 */
export function sendEventStream(response: Response, outgoing: ServerResponse): boolean {
  const stream = streams.get(response);
  if (stream === undefined) return false;
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  stream.sendTo(outgoing);
  return true;
}

function isTransfer(event: FeedEvent): boolean {
  return event.type === 'entry' && event.entry.kind === 'owner-changed';
}

class EventStream {
  /** Asked for more, it begins; sent as Node's response, it is not used. */
  readonly body: ReadableStream<Uint8Array>;
  readonly #options: EventStreamOptions;
  readonly #over = new AbortController();
  readonly #events: OutletEvents;
  #outlet: StreamOutlet;
  /** The client takes more. */
  #demand = false;
  #onDemand: (() => void) | null = null;
  #cancelHeartbeat: (() => void) | null = null;
  #begun = false;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#events = { onDemand: () => this.#asked(), onGone: () => this.#finish() };
    const outlet = webOutlet(this.#events);
    this.#outlet = outlet;
    this.body = outlet.body;
    options.signal.addEventListener('abort', this.#onGone);
    options.closing?.addEventListener('abort', this.#onClosing);
    if (options.signal.aborted) this.#finish();
  }

  readonly #onGone = (): void => this.#finish();
  readonly #onClosing = (): void => this.#askToReconnect();

  sendTo(outgoing: ServerResponse): void {
    this.#outlet = nodeOutlet(outgoing, this.#events);
    if (outgoing.destroyed) this.#finish();
    this.#asked();
  }

  #asked(): void {
    this.#demand = true;
    if (this.#begun) {
      this.#onDemand?.();
      return;
    }
    this.#begun = true;
    if (this.#isOver) {
      this.#outlet.breakOff();
      return;
    }
    this.#give(retryFrame(limits.streamRetryMs));
    this.#scheduleHeartbeat();
    void this.#run();
    if (this.#options.closing?.aborted === true) this.#askToReconnect();
  }

  async #run(): Promise<void> {
    const { feed, ref, from, isLast, mayFollow, onReset } = this.#options;
    try {
      for await (const followed of feed.follow(ref, from, this.#over.signal, () => this.#lagging())) {
        const given = mayFollow === undefined ? -1 : followed.findIndex(isTransfer);
        const isLeft = given !== -1 && (await mayFollow?.()) === false;
        const events = isLeft ? followed.slice(0, given) : followed;
        const last = isLast === undefined ? -1 : events.findIndex(isLast);
        if (!this.#demand) await this.#asksForMore();
        if (this.#isOver) return;
        this.#give(framesOf(last === -1 ? events : events.slice(0, last + 1)));
        if (last !== -1) {
          this.#end();
          return;
        }
        if (isLeft) break;
      }
      if (this.#isOver) return;
      if (feed.closed) {
        this.#askToReconnect();
        return;
      }
      if (!this.#demand) await this.#asksForMore();
      if (this.#isOver) return;
      this.#give(deletedFrame);
      this.#end();
    } catch (error) {
      if (this.#isOver) return;
      onReset(error instanceof Error ? error : new HoldfastError('stream_failed', String(error)));
      this.#reset();
    }
  }

  /** Resolves when the client takes more, or the stream is over: at the latest when it has left something for too long. */
  async #asksForMore(): Promise<void> {
    const asked = Promise.withResolvers<void>();
    const cancelTimer = this.#options.system.clock.after(limits.streamLagMsMax, () => this.#lagging());
    this.#onDemand = asked.resolve;
    await asked.promise;
    this.#onDemand = null;
    cancelTimer();
  }

  get #isOver(): boolean {
    return this.#over.signal.aborted;
  }

  #give(bytes: Uint8Array): void {
    this.#demand = this.#outlet.give(bytes);
  }

  #scheduleHeartbeat(): void {
    this.#cancelHeartbeat = this.#options.system.clock.after(limits.heartbeatMs, () => {
      if (this.#demand) this.#give(heartbeatFrame);
      this.#scheduleHeartbeat();
    });
  }

  #lagging(): void {
    if (this.#isOver) return;
    this.#options.onReset('lags');
    this.#reset();
  }

  /** The clean end: there is nothing more to come. */
  #end(): void {
    this.#finish();
    this.#outlet.end();
  }

  /** The process goes: the client is asked to come back, not all clients at once, and finds another. */
  #askToReconnect(): void {
    if (this.#isOver || !this.#begun) return;
    const { random, clock } = this.#options.system;
    if (this.#demand) this.#give(retryFrame(limits.streamRetryMs * (0.5 + random.next())));
    this.#finish();
    // What was given reaches the connection in between.
    clock.soon(() => this.#outlet.breakOffAfterwards());
  }

  #reset(): void {
    this.#finish();
    this.#outlet.breakOff();
  }

  /** Frees everything. Idempotent. */
  #finish(): void {
    if (this.#isOver) return;
    this.#over.abort();
    this.#cancelHeartbeat?.();
    this.#onDemand?.();
    this.#options.signal.removeEventListener('abort', this.#onGone);
    this.#options.closing?.removeEventListener('abort', this.#onClosing);
    this.#options.onOver();
  }
}
