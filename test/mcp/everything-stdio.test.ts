import { describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { callTool, everythingServer, isAlive, openConnections } from '../support/mcp.ts';
import { calling, ofKind, runTurn, toolOutputs } from '../support/run-turn.ts';

async function connected() {
  const { transport, journal } = await everythingServer();
  const { connections, lines } = openConnections();
  const options = { transport };
  return { connections, lines, journal, options, tools: await connections.tools('every', options) };
}

describe('the reference server on its standard streams', () => {
  it('offers its tools under its name, as dynamic tools that say where they come from', async () => {
    const { tools, lines } = await connected();
    expect([...tools.keys()]).toEqual(expect.arrayContaining(['every__echo', 'every__get-sum', 'every__trigger-long-running-operation']));
    expect([...tools.keys()].every((name) => name.startsWith('every__'))).toBe(true);
    expect(tools.get('every__echo')).toMatchObject({
      type: 'dynamic', mcpServer: 'every', recovery: 'report', needsApproval: false,
      description: expect.stringContaining('Echoes'),
      inputSchema: { jsonSchema: { type: 'object', properties: { message: { type: 'string' } }, required: ['message'] } },
    });
    expect(lines).toEqual([]);
  });

  it('gives text as text, structured content as it is, and anything else as the list of content', async () => {
    const { tools } = await connected();
    expect(await callTool(tools, 'every__echo', { message: 'hello' })).toBe('Echo: hello');
    expect(await callTool(tools, 'every__get-structured-content', { location: 'Chicago' })).toMatchObject({ temperature: expect.any(Number), conditions: expect.any(String) });
    expect(await callTool(tools, 'every__get-resource-links', { count: 1 })).toMatchObject([{ type: 'text' }, { type: 'resource_link', uri: expect.stringContaining('demo://') }]);
  });

  it('shows a model an image as an image', async () => {
    const { tools } = await connected();
    const output = await callTool(tools, 'every__get-tiny-image');
    expect(output).toMatchObject([{ type: 'text' }, { type: 'image', mimeType: 'image/png' }, { type: 'text' }]);
    expect(tools.get('every__get-tiny-image')?.toModelOutput?.({ output } as never)).toMatchObject({
      type: 'content', value: [{ type: 'text' }, { type: 'file', mediaType: 'image/png', data: { type: 'data', data: expect.stringMatching(/^iVBOR/) } }, { type: 'text' }],
    });
  });

  it('fails a call with the text in which the server says why', async () => {
    const { tools } = await connected();
    await expect(callTool(tools, 'every__echo', {})).rejects.toMatchObject({ code: 'mcp_tool_failed', message: expect.stringContaining('Invalid arguments for tool echo') });
  });

  it('is run by the worker like any other tool', async () => {
    const { tools } = await connected();
    const { entries, model } = await runTurn({
      tools: Object.fromEntries(tools), script: [calling(['every__echo', { message: 'hello' }], ['every__echo', {}]), 'understood'],
    });
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([
      { outcome: 'done', output: 'Echo: hello' },
      { outcome: 'failed', errorText: expect.stringContaining('Invalid arguments') },
    ]);
    expect(toolOutputs(model, 1)[0]).toEqual({ type: 'text', value: 'Echo: hello' });
  });

  it('shows a model its images through the worker', async () => {
    const { tools } = await connected();
    const { model } = await runTurn({ tools: Object.fromEntries(tools), script: [calling(['every__get-tiny-image']), 'I see'] });
    expect(toolOutputs(model, 1)[0]).toMatchObject({ type: 'content', value: [{ type: 'text' }, { type: 'file', mediaType: 'image/png' }, { type: 'text' }] });
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

  it('does not begin a call that is aborted already', async () => {
    const { tools } = await connected();
    await expect(callTool(tools, 'every__echo', { message: 'no' }, { signal: AbortSignal.abort(new Error('stopped before')) })).rejects.toThrow('stopped before');
  });

  it('is one process for all who name it with the same options, also when they come at the same time', async () => {
    const { transport, journal } = await everythingServer();
    const { connections } = openConnections();
    const options = { transport };
    const [first, second, third] = await Promise.all([1, 2, 3].map(() => connections.tools('every', options)));
    expect(second).toBe(first);
    expect(third).toBe(first);
    await connections.tools('every', options);
    expect(journal.pids()).toHaveLength(1);
    await connections.tools('every', { transport });
    expect(journal.pids()).toHaveLength(2);
  });

  it('is started again at the next use after it was killed; the log names it, and its return', async () => {
    const { connections, options, journal, lines } = await connected();
    const [pid] = journal.pids();
    process.kill(pid as number, 'SIGKILL');
    await eventually('the loss in the log', () => lines.length > 0);
    expect(lines).toEqual([{ level: 'warn', event: 'mcp-server-unavailable', fields: { server: 'every', error: 'its process ended (SIGKILL)' } }]);
    const tools = await connections.tools('every', options);
    expect(await callTool(tools, 'every__echo', { message: 'again' })).toBe('Echo: again');
    expect(journal.pids()).toHaveLength(2);
    expect(lines.slice(1)).toEqual([{ level: 'info', event: 'mcp-server-available', fields: { server: 'every' } }]);
  });

  it('ends a call under way as an error when it is killed', async () => {
    const { tools, journal } = await connected();
    const long = callTool(tools, 'every__trigger-long-running-operation', { duration: 600, steps: 2 });
    const ended = expect(long).rejects.toMatchObject({ code: 'mcp_call_failed', message: expect.stringContaining('its process ended (SIGKILL)') });
    await callTool(tools, 'every__echo', { message: 'it has begun' });
    process.kill(journal.pids()[0] as number, 'SIGKILL');
    await ended;
  });

  it('is ended by close, which may be called again; afterwards there are no tools and calls fail', async () => {
    const { connections, options, tools, journal, lines } = await connected();
    const long = callTool(tools, 'every__trigger-long-running-operation', { duration: 600, steps: 2 });
    const ended = expect(long).rejects.toMatchObject({ code: 'mcp_call_failed' });
    await callTool(tools, 'every__echo', { message: 'it has begun' });
    await Promise.all([connections.close(), connections.close()]);
    await ended;
    expect(journal.pids().map(isAlive)).toEqual([false]);
    expect((await connections.tools('every', options)).size).toBe(0);
    await expect(callTool(tools, 'every__echo', { message: 'late' })).rejects.toMatchObject({ code: 'mcp_unavailable' });
    expect(lines).toEqual([]);
  });
});
