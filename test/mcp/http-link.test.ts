import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { mcpLimits } from '../../src/mcp/mcp-limits.ts';
import type { McpServerOptions, McpTransportOptions } from '../../src/mcp/mcp-server-options.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { eventually } from '../support/eventually.ts';
import { callTool, openConnections } from '../support/mcp.ts';
import { eventReply, mcpHttpServer, type Answer, type McpHttpServer } from '../support/mcp-http-server.ts';

type Http = Extract<McpTransportOptions, { readonly type: 'http' }>;

async function connected(answer?: Answer, transport: Partial<Http> = {}) {
  const server = await mcpHttpServer(answer);
  const { connections, lines } = openConnections();
  const options: McpServerOptions = { transport: { type: 'http', url: server.url, ...transport } };
  return { server, connections, lines, options, tools: await connections.tools('web', options) };
}

const countOf = (server: McpHttpServer, method: string): number => server.seen.filter((seen) => seen.method === method).length;
const onCall = (act: Answer): Answer => (seen, response) => {
  if (seen.method !== 'tools/call') return false;
  act(seen, response);
  return true;
};

describe('requests over HTTP', () => {
  it('carry headers made anew for each, under those of the protocol', async () => {
    let made = 0;
    const headers = async (): Promise<Record<string, string>> => ({ Authorization: `Bearer token-${(made += 1)}`, 'Content-Type': 'text/plain' });
    const { server, tools } = await connected(undefined, { headers });
    expect(await callTool(tools, 'web__echo', { n: 1 })).toBe('{"n":1}');
    const tokens = server.seen.map((seen) => seen.headers.authorization);
    expect(new Set(tokens).size).toBe(tokens.length);
    expect(tokens.every((token) => token?.startsWith('Bearer token-'))).toBe(true);
    expect(server.seen.find((seen) => seen.method === 'tools/call')?.headers['content-type']).toBe('application/json');
  });

  it('tell the server the key of a call', async () => {
    const { server, tools } = await connected();
    await callTool(tools, 'web__echo', {}, { callKey: 'ses_7/4/1' });
    expect(server.seen.find((seen) => seen.method === 'tools/call')?.message?.params).toMatchObject({ name: 'echo', _meta: { 'holdfast/callKey': 'ses_7/4/1' } });
  });

  it('follow no redirect, which would carry the headers along', async () => {
    const elsewhere = await mcpHttpServer();
    const { lines, tools } = await connected((_seen, response) => {
      response.writeHead(307, { location: elsewhere.url });
      response.end();
      return true;
    }, { headers: { authorization: 'Bearer sk-live-4711' } });
    expect(tools.size).toBe(0);
    expect(elsewhere.seen).toEqual([]);
    expect(lines).toMatchObject([{ event: 'mcp-server-unavailable', fields: { server: 'web' } }]);
  });
});

describe('a call over HTTP', () => {
  it.each<[how: string, act: Answer]>([
    ['breaks off', (_seen, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"jsonrpc":"2.0","id":', () => response.destroy());
    }],
    ['ends without the answer', (_seen, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(': nothing to say\n\n');
    }],
  ])('ends as an error when its stream %s', async (_how, act) => {
    const { tools } = await connected(onCall(act));
    await expect(callTool(tools, 'web__echo')).rejects.toMatchObject({ code: 'mcp_call_failed', message: expect.stringContaining('the connection ended before the answer') });
  });

  it('ends as an error when the connection is cut before a reply', async () => {
    const { tools } = await connected(onCall((_seen, response) => {
      response.destroy();
    }));
    await expect(callTool(tools, 'web__echo')).rejects.toMatchObject({ code: 'mcp_call_failed' });
  });

  it.each<[as: string, contentType: string, before: string, after: string]>([
    ['an event', 'text/event-stream', 'data: ', '\n\n'],
    ['JSON', 'application/json', '', ''],
  ])('ends as an error when the answer, as %s, is larger than a message may be', async (_as, contentType, before, after) => {
    const { connections, options, tools } = await connected(onCall((seen, response) => {
      response.on('error', () => undefined);
      response.writeHead(200, { 'content-type': contentType });
      const text = 'x'.repeat(mcpLimits.messageBytesMax);
      response.end(`${before}${JSON.stringify({ jsonrpc: '2.0', id: seen.message?.id, result: { content: [{ type: 'text', text }] } })}${after}`);
    }));
    await expect(callTool(tools, 'web__echo')).rejects.toMatchObject({ code: 'mcp_call_failed', message: expect.stringContaining(`a message of more than ${mcpLimits.messageBytesMax} bytes`) });
    expect((await connections.tools('web', options)).size).toBe(1);
  });

  it('is cancelled at the server when it is aborted', async () => {
    const { server, tools } = await connected(onCall(() => undefined));
    const controller = new AbortController();
    const ended = expect(callTool(tools, 'web__echo', {}, { signal: controller.signal })).rejects.toThrow('aborted');
    await eventually('the call at the server', () => countOf(server, 'tools/call') > 0);
    controller.abort();
    await ended;
    const cancelled = await eventually('the cancellation', () => server.seen.find((seen) => seen.method === 'notifications/cancelled'));
    expect(cancelled.message?.params).toEqual({ requestId: server.seen.find((seen) => seen.method === 'tools/call')?.message?.id });
    expect(cancelled.headers['mcp-session-id']).toBe('session-1');
  });

  it('that has its answer is not cancelled when its signal is aborted later', async () => {
    const { server, tools, connections } = await connected();
    const controller = new AbortController();
    await callTool(tools, 'web__echo', {}, { signal: controller.signal });
    controller.abort();
    await callTool(tools, 'web__echo');
    await connections.close();
    expect(countOf(server, 'notifications/cancelled')).toBe(0);
  });
});

