import { describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { everythingServer } from '../support/mcp.ts';
import { calling, ofKind, runTurn, toolOutputs } from '../support/run-turn.ts';

describe('an agent with MCP servers', () => {
  it('calls their tools by server__tool over one kept connection, and the log says whose they are', async () => {
    const { transport, journal } = await everythingServer();
    const { model, entries, session, result } = await runTurn({
      agent: { mcp: { every: { transport } } },
      script: [calling(['every__echo', { message: 'hello' }], ['every__get-sum', { a: 2, b: 3 }]), 'done', calling(['every__echo', { message: 'again' }]), 'done again'],
    });
    expect(result).toMatchObject({ reason: 'complete', text: 'done' });
    expect(model.calls[0]?.options.tools?.map(({ name }) => name)).toContain('every__echo');
    expect(JSON.stringify(toolOutputs(model, 1))).toContain('Echo: hello');
    expect(ofKind(entries, 'assistant-step')[0]?.parts).toMatchObject([{ toolName: 'every__echo', mcpServer: 'every' }, { toolName: 'every__get-sum', mcpServer: 'every' }]);
    await (await session.send('once more')).result;
    expect(JSON.stringify(toolOutputs(model, 3))).toContain('Echo: again');
    expect(journal.pids()).toHaveLength(1);
  });

  it('asks for approval where the server\'s options say so', async () => {
    const { transport } = await everythingServer();
    const { session, turn, result, model } = await runTurn({
      agent: { mcp: { every: { transport, needsApproval: ['echo'] } } }, script: [calling(['every__echo', { message: 'hello' }], ['every__get-sum', { a: 2, b: 3 }]), 'done'],
    });
    expect(result).toMatchObject({ status: 'requires_action', actions: [{ type: 'approval', toolName: 'every__echo' }] });
    await session.approve(result.actions[0]?.id ?? '');
    expect(await turn.result).toMatchObject({ reason: 'complete' });
    expect(JSON.stringify(toolOutputs(model, 1))).toContain('Echo: hello');
  });

  it('goes on without a server that cannot be started, which the log names', async () => {
    const lines: string[] = [];
    const { result, model } = await runTurn({
      agent: { mcp: { gone: { transport: { type: 'stdio', command: 'no-such-program-anywhere' } } } }, script: [calling(['gone__search', { q: 'x' }]), 'without it'],
      log: (level, event, fields) => { lines.push(`${level} ${event} ${String(fields['server'])}`); },
    });
    expect(result).toMatchObject({ reason: 'complete', text: 'without it' });
    expect(lines).toContain('warn mcp-server-unavailable gone');
    expect(toolOutputs(model, 1)).toMatchObject([{ type: 'error-text', value: expect.stringContaining('there is no tool gone__search') as string }]);
  });

  it('runs a call approved after its server died on the server that was started again', async () => {
    const { transport, journal } = await everythingServer();
    const { session, turn, result, holdfast } = await runTurn({ agent: { mcp: { every: { transport, needsApproval: true } } }, script: [calling(['every__echo', { message: 'hello' }]), 'I see'] });
    expect(result.status).toBe('requires_action');
    for (const pid of journal.pids()) process.kill(pid, 'SIGKILL');
    await session.approve(result.actions[0]?.id ?? '');
    // It is started again at once: the call runs there.
    expect(await turn.result).toMatchObject({ reason: 'complete' });
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results).toMatchObject([{ outcome: 'done' }]);
    await eventually('nothing to be left', () => holdfast.worker?.runs === 0);
    expect(journal.pids()).toHaveLength(2);
  });
});
