// @ts-check
import { callServer, pathOf, ServerProblem } from './call-server.js';

/** @typedef {import('../../core/feed-event.ts').FeedEventBody} FeedEventBody */
/** @typedef {'connecting' | 'online' | 'reconnecting'} Connection */

const eventTypes = /** @type {const} */ (['entry', 'chunk', 'chunk-retracted', 'status', 'queue', 'action', 'operation', 'retry']);
const retryDelayMsFirst = 250;
const retryDelayMsMax = 5_000;

/**
 * Follows a session's events from its beginning until it is closed. The browser reconnects by itself with the last
 * position; where it gives up, a new stream goes on from there. `onEvent` may see an event twice, never out of order.
 *
 * @param {string} sessionId
 * @param {{ onEvent: (event: FeedEventBody) => void, onConnection: (state: Connection) => void, onMissing: (detail: string) => void }} told
 */
export function followSession(sessionId, told) {
  const path = pathOf(sessionId);
  let position = '';
  let delayMs = retryDelayMsFirst;
  let closed = false;
  /** @type {EventSource | null} */
  let source = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const open = () => {
    clearTimeout(timer);
    source?.close();
    source = new EventSource(position === '' ? `${path}/events` : `${path}/events?after=${encodeURIComponent(position)}`);
    source.onopen = () => {
      delayMs = retryDelayMsFirst;
      told.onConnection('online');
    };
    source.onerror = () => {
      told.onConnection('reconnecting');
      if (source?.readyState === EventSource.CLOSED) void openLater();
    };
    for (const type of eventTypes) {
      source.addEventListener(type, (message) => {
        position = message.lastEventId;
        told.onEvent({ ...JSON.parse(message.data), type });
      });
    }
  };

  /** A stream that is refused does not say why, so the session is asked for. */
  const openLater = async () => {
    const missing = await missingDetail(path);
    if (closed) return;
    if (missing !== null) {
      close();
      told.onMissing(missing);
      return;
    }
    timer = setTimeout(open, delayMs);
    delayMs = Math.min(delayMs * 2, retryDelayMsMax);
  };

  const onOnline = () => {
    if (source?.readyState !== EventSource.OPEN) open();
  };
  const close = () => {
    closed = true;
    clearTimeout(timer);
    source?.close();
    window.removeEventListener('online', onOnline);
  };

  window.addEventListener('online', onOnline);
  told.onConnection('connecting');
  open();
  return {
    close,
    /** Everything again from the beginning. */
    restart: () => {
      position = '';
      open();
    },
  };
}

/** @param {string} path */
async function missingDetail(path) {
  try {
    await callServer('GET', path);
    return null;
  } catch (error) {
    return error instanceof ServerProblem && error.httpStatus === 404 ? error.message : null;
  }
}
