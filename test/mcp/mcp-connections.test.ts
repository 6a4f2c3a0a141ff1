import { describe, expect, it } from 'vitest';
import { mcpLimits } from '../../src/mcp/mcp-limits.ts';
import type { McpServerOptions } from '../../src/mcp/mcp-server-options.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { eventually } from '../support/eventually.ts';
import { callTool, isAlive, openConnections, scriptedServer } from '../support/mcp.ts';

const object = { type: 'object' };
const listed = (...names: readonly string[]): readonly object[] => names.map((name) => ({ name, inputSchema: object }));
const unavailable = (server: string, error: string): object => ({ level: 'warn', event: 'mcp-server-unavailable', fields: { server, error } });

describe('the tools of a server', () => {
  it('are listed once, with all their pages, and are the same while nothing changes', async () => {
    const { transport, journal } = await scriptedServer({ tools: listed('a', 'b', 'c', 'd', 'e'), pageTools: 2 });
    const { connections } = openConnections();
    const options = { transport };
    const tools = await connections.tools('paged', options);
    expect([...tools.keys()]).toEqual(['paged__a', 'paged__b', 'paged__c', 'paged__d', 'paged__e']);
    expect(await connections.tools('paged', options)).toBe(tools);
    expect(journal.lines().filter((line) => line === 'read tools/list')).toHaveLength(3);
  });

  it('are listed again after the server said that they changed', async () => {
    const { transport } = await scriptedServer({ tools: listed('grow') });
    const { connections } = openConnections();
    const options = { transport };
    const before = await connections.tools('live', options);
    expect([...before.keys()]).toEqual(['live__grow']);
    await callTool(before, 'live__grow');
    const after = await connections.tools('live', options);
    expect([...after.keys()]).toEqual(['live__grow', 'live__grown']);
    expect(await callTool(after, 'live__grown')).toBe('grown');
  });

  it('are listed again when they changed while they were listed', async () => {
    const { transport } = await scriptedServer({ manner: 'growing' });
    const { connections } = openConnections();
    const options = { transport };
    expect([...(await connections.tools('live', options)).keys()]).toEqual(['live__echo']);
    expect([...(await connections.tools('live', options)).keys()]).toEqual(['live__echo', 'live__grown']);
  });

  it('are the same objects after a reconnection that lists the same', async () => {
    const { transport, journal } = await scriptedServer({ tools: listed('echo', 'crash') });
    const { connections } = openConnections();
    const options = { transport };
    const tools = await connections.tools('same', options);
    await expect(callTool(tools, 'same__crash')).rejects.toMatchObject({ code: 'mcp_call_failed', message: expect.stringContaining('its process ended (exit code 3)') });
    expect(await connections.tools('same', options)).toBe(tools);
    expect(journal.pids()).toHaveLength(2);
  });

  it('are connected for by a call that finds no connection, since nothing was sent yet', async () => {
    const { transport, journal } = await scriptedServer({ tools: listed('echo', 'crash') });
    const { connections } = openConnections();
    const tools = await connections.tools('again', { transport });
    await expect(callTool(tools, 'again__crash')).rejects.toMatchObject({ code: 'mcp_call_failed' });
    expect(await callTool(tools, 'again__echo', { n: 1 })).toBe('{"n":1}');
    expect(journal.pids()).toHaveLength(2);
  });

  it('are none for a server that has none, which is no failure', async () => {
    const { transport } = await scriptedServer({ manner: 'no-tools' });
    const { connections, lines } = openConnections();
    expect((await connections.tools('bare', { transport })).size).toBe(0);
    expect(lines).toEqual([]);
  });

  it('stop at a limit, and the log says so once', async () => {
    const { transport } = await scriptedServer({ tools: listed('grow', ...Array.from({ length: mcpLimits.toolsMax }, (_, place) => `tool-${place}`)), pageTools: 100 });
    const { connections, lines } = openConnections();
    const options = { transport };
    const tools = await connections.tools('many', options);
    expect(tools.size).toBe(mcpLimits.toolsMax);
    await callTool(tools, 'many__grow');
    await connections.tools('many', options);
    expect(lines).toEqual([{ level: 'warn', event: 'mcp-tool-left-out', fields: { server: 'many', tool: '', error: expect.stringContaining('more than 512 tools') } }]);
  });
});

