import { ReadableStream } from 'node:stream/web';
import type { MCPClient, MCPClientConfig, MCPTransport } from '@ai-sdk/mcp';
import { HoldfastError } from '../core/errors.ts';
import { callScope, keyedParams, type LinkHost, type McpLink } from './mcp-link.ts';
import { mcpLimits } from './mcp-limits.ts';
import type { McpTransportOptions } from './mcp-server-options.ts';
import { settlesWithin } from './settles-within.ts';

type HttpOptions = Extract<McpTransportOptions, { readonly type: 'http' }>;
type Init = NonNullable<Parameters<typeof fetch>[1]>;

/** What is known of the JSON-RPC message in a request's body. */
interface SentMessage {
  readonly id?: string | number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
}

/** A request on its way. */
interface Exchange {
  readonly url: string;
  readonly method: string;
  readonly message: SentMessage | null;
  readonly headers: Headers;
  readonly signal: AbortSignal;
}

const sessionHeader = 'mcp-session-id';

/**
 * The AI SDK's streamable HTTP transport, and what it leaves out, all of it in the `fetch` that it is given: headers made for each request, a bound on the size
 * of a message, an end for calls whose answer breaks off, `notifications/cancelled` for a call that is aborted, and the server's word that its tools changed.
 */
export class HttpLink implements McpLink {
  readonly transport: Exclude<MCPClientConfig['transport'], MCPTransport>;
  /** A connection over HTTP has no end of its own: what fails is a request. */
  readonly ending = null;
  readonly #options: HttpOptions;
  readonly #host: LinkHost;
  readonly #cut = new AbortController();
  #closing = false;
  #headerTexts: readonly string[] = [];

