import { expect, onTestFinished } from 'vitest';
import type { FeedEventBody } from '../../src/core/feed-event.ts';
import { eventSchema } from '../../src/server/event-schema.ts';

export interface StreamFrame {
  readonly id?: string;
  readonly event?: string;
  readonly retry?: string;
  readonly comment?: string;
  /** The event as sent. */
  readonly data?: FeedEventBody | { readonly type: 'deleted' };
}

export interface EventStream {
  readonly status: number;
  readonly headers: Headers;
  /** All frames so far. */
  readonly frames: readonly StreamFrame[];
  /** The first frame, of those that came and those to come, that fits; rejects when the stream is over before it. */
  until(fits: (frame: StreamFrame) => boolean): Promise<StreamFrame>;
  /** How the stream ended: `clean`, or `broken` when the connection went away before its end. */
  readonly ended: Promise<'clean' | 'broken'>;
  /** The client goes away. */
  leave(): void;
}

/** Follows a stream of server-sent events, as a client does. It is left when the test ends. */
export async function openEvents(url: string, init: RequestInit = {}): Promise<EventStream> {
  const leaving = new AbortController();
  onTestFinished(() => leaving.abort());
  const response = await fetch(url, { ...init, signal: leaving.signal });
  const reader = new FrameReader(response);
  return { status: response.status, headers: response.headers, frames: reader.frames, until: (fits) => reader.until(fits), ended: reader.ended, leave: () => leaving.abort() };
}

class FrameReader {
  readonly frames: StreamFrame[] = [];
  readonly ended: Promise<'clean' | 'broken'>;
  #isOver = false;
  #notify: (() => void)[] = [];

  constructor(response: Response) {
    this.ended = this.#read(response);
  }

  async until(fits: (frame: StreamFrame) => boolean): Promise<StreamFrame> {
    for (;;) {
      const found = this.frames.find(fits);
      if (found !== undefined) return found;
      if (this.#isOver) throw new Error(`the stream was over before that frame; it had ${JSON.stringify(this.frames)}`);
      await new Promise<void>((resolve) => this.#notify.push(resolve));
    }
  }

  async #read(response: Response): Promise<'clean' | 'broken'> {
    let text = '';
    try {
      for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += piece;
        const blocks = text.split('\n\n');
        text = blocks.pop() ?? '';
        this.frames.push(...blocks.map(frameOf));
        this.#changed();
      }
      return 'clean';
    } catch (error) {
      if (error instanceof TypeError || (error instanceof DOMException && error.name === 'AbortError')) return 'broken';
      throw error;
    } finally {
      this.#isOver = true;
      this.#changed();
    }
  }

  #changed(): void {
    for (const notify of this.#notify.splice(0)) notify();
  }
}

function frameOf(block: string): StreamFrame {
  const fields = block.split('\n').map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [colon === 0 ? 'comment' : line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
  });
  const { data, ...frame } = Object.fromEntries(fields) as Record<string, string>;
  return { ...frame, ...(data === undefined ? {} : { data: documentedEvent(JSON.parse(data)) }) };
}

/** Fails the test when an event is not as the OpenAPI document says. What a schema does not know it leaves out. */
function documentedEvent(data: unknown): FeedEventBody {
  expect(eventSchema.parse(data)).toEqual(data);
  return data as FeedEventBody;
}

/** Whether the frame is an entry of this kind. */
export function isEntry(kind: string): (frame: StreamFrame) => boolean {
  return ({ data }) => data?.type === 'entry' && data.entry.kind === kind;
}

/** The kinds of the entries among the frames, in order. */
export function entryKinds(frames: readonly StreamFrame[]): readonly string[] {
  return frames.flatMap(({ data }) => (data?.type === 'entry' ? [data.entry.kind] : []));
}