describe('a connection over HTTP', () => {
  it('lists the tools once, and again after the server said that they changed', async () => {
    const { server, connections, options, tools } = await connected();
    await eventually('the stream for the server to speak on', () => server.streams > 0);
    expect(await connections.tools('web', options)).toBe(tools);
    expect(countOf(server, 'tools/list')).toBe(1);
    server.tools = [...server.tools, { name: 'more', inputSchema: { type: 'object' } }];
    server.say({ method: 'notifications/tools/list_changed' });
    await eventually('the new tool', async () => (await connections.tools('web', options)).has('web__more'));
    expect(countOf(server, 'tools/list')).toBe(2);
  });

  it('may carry more than one message holds, in many messages', async () => {
    const { server, connections, options } = await connected();
    await eventually('the stream for the server to speak on', () => server.streams > 0);
    const data = 'x'.repeat(1_000_000);
    for (let said = 0; said <= mcpLimits.messageBytesMax; said += data.length) server.say({ method: 'notifications/message', params: { data } });
    server.tools = [];
    server.say({ method: 'notifications/tools/list_changed' });
    await eventually('the new list', async () => (await connections.tools('web', options)).size === 0);
    expect(server.streams).toBe(1);
  });

  it('is made again at the next use after its session was lost, without a word in the log', async () => {
    let lost = false;
    const { server, connections, options, lines, tools } = await connected((seen, response) => {
      if (!lost || seen.headers['mcp-session-id'] !== 'session-1') return false;
      response.writeHead(404);
      response.end('no such session');
      return true;
    });
    lost = true;
    await expect(callTool(tools, 'web__echo')).rejects.toMatchObject({ code: 'mcp_call_failed', message: expect.stringContaining('HTTP 404') });
    expect(await callTool(await connections.tools('web', options), 'web__echo', { n: 2 })).toBe('{"n":2}');
    expect(countOf(server, 'initialize')).toBe(2);
    expect(lines).toEqual([]);
    await eventually('the stream of the new session alone', () => server.seen.some((seen) => seen.method === 'GET' && seen.headers['mcp-session-id'] === 'session-2') && server.streams === 1);
  });

  it('is given up when the server does not list its tools again in time, and made again at the next use', async () => {
    const system = fakeSystem();
    const server = await mcpHttpServer();
    const { connections, lines } = openConnections({ system });
    const options: McpServerOptions = { transport: { type: 'http', url: server.url } };
    await connections.tools('web', options);
    await eventually('the stream for the server to speak on', () => server.streams > 0);
    server.answer = (seen) => seen.method === 'tools/list';
    server.say({ method: 'notifications/tools/list_changed' });
    // That the word arrives has no other signal than a use that asks.
    const waiting = await eventually('a use that asks', () => {
      const use = connections.tools('web', options);
      return countOf(server, 'tools/list') > 1 && { use };
    });
    await system.advance(10_000);
    expect((await waiting.use).size).toBe(0);
    expect(lines).toMatchObject([{ event: 'mcp-server-unavailable', fields: { error: 'it did not answer within 10000 ms' } }]);
    server.answer = () => false;
    expect((await connections.tools('web', options)).size).toBe(1);
    expect(lines).toMatchObject([{}, { event: 'mcp-server-available' }]);
  });

  it('is kept when the server has too many requests', async () => {
    const { server, connections, options, tools } = await connected(onCall((_seen, response) => {
      response.writeHead(429);
      response.end();
    }));
    await expect(callTool(tools, 'web__echo')).rejects.toMatchObject({ message: expect.stringContaining('HTTP 429') });
    await connections.tools('web', options);
    expect(countOf(server, 'tools/list')).toBe(1);
  });

  it('tells the server when it is closed', async () => {
    const { server, connections } = await connected();
    await connections.close();
    expect(server.seen.at(-1)).toMatchObject({ method: 'DELETE', headers: { 'mcp-session-id': 'session-1' } });
  });

  it('is closed in time though the server does not answer', async () => {
    const system = fakeSystem();
    const hungUp = Promise.withResolvers<void>();
    const server = await mcpHttpServer((seen, response) => {
      if (seen.method !== 'DELETE') return false;
      response.on('close', () => hungUp.resolve());
      return true;
    });
    const { connections } = openConnections({ system });
    await connections.tools('web', { transport: { type: 'http', url: server.url } });
    const closed = connections.close();
    await eventually('the request to end the session', () => countOf(server, 'DELETE') > 0);
    await system.advance(mcpLimits.endGraceMs);
    await closed;
    await hungUp.promise;
    expect(system.waitingTimers).toBe(0);
  });

  it('that was not used for longest ends where one too many is made', async () => {
    const server = await mcpHttpServer();
    const { connections } = openConnections();
    const transport: McpTransportOptions = { type: 'http', url: server.url };
    const first: McpServerOptions = { transport };
    const second: McpServerOptions = { transport };
    for (const options of [first, second, first]) await connections.tools('web', options);
    for (let made = 2; made < mcpLimits.connectionsMax; made += 1) await connections.tools('web', { transport });
    expect(countOf(server, 'DELETE')).toBe(0);
    await connections.tools('web', { transport });
    await eventually('the end of a session', () => countOf(server, 'DELETE') > 0);
    expect(server.seen.filter((seen) => seen.method === 'DELETE').map((seen) => seen.headers['mcp-session-id'])).toEqual(['session-2']);
  });
});