  constructor(options: HttpOptions, host: LinkHost) {
    this.#options = options;
    this.#host = host;
    this.transport = { type: 'http', url: options.url, fetch: (input, init) => this.#fetch(new URL(input instanceof Request ? input.url : input).href, init ?? {}) };
  }

  secrets(): readonly string[] {
    const { pathname, search, searchParams } = new URL(this.#options.url);
    return [search, ...searchParams.values(), ...(pathname === '/' ? [] : [pathname]), ...this.#headerTexts];
  }

  async close(client: MCPClient | null): Promise<void> {
    this.#closing = true;
    // Closing in order tells the server that the session is over, if the server still listens.
    if (client !== null) await settlesWithin(client.close(), this.#host.clock, mcpLimits.endGraceMs);
    this.#cut.abort(new HoldfastError('mcp_closed', 'the connection was closed'));
  }

  async #fetch(url: string, init: Init): Promise<Response> {
    const exchange = await this.#prepare(url, init);
    const { method, message, headers, signal } = exchange;
    const forget = this.#cancelOnAbort(exchange);
    try {
      const response = await fetch(url, { ...init, headers, signal, ...(message === null ? {} : { body: JSON.stringify(message) }) });
      if (isDoubtful(response.status) && (method === 'POST' || headers.has(sessionHeader))) this.#host.doubtful();
      if (response.body === null) {
        forget();
        return response;
      }
      const { status, statusText, headers: replyHeaders } = response;
      return new Response(this.#bounded(response, exchange, forget), { status, statusText, headers: replyHeaders });
    } catch (error) {
      forget();
      if (!signal.aborted) this.#host.doubtful();
      throw error;
    }
  }

  async #prepare(url: string, init: Init): Promise<Exchange> {
    const { headers: given = {} } = this.#options;
    const headers = new Headers(typeof given === 'function' ? await given() : given);
    this.#headerTexts = [...headers.values()].flatMap((value) => [value, ...value.split(/\s+/)]);
    // The protocol's own headers win.
    for (const [name, value] of new Headers(init.headers)) headers.set(name, value);
    const message = typeof init.body === 'string' ? (JSON.parse(init.body) as SentMessage) : null;
    const params = message?.method === 'tools/call' ? keyedParams(message.params) : undefined;
    return {
      url, headers,
      method: init.method ?? 'GET',
      message: message === null || params === undefined ? message : { ...message, params },
      signal: init.signal === undefined || init.signal === null ? this.#cut.signal : AbortSignal.any([init.signal, this.#cut.signal]),
    };
  }

  /** Hanging up cancels nothing in a session: the server is told. Without a session hanging up is all there is. */
  #cancelOnAbort({ url, headers, message, signal }: Exchange): () => void {
    if (message?.method !== 'tools/call' || message.id === undefined || !headers.has(sessionHeader)) return () => undefined;
    const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: message.id } };
    const call = callScope.getStore();
    const cancel = (): void => {
      if (this.#closing || call?.ended === true) return;
      fetch(url, { method: 'POST', headers, body: JSON.stringify(cancelled), signal: this.#cut.signal, redirect: 'error' })
        .then((response) => response.body?.cancel())
        .catch(() => this.#host.doubtful());
    };
    signal.addEventListener('abort', cancel, { once: true });
    return () => signal.removeEventListener('abort', cancel);
  }

  /** The body of a reply within its bounds. A stream of events that ends without the answer ends with an error in its place, for which the client would wait for ever. */
  #bounded(response: Response, exchange: Exchange, forget: () => void): ReadableStream<Uint8Array> {
    const isStream = response.headers.get('content-type')?.includes('text/event-stream') === true;
    return ReadableStream.from(this.#chunks(response.body as AsyncIterable<Uint8Array>, isStream, exchange, forget));
  }

  async *#chunks(body: AsyncIterable<Uint8Array>, isStream: boolean, { method, message, signal }: Exchange, forget: () => void): AsyncGenerator<Uint8Array> {
    const answers = isStream && message?.id !== undefined;
    const size = new MessageSize(isStream);
    const changed = new ChangeNotice();
    let broke = 'the connection ended before the answer';
    try {
      for await (const chunk of body) {
        if (size.add(chunk) > mcpLimits.messageBytesMax) throw new HoldfastError('mcp_message_too_large', `the server sent a message of more than ${mcpLimits.messageBytesMax} bytes`);
        yield chunk;
        if (isStream && changed.isIn(chunk)) this.#host.toolsChanged();
      }
      if (method === 'GET' && !signal.aborted) this.#host.doubtful();
    } catch (error) {
      if (!signal.aborted) this.#host.doubtful();
      if (!answers || signal.aborted) throw error;
      if (error instanceof HoldfastError) broke = error.message;
    } finally {
      forget();
    }
    // An answer that came is taken before this; the client drops one that it does not wait for.
    if (answers) yield closingEvent(message.id, broke);
  }
}

/** Replies after which the session may be gone, or the server. Too many requests (429) say nothing of the kind. */
function isDoubtful(status: number): boolean {
  return [400, 401, 403, 404, 410].includes(status) || status >= 500;
}

function closingEvent(id: string | number | undefined, message: string): Uint8Array {
  const data = JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32_000, message } });
  // The empty line ends what broke off.
  return Buffer.from(`\n\nevent: message\ndata: ${data}\n\n`);
}

/** Counts the bytes of the message that is being received: of an event of a stream, else of the whole body. */
class MessageSize {
  readonly #isStream: boolean;
  #bytes = 0;
  #lineBytes = 0;

  constructor(isStream: boolean) {
    this.#isStream = isStream;
  }

  /** The largest size so far of the message that the chunk adds to. */
  add(chunk: Uint8Array): number {
    if (!this.#isStream) return (this.#bytes += chunk.length);
    let largest = 0;
    for (const byte of chunk) {
      this.#bytes += 1;
      if (byte === carriageReturn) continue;
      if (byte !== lineFeed) {
        this.#lineBytes += 1;
        continue;
      }
      if (this.#lineBytes === 0) {
        largest = Math.max(largest, this.#bytes);
        this.#bytes = 0;
      }
      this.#lineBytes = 0;
    }
    return Math.max(largest, this.#bytes);
  }
}

const lineFeed = 10;
const carriageReturn = 13;

/** Sees `notifications/tools/list_changed` go by, which the client does not hand on. Seeing it where it is only quoted costs one more listing. */
class ChangeNotice {
  static readonly #pattern = /notifications\\?\/tools\\?\/list_changed/;
  #rest = '';

  isIn(chunk: Uint8Array): boolean {
    const text = this.#rest + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
    const found = ChangeNotice.#pattern.test(text);
    this.#rest = found ? '' : text.slice(-64);
    return found;
  }
}
