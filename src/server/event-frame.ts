import type { FeedEvent } from '../core/feed-event.ts';

const encoder = new TextEncoder();
const frames = new WeakMap<readonly FeedEvent[], Uint8Array>();
const frameTexts = new WeakMap<FeedEvent, string>();

/** Events as server-sent events. Each is encoded once, however many followers of this process it goes to. */
export function framesOf(events: readonly FeedEvent[]): Uint8Array {
  const known = frames.get(events);
  if (known !== undefined) return known;
  const encoded = encoder.encode(events.map(frameText).join(''));
  frames.set(events, encoded);
  return encoded;
}

function frameText(event: FeedEvent): string {
  const known = frameTexts.get(event);
  if (known !== undefined) return known;
  const { position, ...body } = event;
  const text = `id: ${position}\nevent: ${event.type}\ndata: ${JSON.stringify(body)}\n\n`;
  frameTexts.set(event, text);
  return text;
}

/** A comment: keeps what lies between server and client from taking the connection for dead. */
export const heartbeatFrame = encoder.encode(': heartbeat\n\n');

/** The session is gone, and with it its events. */
export const deletedFrame = encoder.encode('event: deleted\ndata: {"type":"deleted"}\n\n');

/** How long the client is to wait before it reconnects. */
export function retryFrame(delayMs: number): Uint8Array {
  return encoder.encode(`retry: ${Math.round(delayMs)}\n\n`);
}