describe('a server over HTTP that cannot be reached', () => {
  it('is named with the reason alone: nobody listens', async () => {
    const held = createServer().listen(0, '127.0.0.1');
    await once(held, 'listening');
    const { port } = held.address() as AddressInfo;
    held.close();
    await once(held, 'close');
    const { connections, lines } = openConnections();
    expect((await connections.tools('web', { transport: { type: 'http', url: `http://127.0.0.1:${port}/s/path-key-4711?token=sk-live-4711` } })).size).toBe(0);
    expect(lines).toEqual([{ level: 'warn', event: 'mcp-server-unavailable', fields: { server: 'web', error: 'it cannot be reached (ECONNREFUSED)' } }]);
  });

  it('is named without what it was sent, though it repeats that', async () => {
    const { server, lines, tools } = await connected((seen, response) => {
      response.writeHead(401);
      response.end(`refused: ${seen.headers.authorization}`);
      return true;
    }, { headers: () => ({ Authorization: 'Bearer sk-live-4711' }) });
    expect(tools.size).toBe(0);
    expect(server.seen[0]?.headers.authorization).toBe('Bearer sk-live-4711');
    expect(lines).toEqual([{ level: 'warn', event: 'mcp-server-unavailable', fields: { server: 'web', error: 'HTTP 401' } }]);
  });

  it('does not make a model read what it was sent', async () => {
    const { tools } = await connected(onCall((seen, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ jsonrpc: '2.0', id: seen.message?.id, error: { code: -32_000, message: `${seen.headers.authorization} is not enough at https://user:word@example.com/a/b?c=d` } }));
    }), { headers: { authorization: 'Bearer sk-live-4711' } });
    const failure = await callTool(tools, 'web__echo').catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'mcp_call_failed', message: 'the call to the MCP server web failed: [hidden] is not enough at https://example.com (JSON-RPC error -32000)' });
  });

  it('costs the connect timeout at most when it never answers', async () => {
    const system = fakeSystem();
    const server = await mcpHttpServer(() => true);
    const { connections, lines } = openConnections({ system });
    const use = connections.tools('web', { transport: { type: 'http', url: server.url } });
    await eventually('the first request', () => server.seen.length > 0);
    await system.advance(10_000);
    expect((await use).size).toBe(0);
    expect(lines).toMatchObject([{ fields: { error: 'it did not answer within 10000 ms' } }]);
  });

  it('costs the connect timeout at most when its headers are never made', async () => {
    const system = fakeSystem();
    const asked = Promise.withResolvers<void>();
    const headers = (): Promise<Record<string, string>> => {
      asked.resolve();
      return new Promise(() => undefined);
    };
    const { connections } = openConnections({ system });
    const use = connections.tools('web', { transport: { type: 'http', url: 'http://127.0.0.1:9/', headers } });
    await asked.promise;
    await system.advance(10_000);
    expect((await use).size).toBe(0);
  });
});

it('an answer over HTTP may come as a stream of events', async () => {
  const { tools } = await connected(onCall((seen, response) => eventReply(response, seen, 'streamed')));
  expect(await callTool(tools, 'web__echo')).toBe('streamed');
});
