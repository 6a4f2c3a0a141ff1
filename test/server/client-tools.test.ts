import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tool } from '../../src/agent/tool.ts';
import { limits } from '../../src/core/limits.ts';
import type { ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { gate } from '../../src/testing/gate.ts';
import { pause, serveSession, type ServedSession } from '../support/paused-turn.ts';

const location = { name: 'location', description: 'Where the user is.', inputSchema: { type: 'object', properties: { exact: { type: 'boolean' } } } };
const callLocation: ScriptedGeneration = [{ call: 'location', input: { exact: true } }];
const withTools = (clientTools: unknown, more: object = {}): object => ({ text: 'locate me', clientTools, ...more });

function toolNames(session: ServedSession, call: number): readonly string[] {
  return session.served.model.calls[call]?.options.tools?.map(({ name }) => name) ?? [];
}

describe('the tools that a message brings', () => {
  it('are the model’s for that turn, and their calls wait for the client', async () => {
    const session = await serveSession({ script: [callLocation, 'You are in Bremen.', 'ok'], agent: { tools: { own: tool({ inputSchema: z.object({}), execute: () => 1 }) } } });
    const { turnId, action } = await pause(session, withTools([location]));
    expect(action).toMatchObject({ type: 'client-tool', toolName: 'location', input: { exact: true }, expiresAtMs: action.openedAtMs + limits.clientToolExpiryMs });
    expect(toolNames(session, 0).toSorted()).toEqual(['location', 'own']);
    expect(session.served.model.calls[0]?.options.tools?.find(({ name }) => name === 'location')).toMatchObject({ description: location.description, inputSchema: location.inputSchema });
    expect(await session.post(`/actions/${action.id}`, { type: 'result', output: { city: 'Bremen' } })).toMatchObject({ status: 200, json: { actions: [{ resolution: 'result' }] } });
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', text: 'You are in Bremen.' });
    expect(JSON.stringify(session.served.model.calls[1]?.prompt)).toContain('Bremen');
    expect(toolNames(session, 1)).toContain('location');
    // The next turn brings none.
    await session.settled((await session.post('/messages', { text: 'thanks' })).json.turnId);
    expect(toolNames(session, 2)).toEqual(['own']);
    expect((await session.entriesOf('user-message'))[0]).toMatchObject({ clientTools: [location] });
  });

  it('come with a first message, with one that waits, and with its change', async () => {
    const held = gate();
    const session = await serveSession({ script: [[{ gate: held }, { text: 'first' }], callLocation, 'second'] });
    await session.post('/messages', { text: 'go' });
    await session.post('/messages', withTools([{ ...location, name: 'old' }], { messageId: 'm' }));
    expect((await session.get('/queue')).json.items).toMatchObject([{ messageId: 'm', clientTools: [{ name: 'old' }] }]);
    await session.served.request('PATCH', `${session.path}/queue/m`, withTools([location]));
    const queued = (await session.get('/queue')).json.items[0];
    expect(queued).toMatchObject({ clientTools: [location] });
    held.open();
    expect(await session.settled(queued?.turnId ?? '')).toMatchObject({ status: 'requires_action', actions: [{ type: 'client-tool' }] });
    expect(toolNames(session, 1)).toEqual(['location']);
    const created = await session.served.request('POST', '/v1/sessions', { agent: 'tester', message: withTools([location]) });
    expect(created.status).toBe(201);
  });

  it.each([
    ['a tool of the agent', [{ ...location, name: 'own' }]], ['another one of the message', [location, { ...location, description: 'again' }]],
    ['those of an MCP server', [{ ...location, name: 'files__read' }]],
  ])('may not be called as %s is', async (_what, clientTools) => {
    const session = await serveSession({ agent: { tools: { own: tool({ inputSchema: z.object({}), execute: () => 1 }) }, mcp: { files: { transport: { type: 'http', url: 'http://127.0.0.1:1/mcp' } } } } });
    const before = await session.entries();
    expect(await session.post('/messages', withTools(clientTools))).toMatchObject({ status: 409, json: { code: 'client_tool_taken', name: clientTools.at(-1)?.name } });
    expect(await session.served.request('POST', '/v1/sessions', { agent: 'tester', message: withTools(clientTools) })).toMatchObject({ status: 409, json: { code: 'client_tool_taken' } });
    expect(await session.entries()).toEqual(before);
    expect((await session.served.request('GET', '/v1/sessions?count=true')).json.count).toBe(1);
  });

  it('may not be called so in the change of a waiting message either', async () => {
    const held = gate();
    const session = await serveSession({ script: [[{ gate: held }, { text: 'ok' }]], agent: { tools: { own: tool({ inputSchema: z.object({}), execute: () => 1 }) } } });
    await session.post('/messages', { text: 'go' });
    await session.post('/messages', { text: 'next', messageId: 'm' });
    expect(await session.served.request('PATCH', `${session.path}/queue/m`, withTools([{ ...location, name: 'own' }]))).toMatchObject({ status: 409, json: { code: 'client_tool_taken' } });
    held.open();
  });

  it.each([
    ['65 of them', Array.from({ length: 65 }, (_, place) => ({ ...location, name: `t${place}` })), /clientTools/],
    ['more than 64 KiB', [{ ...location, description: 'x'.repeat(66_000) }], /larger than 65536 bytes/],
    ['a name with a space', [{ ...location, name: 'my tool' }], /clientTools\.0\.name/], ['an empty name', [{ ...location, name: '' }], /clientTools\.0\.name/],
    ['a name of 65 characters', [{ ...location, name: 'x'.repeat(65) }], /clientTools\.0\.name/], ['no schema', [{ name: 'location' }], /clientTools\.0\.inputSchema/],
    ['a schema that is no object', [{ ...location, inputSchema: true }], /clientTools\.0\.inputSchema/], ['a field that nobody knows', [{ ...location, execute: 'x' }], /execute/], ['no list', location, /clientTools/],
  ])('are refused where they are not as they must be: %s', async (_what, clientTools, detail) => {
    const session = await serveSession();
    const before = await session.entries();
    expect(await session.post('/messages', withTools(clientTools))).toMatchObject({ status: 400, json: { code: 'invalid_request', detail: expect.stringMatching(detail) as string } });
    expect(await session.entries()).toEqual(before);
  });

  it('may be 64', async () => {
    const session = await serveSession();
    const sent = await session.post('/messages', withTools(Array.from({ length: 64 }, (_, place) => ({ ...location, name: `t${place}` }))));
    expect(await session.settled(sent.json.turnId)).toMatchObject({ status: 'ended' });
    expect(toolNames(session, 0)).toHaveLength(64);
  });
});

describe('a client tool of the agent', () => {
  const locate = tool({ inputSchema: z.object({}), outputSchema: z.object({ city: z.string() }) });
  const script: readonly ScriptedGeneration[] = [[{ call: 'locate', input: {} }], 'done'];

  it('takes the result that its schema takes, and no other', async () => {
    const session = await serveSession({ script, agent: { tools: { locate } } });
    const { turnId, action } = await pause(session);
    const before = await session.entries();
    expect(await session.post(`/actions/${action.id}`, { type: 'result', output: { city: 7 } })).toMatchObject({
      status: 400, json: { code: 'invalid_request', detail: expect.stringMatching(/^output\.city is not as locate takes it: /) as string, issues: [{ path: 'output.city' }] },
    });
    expect(await session.post('/actions', { decisions: [{ actionId: action.id, type: 'result', output: null }] })).toMatchObject({ status: 400, json: { issues: [{ path: 'decisions.0.output' }] } });
    expect(await session.entries()).toEqual(before);
    expect(await session.post(`/actions/${action.id}`, { type: 'result', output: { city: 'Bremen' } })).toMatchObject({ status: 200 });
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', text: 'done' });
  });

  it.each([
    [{ type: 'error', errorText: 'The user said no.' }, 'error', { outcome: 'failed', code: 'client_error', errorText: 'The user said no.' }],
    [{ type: 'deny' }, 'denied', { outcome: 'denied' }],
  ])('may fail at its client: %j', async (answer, resolution, outcome) => {
    const session = await serveSession({ script, agent: { tools: { locate } } });
    const { turnId, action } = await pause(session);
    expect((await session.post(`/actions/${action.id}`, answer)).json.actions).toEqual([{ actionId: action.id, resolution }]);
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', text: 'done' });
    expect(await session.entriesOf('tool-results')).toMatchObject([{ results: [outcome] }]);
  });

  it('gives results of any size that a body has: the log keeps head and tail, and the whole is downloaded', async () => {
    const dump = tool({ inputSchema: z.object({}), maxResultBytes: 2_000 });
    const session = await serveSession({ script: [[{ call: 'dump', input: {} }, { call: 'dump', input: {} }], 'done'], agent: { tools: { dump } } });
    const { turnId, actions } = await pause(session);
    const [large, small] = actions;
    const whole = { text: 'é'.repeat(400_000), end: true };
    const read = (callId: string | undefined) => session.get(`/calls/${callId ?? ''}/result`);
    expect(await read(large?.callId)).toMatchObject({ status: 404, json: { code: 'call_not_found', detail: 'the call has no result yet' } });
    await session.post('/actions', { decisions: [{ actionId: large?.id, type: 'result', output: whole }, { actionId: small?.id, type: 'result', output: [1, 2] }] });
    await session.settled(turnId);
    expect((await read(large?.callId)).json).toEqual(whole);
    expect((await read(small?.callId)).text).toBe('[1,2]');
    const [results] = await session.entriesOf('tool-results');
    expect(results?.results).toMatchObject([{ wholeBytes: Buffer.byteLength(JSON.stringify(whole)) }, { output: [1, 2] }]);
    expect(JSON.stringify(session.served.model.calls[1]?.prompt).length).toBeLessThan(5_000);
    expect(JSON.stringify(results).length).toBeLessThan(5_000);
    for (const callId of ['3-2', '2-0', '999-0', 'act_3_0', '3', '%00', 'x'.repeat(300)]) expect(await read(callId), callId).toMatchObject({ status: 404, json: { code: 'call_not_found' } });
  });
});
