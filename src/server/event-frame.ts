import type { FeedEvent } from '../core/feed-event.ts';

const encoder = new TextEncoder();
const frames = new WeakMap<FeedEvent, Uint8Array>();

/** Events as server-sent events. Each is encoded once, however many followers of this process it goes to. */
export function framesOf(events: readonly FeedEvent[]): Uint8Array {
  const [first] = events;
  return first !== undefined && events.length === 1 ? frameOf(first) : Buffer.concat(events.map(frameOf));
}

function frameOf(event: FeedEvent): Uint8Array {
  const known = frames.get(event);
  if (known !== undefined) return known;
  const { position, ...body } = event;
  const frame = encoder.encode(`id: ${position}\nevent: ${event.type}\ndata: ${JSON.stringify(body)}\n\n`);
  frames.set(event, frame);
  return frame;
}

/** A comment: keeps what lies between server and client from taking the connection for dead. */
export const heartbeatFrame = encoder.encode(': heartbeat\n\n');

/** The session is gone, and with it its events. */
export const deletedFrame = encoder.encode('event: deleted\ndata: {"type":"deleted"}\n\n');

/** How long the client is to wait before it reconnects. */
export function retryFrame(delayMs: number): Uint8Array {
  return encoder.encode(`retry: ${Math.round(delayMs)}\n\n`);
}
