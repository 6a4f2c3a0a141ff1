import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface Seen {
  /** The HTTP method, and the JSON-RPC method of a POST. */
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly message: { readonly id?: number; readonly method?: string; readonly params?: Record<string, unknown> } | null;
}

/** Answers a request in place of the server; false leaves it to the server. */
export type Answer = (seen: Seen, response: ServerResponse) => boolean | void;

/** An MCP server over HTTP, in the test's process, that does as the test says. */
export interface McpHttpServer {
  readonly url: string;
  readonly seen: readonly Seen[];
  /** Its tools, as it lists them. */
  tools: readonly object[];
  answer: Answer;
  /** Sends on the stream that clients keep open, once there is one. */
  say(message: object): void;
  /** How many such streams are open. */
  readonly streams: number;
}

/** Starts one on 127.0.0.1; it is closed when the test ends. */
export async function mcpHttpServer(answer: Answer = () => false): Promise<McpHttpServer> {
  const server = new StartedServer(answer);
  const http = createServer((request, response) => {
    server.handle(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  server.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`;
  onTestFinished(() => {
    http.close();
    http.closeAllConnections();
  });
  return server;
}

/** The reply of a tool, as a stream of events. */
export function eventReply(response: ServerResponse, seen: Seen, text: string): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(`event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', id: seen.message?.id, result: { content: [{ type: 'text', text }] } })}\n\n`);
}

class StartedServer implements McpHttpServer {
  url = '';
  readonly seen: Seen[] = [];
  tools: readonly object[] = [{ name: 'echo', inputSchema: { type: 'object' } }];
  answer: Answer;
  readonly #streams = new Set<ServerResponse>();
  #sessions = 0;

  constructor(answer: Answer) {
    this.answer = answer;
  }

  get streams(): number {
    return this.#streams.size;
  }

  say(message: object): void {
    for (const stream of this.#streams) stream.write(`data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`);
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
    const message = body === '' ? null : (JSON.parse(body) as NonNullable<Seen['message']>);
    const seen: Seen = { method: message?.method ?? request.method ?? '', headers: request.headers, message };
    this.seen.push(seen);
    if (this.answer(seen, response) === true) return;
    const reply = (result: object, headers: Record<string, string> = {}): void => {
      response.writeHead(200, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify({ jsonrpc: '2.0', id: message?.id, ...result }));
    };
    if ((seen.method.startsWith('tools/') || seen.method === 'GET') && request.headers['mcp-session-id'] === undefined) {
      response.writeHead(400);
      response.end('no session');
      return;
    }
    switch (seen.method) {
      case 'GET':
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.flushHeaders();
        this.#streams.add(response);
        response.on('close', () => this.#streams.delete(response));
        return;
      case 'initialize':
        this.#sessions += 1;
        return reply({ result: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'test', version: '1' } } }, { 'mcp-session-id': `session-${this.#sessions}` });
      case 'tools/list':
        return reply({ result: { tools: this.tools } });
      case 'tools/call':
        return eventReply(response, seen, JSON.stringify(message?.params?.['arguments']));
      case 'DELETE':
        response.end();
        return;
      default:
        if (message?.id === undefined) {
          response.writeHead(202);
          response.end();
          return;
        }
        reply({ error: { code: -32_601, message: 'no such method' } });
    }
  }
}
