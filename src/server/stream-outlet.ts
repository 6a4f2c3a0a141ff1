import type { ServerResponse } from 'node:http';
import { HoldfastError } from '../core/errors.ts';

/** Where the bytes of a stream go. It asks for more when the connection has taken what it was given, so that nothing piles up here. */
export interface StreamOutlet {
  /** Hands bytes over. False: no more, until `onDemand` is called. */
  give(bytes: Uint8Array): boolean;
  /** The clean end. */
  end(): void;
  /** Breaks the connection at once, so that the client sees no end. */
  breakOff(): void;
  /** Breaks the connection once what was given is on its way, still without an end. */
  breakOffAfterwards(): void;
}

export interface OutletEvents {
  readonly onDemand: () => void;
  /** The client is gone. */
  readonly onGone: () => void;
}

/** A response of Node itself: a write costs no more than a write. */
export function nodeOutlet(outgoing: ServerResponse, { onDemand, onGone }: OutletEvents): StreamOutlet {
  outgoing.on('drain', onDemand);
  outgoing.on('close', onGone);
  outgoing.on('error', onGone);
  return {
    give: (bytes) => outgoing.write(bytes),
    end: () => {
      outgoing.end();
    },
    breakOff: () => {
      outgoing.destroy();
    },
    // Ends the connection without the last chunk of the response.
    breakOffAfterwards: () => {
      outgoing.socket?.destroySoon();
    },
  };
}

/** A web stream, for whatever else answers requests. It has no buffer of its own: it is pulled when it is read. */
export function webOutlet({ onDemand, onGone }: OutletEvents): StreamOutlet & { readonly body: ReadableStream<Uint8Array> } {
  let controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  const breakOff = (): void => controller?.error(new HoldfastError('stream_reset', 'the stream broke off; follow again from the last position'));
  const body = new ReadableStream<Uint8Array>({
    pull: (pulled) => {
      controller = pulled;
      onDemand();
    },
    cancel: () => onGone(),
  }, { highWaterMark: 0 });
  return {
    body,
    give: (bytes) => {
      controller?.enqueue(bytes);
      return false;
    },
    end: () => controller?.close(),
    breakOff,
    breakOffAfterwards: breakOff,
  };
}