describe('a call', () => {
  it('is cancelled at the server when it is aborted', async () => {
    const { transport, journal } = await scriptedServer({ tools: listed('hang') });
    const { connections } = openConnections();
    const tools = await connections.tools('slow', { transport });
    const controller = new AbortController();
    const ended = expect(callTool(tools, 'slow__hang', {}, { signal: controller.signal })).rejects.toThrow('aborted');
    await journal.holds('hanging ');
    controller.abort();
    await ended;
    await journal.holds('cancelled ');
    const idOf = (word: string): string | undefined => journal.lines().find((line) => line.startsWith(`${word} `))?.split(' ')[1];
    expect(idOf('cancelled')).toBe(idOf('hanging'));
  });

  it('that has its answer is not cancelled when its signal is aborted later', async () => {
    const { transport, journal } = await scriptedServer();
    const { connections } = openConnections();
    const tools = await connections.tools('quick', { transport });
    const controller = new AbortController();
    await callTool(tools, 'quick__echo', {}, { signal: controller.signal });
    controller.abort();
    await callTool(tools, 'quick__echo');
    expect(journal.lines().filter((line) => line.startsWith('cancelled'))).toEqual([]);
  });

  it('does not wait for a connection once it is aborted, nor begin one', async () => {
    const { transport, journal } = await scriptedServer({ tools: listed('crash', 'echo'), silentLater: true });
    const { connections } = openConnections({ system: fakeSystem() });
    const tools = await connections.tools('lost', { transport });
    await expect(callTool(tools, 'lost__crash')).rejects.toMatchObject({ code: 'mcp_call_failed' });
    await expect(callTool(tools, 'lost__echo', {}, { signal: AbortSignal.abort(new Error('stopped before')) })).rejects.toThrow('stopped before');
    expect(journal.pids()).toHaveLength(1);
    const controller = new AbortController();
    const ended = expect(callTool(tools, 'lost__echo', {}, { signal: controller.signal })).rejects.toThrow('stopped meanwhile');
    await journal.holds('started ', 2);
    controller.abort(new Error('stopped meanwhile'));
    await ended;
  });

  it('tells the server its key, so that a repetition can be known', async () => {
    const { transport } = await scriptedServer({ tools: listed('meta') });
    const { connections } = openConnections();
    const tools = await connections.tools('keyed', { transport });
    expect(await callTool(tools, 'keyed__meta', {}, { callKey: 'ses_7/4/1' })).toEqual({ 'holdfast/callKey': 'ses_7/4/1' });
  });

  it('ends as an error when the answer is larger than a message may be; the process is ended with it', async () => {
    const { transport, journal } = await scriptedServer({ tools: listed('echo', 'flood'), floodBytes: mcpLimits.messageBytesMax + 100_000 });
    const { connections, lines } = openConnections();
    const options = { transport };
    const tools = await connections.tools('flood', options);
    const reason = `it sent a message of more than ${mcpLimits.messageBytesMax} bytes`;
    await expect(callTool(tools, 'flood__flood')).rejects.toMatchObject({ code: 'mcp_call_failed', message: expect.stringContaining(reason) });
    await eventually('the end of the process', () => !isAlive(journal.pids()[0] as number));
    await eventually('the loss in the log', () => lines.length > 0);
    expect(lines).toEqual([unavailable('flood', reason)]);
    expect(await callTool(await connections.tools('flood', options), 'flood__echo')).toBe('{}');
  });

  it('has a large answer within the bound', async () => {
    const { transport } = await scriptedServer({ tools: listed('flood'), floodBytes: 1_000_000 });
    const { connections } = openConnections();
    const tools = await connections.tools('large', { transport });
    expect(await callTool(tools, 'large__flood')).toHaveLength(1_000_000);
  });
});

