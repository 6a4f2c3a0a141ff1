import { HoldfastError } from '../core/errors.ts';
import type { FeedCursor, FeedEvent } from '../core/feed-event.ts';
import { limits } from '../core/limits.ts';
import type { System } from '../core/system.ts';
import type { Feed } from '../feed/feed.ts';
import type { SessionRef } from '../store/store.ts';
import { deletedFrame, framesOf, heartbeatFrame, retryFrame } from './event-frame.ts';
import type { ListenerEnv } from './listener-env.ts';

export interface EventStreamOptions {
  readonly feed: Feed;
  readonly system: System;
  readonly ref: SessionRef;
  readonly from: FeedCursor;
  /** The stream ends after the first event for which this holds. Default: it goes on until the session is deleted. */
  readonly isLast?: (event: FeedEvent) => boolean;
  readonly env: ListenerEnv;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  /** Called once, when the stream is over in whatever way. */
  readonly onOver: () => void;
  /** Told why a stream was reset; not of clients that went. */
  readonly onReset: (reason: 'lags' | Error) => void;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * The events of a session as server-sent events (design section 10). A stream that breaks is reset, never ended cleanly, so that the client knows and
 * resumes from its last position. Nothing is read ahead of what the client takes; one that leaves more than 1 MB or anything for 10 s is
 * disconnected. The end of a stream cancels nothing.
 */
export function eventStreamResponse(options: EventStreamOptions): Response {
  return new Response(new EventStream(options).body, {
    headers: { ...options.headers, 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' },
  });
}

class EventStream {
  readonly body: ReadableStream<Uint8Array>;
  readonly #options: EventStreamOptions;
  readonly #over = new AbortController();
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  /** The client asks for more, and has been given nothing since. */
  #demand = false;
  #onDemand: (() => void) | null = null;
  #cancelHeartbeat: (() => void) | null = null;
  #begun = false;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    // With no buffer of its own, the stream is asked for more exactly when the connection has taken what it was given.
    this.body = new ReadableStream<Uint8Array>({
      pull: (controller) => this.#pull(controller),
      cancel: () => this.#finish(),
    }, { highWaterMark: 0 });
    options.signal.addEventListener('abort', this.#onGone);
    options.env.closing?.addEventListener('abort', this.#onClosing);
    if (options.signal.aborted) this.#finish();
  }

  readonly #onGone = (): void => this.#finish();
  readonly #onClosing = (): void => this.#askToReconnect();

  #pull(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    this.#demand = true;
    if (this.#begun) {
      this.#onDemand?.();
      return;
    }
    this.#begun = true;
    if (this.#over.signal.aborted) {
      this.#reset();
      return;
    }
    this.#give(retryFrame(limits.streamRetryMs));
    this.#scheduleHeartbeat();
    void this.#run();
    if (this.#options.env.closing?.aborted === true) this.#askToReconnect();
  }

  async #run(): Promise<void> {
    const { feed, ref, from, isLast, onReset } = this.#options;
    try {
      for await (const events of feed.follow(ref, from, this.#over.signal, () => this.#lagging())) {
        const last = isLast === undefined ? -1 : events.findIndex(isLast);
        if (!(await this.#write(framesOf(last === -1 ? events : events.slice(0, last + 1))))) return;
        if (last !== -1) {
          this.#end();
          return;
        }
      }
      if (this.#over.signal.aborted) return;
      if (feed.closed) this.#askToReconnect();
      else if (await this.#write(deletedFrame)) this.#end();
    } catch (error) {
      if (this.#over.signal.aborted) return;
      onReset(error instanceof Error ? error : new HoldfastError('stream_failed', String(error)));
      this.#reset();
    }
  }

  /** Hands bytes to the client when it asks for more. False: the stream is over. */
  async #write(bytes: Uint8Array): Promise<boolean> {
    if (this.#over.signal.aborted) return false;
    if (!this.#demand) {
      const asked = Promise.withResolvers<void>();
      const cancelTimer = this.#options.system.clock.after(limits.streamLagMsMax, () => this.#lagging());
      this.#onDemand = asked.resolve;
      await asked.promise;
      this.#onDemand = null;
      cancelTimer();
    }
    if (this.#isOver) return false;
    this.#give(bytes);
    return true;
  }

  /** As a question of its own, because it changes while something is awaited. */
  get #isOver(): boolean {
    return this.#over.signal.aborted;
  }

  #give(bytes: Uint8Array): void {
    this.#demand = false;
    this.#controller?.enqueue(bytes);
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
    this.#controller?.close();
  }

  /** The process goes: the client is asked to come back, not all clients at once, and finds another. */
  #askToReconnect(): void {
    if (this.#isOver || !this.#begun) return;
    const { random, clock } = this.#options.system;
    if (this.#demand) this.#give(retryFrame(limits.streamRetryMs * (0.5 + random.next())));
    this.#finish();
    // What was given reaches the connection in between.
    clock.soon(() => {
      const { outgoing } = this.#options.env;
      // No last chunk is sent, so that it does not look like the end.
      if (outgoing?.socket) outgoing.socket.destroySoon();
      else this.#breakOff();
    });
  }

  #reset(): void {
    this.#finish();
    this.#breakOff();
  }

  #breakOff(): void {
    const { outgoing } = this.#options.env;
    if (outgoing === undefined) this.#controller?.error(new HoldfastError('stream_reset', 'the stream broke off; follow again from the last position'));
    else outgoing.destroy();
  }

  /** Frees everything. Idempotent. */
  #finish(): void {
    if (this.#isOver) return;
    this.#over.abort();
    this.#cancelHeartbeat?.();
    this.#onDemand?.();
    this.#options.signal.removeEventListener('abort', this.#onGone);
    this.#options.env.closing?.removeEventListener('abort', this.#onClosing);
    this.#options.onOver();
  }
}
