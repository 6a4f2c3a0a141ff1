import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A model call as it arrived. */
export interface ProviderRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What the server does with a model call. */
export type ProviderReply =
  /** A stream of server-sent events, as texts on the wire. `ending`: the body ends, the socket is destroyed, or nothing more comes. */
  | { readonly kind: 'stream'; readonly wire: readonly string[]; readonly ending?: 'end' | 'destroy' | 'hang' }
  | { readonly kind: 'error'; readonly httpStatus: number; readonly body: string; readonly headers?: Readonly<Record<string, string>> }
  /** The socket is destroyed, or kept open, before anything is answered. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'silence' };

/** Plays a model provider over real HTTP on the loopback. */
export class RecordedProviderServer implements AsyncDisposable {
  /** Without a trailing slash. */
  readonly url: string;
  readonly requests: ProviderRequest[] = [];
  /** What a call is answered; set it before the call is made. */
  reply: (request: ProviderRequest) => ProviderReply = () => ({ kind: 'error', httpStatus: 500, body: 'nothing is recorded for this call' });
  readonly #server: ReturnType<typeof createServer>;
  readonly #arrivals: (() => void)[] = [];

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<RecordedProviderServer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const provider = new RecordedProviderServer(server);
    server.on('request', (request, response) => void provider.#answer(request, response));
    return provider;
  }

  /** Resolves when this many calls have arrived in all. */
  async arrived(count: number): Promise<void> {
    while (this.requests.length < count) await new Promise<void>((resolve) => this.#arrivals.push(resolve));
  }

  /** Destroys the sockets of calls that are being answered. */
  dropConnections(): void {
    this.#server.closeAllConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const request = { path: message.url ?? '', headers: message.headers, text, body: JSON.parse(text) as Record<string, unknown> };
    this.requests.push(request);
    const reply = this.reply(request);
    for (const resolve of this.#arrivals.splice(0)) resolve();
    switch (reply.kind) {
      case 'error':
        response.writeHead(reply.httpStatus, { 'content-type': 'application/json', ...reply.headers }).end(reply.body);
        return;
      case 'reset':
        message.socket.resetAndDestroy();
        return;
      case 'silence':
        return;
      case 'stream':
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        if (reply.ending === undefined || reply.ending === 'end') response.end(reply.wire.join(''));
        else if (reply.ending === 'hang') response.flushHeaders();
        if (reply.ending === 'hang' && reply.wire.length > 0) response.write(reply.wire.join(''));
        // The bytes leave before the socket goes: what was sent is received.
        if (reply.ending === 'destroy') response.write(reply.wire.join('') || ': nothing yet\n\n', () => message.socket.destroy());
    }
  }
}
