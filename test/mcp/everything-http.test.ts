import { describe, expect, it } from 'vitest';
import { startChild, type Child } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { callTool, openConnections } from '../support/mcp.ts';

async function everythingOverHttp(port = 0): Promise<{ readonly child: Child; readonly port: number }> {
  const child = startChild('test/mcp/children/everything-http.ts', { port });
  const listening = await child.hears('listening');
  return { child, port: Number(listening['port']) };
}

async function connected() {
  const server = await everythingOverHttp();
  const { connections, lines } = openConnections();
  const options = { transport: { type: 'http' as const, url: `http://127.0.0.1:${server.port}/mcp` } };
  return { ...server, connections, lines, options, tools: await connections.tools('every', options) };
}

describe('the reference server over HTTP', () => {
  it('offers its tools, runs them, and says why one failed', async () => {
    const { tools, lines } = await connected();
    expect([...tools.keys()]).toEqual(expect.arrayContaining(['every__echo', 'every__get-sum']));
    expect(tools.get('every__echo')).toMatchObject({ type: 'dynamic', mcpServer: 'every' });
    expect(await callTool(tools, 'every__echo', { message: 'hello' })).toBe('Echo: hello');
    await expect(callTool(tools, 'every__echo', {})).rejects.toMatchObject({ code: 'mcp_tool_failed', message: expect.stringContaining('Invalid arguments') });
    expect(lines).toEqual([]);
  });

  it('ends a call when it is aborted, and goes on with the next', async () => {
    const { tools } = await connected();
    const controller = new AbortController();
    const long = callTool(tools, 'every__trigger-long-running-operation', { duration: 600, steps: 2 }, { signal: controller.signal });
    const ended = expect(long).rejects.toThrow('aborted');
    await callTool(tools, 'every__echo', { message: 'it has begun' });
    controller.abort();
    await ended;
    expect(await callTool(tools, 'every__echo', { message: 'still here' })).toBe('Echo: still here');
  });

  it('ends a call under way as an error when it is killed', async () => {
    const { tools, child } = await connected();
    const long = callTool(tools, 'every__trigger-long-running-operation', { duration: 600, steps: 2 });
    const ended = expect(long).rejects.toMatchObject({ code: 'mcp_call_failed' });
    await callTool(tools, 'every__echo', { message: 'it has begun' });
    await child.signal('SIGKILL');
    await ended;
  });

  it('has no tools while it is gone, and is connected to again when it is back on its port', async () => {
    const { connections, options, child, port, lines } = await connected();
    await child.signal('SIGKILL');
    await eventually('the server to be seen as gone', async () => (await connections.tools('every', options)).size === 0);
    expect(lines).toEqual([{ level: 'warn', event: 'mcp-server-unavailable', fields: { server: 'every', error: 'it cannot be reached (ECONNREFUSED)' } }]);
    await everythingOverHttp(port);
    const tools = await eventually('its tools', async () => {
      const found = await connections.tools('every', options);
      return found.size > 0 && found;
    });
    expect(await callTool(tools, 'every__echo', { message: 'again' })).toBe('Echo: again');
    expect(lines.slice(1)).toEqual([{ level: 'info', event: 'mcp-server-available', fields: { server: 'every' } }]);
  });

  it('costs one failed call at most when it was restarted and has forgotten the session', async () => {
    const { connections, options, child, port } = await connected();
    await child.signal('SIGKILL');
    await everythingOverHttp(port);
    const outcomes: unknown[] = [];
    for (let use = 0; use < 2; use += 1) {
      const tools = await connections.tools('every', options);
      outcomes.push(await callTool(tools, 'every__echo', { message: 'again' }).catch((error: unknown) => error));
    }
    expect(outcomes.at(-1)).toBe('Echo: again');
  });
});