describe('a server that cannot be reached', () => {
  it('costs its tools and is named in the log, once for as long as it lasts: a command that does not exist', async () => {
    const { connections, lines } = openConnections();
    const options: McpServerOptions = { transport: { type: 'stdio', command: 'no-such-command-of-anybody' } };
    expect((await connections.tools('gone', options)).size).toBe(0);
    expect((await connections.tools('gone', options)).size).toBe(0);
    expect((await connections.tools('gone', options)).size).toBe(0);
    expect(lines).toEqual([unavailable('gone', 'its command or its folder does not exist (ENOENT)')]);
  });

  it('is named with how it ended: a process that ends at once', async () => {
    const { transport } = await scriptedServer({ manner: 'exit' });
    const { connections, lines } = openConnections();
    expect((await connections.tools('brief', { transport })).size).toBe(0);
    expect(lines).toEqual([unavailable('brief', 'its process ended (exit code 3)')]);
  });

  it('costs the connect timeout twice at most, then a second with growing pauses: one that never answers', async () => {
    const system = fakeSystem();
    const { transport, journal } = await scriptedServer({ manner: 'silent' });
    const { connections, lines } = openConnections({ system });
    const options = { transport };
    const costMs = async (): Promise<number> => {
      const startedAtMs = system.clock.nowMs();
      const started = journal.pids().length;
      let done = false;
      const use = connections.tools('silent', options).finally(() => { done = true; });
      await eventually('the use to end, or its process to be asked', () => done || journal.lines().filter((line) => line === 'read server/discover').length > started);
      await system.runUntil(() => done, 60_000);
      expect((await use).size).toBe(0);
      return system.clock.nowMs() - startedAtMs;
    };
    expect(await costMs()).toBe(10_000);
    expect(await costMs()).toBe(10_000);
    expect(await costMs()).toBe(0);
    expect(journal.pids()).toHaveLength(2);
    for (const pauseMs of [1_000, 2_000, 4_000]) {
      await system.advance(pauseMs - 1);
      expect(await costMs()).toBe(0);
      await system.advance(1);
      expect(await costMs()).toBe(1_000);
      await system.advance(9_000); // the attempt goes on without anybody waiting for it
    }
    expect(journal.pids()).toHaveLength(5);
    expect(lines).toEqual([unavailable('silent', 'it did not answer within 10000 ms')]);
    await eventually('the end of its processes', () => journal.pids().every((pid) => !isAlive(pid)));
  });

  it('costs no more than its own connect timeout, and concurrent users wait together', async () => {
    const system = fakeSystem();
    const { transport, journal } = await scriptedServer({ manner: 'silent' });
    const { connections } = openConnections({ system });
    const options = { transport, connectTimeoutMs: 500 };
    const uses = Promise.all([1, 2, 3].map(() => connections.tools('silent', options)));
    await journal.holds('read ');
    await system.advance(500);
    expect((await uses).map(({ size }) => size)).toEqual([0, 0, 0]);
    expect(journal.pids()).toHaveLength(1);
  });

  it('is connected to again at once when it had worked for a minute, though it broke before', async () => {
    const system = fakeSystem();
    const { transport, journal } = await scriptedServer({ tools: listed('crash', 'echo') });
    const { connections } = openConnections({ system });
    const options = { transport };
    for (const workedMs of [0, mcpLimits.retryDelayMsMax, mcpLimits.retryDelayMsMax]) {
      const tools = await connections.tools('fragile', options);
      await system.advance(workedMs);
      await expect(callTool(tools, 'fragile__crash')).rejects.toMatchObject({ code: 'mcp_call_failed' });
    }
    expect(await callTool(await connections.tools('fragile', options), 'fragile__echo')).toBe('{}');
    expect(journal.pids()).toHaveLength(4);
  });

  it('is not waited for longer when the clock is set back', async () => {
    const { clock } = fakeSystem();
    let setBackMs = 0;
    const { transport, journal } = await scriptedServer({ manner: 'exit' });
    const { connections } = openConnections({ system: { ...fakeSystem(), clock: { ...clock, nowMs: () => clock.nowMs() - setBackMs } } });
    const options = { transport };
    for (let use = 0; use < 3; use += 1) await connections.tools('brief', options);
    expect(journal.pids()).toHaveLength(2);
    setBackMs = 3_600_000;
    await connections.tools('brief', options);
    expect(journal.pids()).toHaveLength(3);
  });

  it('says so to a call of a tool that it had', async () => {
    const { transport, journal } = await scriptedServer({ tools: listed('crash', 'echo') });
    const { connections } = openConnections();
    const tools = await connections.tools('fading', { transport });
    for (const process of [1, 2]) {
      await expect(callTool(tools, 'fading__crash')).rejects.toMatchObject({ code: 'mcp_call_failed' });
      expect(journal.pids()).toHaveLength(process);
    }
    // It broke twice in a row, so it is not started a third time yet.
    await expect(callTool(tools, 'fading__echo')).rejects.toMatchObject({ code: 'mcp_unavailable', message: expect.stringContaining('the call did not run: its process ended (exit code 3)') });
  });
});

describe('closing', () => {
  it('kills a process that ignores SIGTERM', async () => {
    const { transport, journal } = await scriptedServer({ manner: 'stubborn' });
    const { connections } = openConnections();
    await connections.tools('stubborn', { transport });
    await connections.close();
    expect(journal.lines()).toContain('SIGTERM');
    expect(journal.pids().map(isAlive)).toEqual([false]);
  });

  it('ends an attempt to connect', async () => {
    const { transport, journal } = await scriptedServer({ manner: 'silent' });
    const { connections, lines } = openConnections({ system: fakeSystem() });
    const use = connections.tools('silent', { transport });
    await journal.holds('read ');
    await connections.close();
    expect((await use).size).toBe(0);
    expect(lines).toEqual([]);
    expect(journal.pids().map(isAlive)).toEqual([false]);
  });

  it('of connections that were never used does nothing', async () => {
    const { connections } = openConnections();
    await connections.close();
    await connections.close();
    expect((await connections.tools('late', { transport: { type: 'stdio', command: 'no-such-command-of-anybody' } })).size).toBe(0);
  });
});

describe('secrets', () => {
  it('of the environment and the arguments do not reach the log or the model through a failure', async () => {
    const { transport, journal } = await scriptedServer({ tools: listed('refuse') }, { TOKEN: 'sk-live-4711' });
    const { connections, lines } = openConnections();
    const tools = await connections.tools('leaky', { transport });
    const failure = await callTool(tools, 'leaky__refuse').catch((error: unknown) => error);
    expect(String(failure)).toContain('no, said');
    expect(String(failure)).not.toContain('sk-live-4711');
    process.kill(journal.pids()[0] as number, 'SIGKILL');
    await eventually('the loss in the log', () => lines.length > 0);
    expect(JSON.stringify(lines)).not.toContain('sk-live-4711');
  });
});
