import { describe, expect, it } from 'vitest';
import type { Principal } from '../../src/agent/tool.ts';
import { serve, type Served } from '../support/http-server.ts';

const people: Readonly<Record<string, Principal>> = {
  ada: { tenant: 'acme', owner: 'ada', roles: [] }, bob: { tenant: 'acme', owner: 'bob', roles: [] }, operator: { tenant: 'acme', owner: 'operator', roles: ['system'] },
};
const authenticate = (request: Request): Principal | null => people[request.headers.get('authorization') ?? ''] ?? null;

const house = {
  firstNode: 'hall',
  nodes: { hall: { transitions: ['desk'] }, desk: { greeting: 'This is the desk.', transitions: ['hall', 'exit'] }, exit: { end: true }, attic: {} },
};

function serveHouse(options: Parameters<typeof serve>[0] = {}): Promise<Served> {
  return serve({ worker: false, agent: house, ...options });
}

describe('nodes over HTTP', () => {
  it('are in the list of agents, the session, the log, its events and the transcript', async () => {
    const served = await serveHouse();
    expect((await served.request('GET', '/v1/agents')).json.items).toMatchObject([{
      firstNode: 'hall', nodes: [{ name: 'hall', transitions: ['desk'], ends: false }, { name: 'desk', transitions: ['hall', 'exit'], ends: false }, { name: 'exit', transitions: [], ends: true }, { name: 'attic' }],
    }]);
    const id = await served.newSession();
    const entered = await served.request('POST', `/v1/sessions/${id}/node`, { node: 'desk', reason: 'a click' });
    expect([entered.status, entered.json]).toMatchObject([200, { node: 'desk', from: 'hall', status: 'idle', turnId: expect.any(String) as string }]);
    expect((await served.request('GET', `/v1/sessions/${id}`)).json).toMatchObject({ node: 'desk', status: 'idle', turns: 1 });
    const entries = await served.request('GET', `/v1/sessions/${id}/entries`);
    expect(entries.json.items.filter(({ kind }) => kind === 'node-entered')).toMatchObject([{ node: 'hall', by: 'start', from: null }, { node: 'desk', by: 'api', from: 'hall', reason: 'a click' }]);
    const messages = await served.request('GET', `/v1/sessions/${id}/messages`);
    expect(messages.json.items).toMatchObject([{ role: 'assistant', parts: [{ type: 'data-node', data: { node: 'desk', from: 'hall', by: 'api' } }, { type: 'step-start' }, { type: 'text', text: 'This is the desk.' }] }]);
    expect((await served.request('GET', `/v1/sessions/${id}/turns/${entered.json.turnId}`)).json).toMatchObject({ status: 'ended', reason: 'complete', text: 'This is the desk.' });
  });

  it('are entered once by a key, and on the condition of If-Match', async () => {
    const served = await serveHouse();
    const at = `/v1/sessions/${await served.newSession({ externalId: 'outside' })}/node`;
    const first = await served.request('POST', at, { node: 'desk' }, { 'idempotency-key': 'one' });
    await served.request('POST', at, { node: 'hall' }, { 'if-match': first.headers.get('etag') ?? '' });
    const again = await served.request('POST', '/v1/sessions/outside/node', { node: 'desk' }, { 'idempotency-key': 'one' });
    expect([again.json, again.headers.get('idempotent-replayed')]).toEqual([first.json, 'true']);
    expect((await served.request('GET', '/v1/sessions/outside')).json).toMatchObject({ node: 'hall' });
    expect(await served.request('POST', at, { node: 'hall' }, { 'idempotency-key': 'one' })).toMatchObject({ status: 422, json: { code: 'idempotency_mismatch' } });
    expect(await served.request('POST', at, { node: 'desk' }, { 'if-match': first.headers.get('etag') ?? '' })).toMatchObject({ status: 409, json: { code: 'revision_conflict' } });
  });

  it('are refused by name, and nothing changes', async () => {
    const served = await serveHouse();
    const id = await served.newSession();
    const at = `/v1/sessions/${id}/node`;
    const before = (await served.request('GET', `/v1/sessions/${id}`)).json.revision;
    for (const body of [{}, { node: '' }, { node: 1 }, { node: 'desk', why: 'x' }, { node: 'desk', reason: '' }, { node: 'desk', reason: 'x'.repeat(501) }, { node: 'a\0' }]) {
      expect(await served.request('POST', at, body)).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    }
    expect(await served.request('POST', at, { node: 'cellar' })).toMatchObject({ status: 404, json: { code: 'node_unknown', nodes: ['hall', 'desk', 'exit', 'attic'] } });
    expect(await served.request('POST', at, { node: 'exit' })).toMatchObject({ status: 409, json: { code: 'node_not_allowed', allowed: ['desk'] } });
    expect(await served.request('POST', '/v1/sessions/ses_none/node', { node: 'desk' })).toMatchObject({ status: 404, json: { code: 'session_not_found' } });
    expect((await served.request('GET', `/v1/sessions/${id}`)).json.revision).toBe(before);
    await served.request('POST', `/v1/sessions/${id}/end`);
    expect(await served.request('POST', at, { node: 'desk' })).toMatchObject({ status: 409, json: { code: 'session_ended' } });
    const plain = await serve({ worker: false });
    expect(await plain.request('POST', `/v1/sessions/${await plain.newSession()}/node`, { node: 'desk' })).toMatchObject({ status: 409, json: { code: 'nodes_not_used' } });
  });

  it('are entered by force by the role system only, and by nobody else\'s owner', async () => {
    const served = await serveHouse({ authenticate });
    const created = await served.request('POST', '/v1/sessions', { agent: 'tester' }, { authorization: 'ada' });
    const at = `/v1/sessions/${created.json.session.id}/node`;
    const by = (authorization: string, body: object) => served.request('POST', at, body, { authorization });
    expect(await by('bob', { node: 'desk' })).toMatchObject({ status: 404, json: { code: 'session_not_found' } });
    expect(await by('ada', { node: 'attic', force: true })).toMatchObject({ status: 409, json: { code: 'node_not_allowed' } });
    expect(await by('operator', { node: 'attic' })).toMatchObject({ status: 409, json: { code: 'node_not_allowed' } });
    expect(await by('operator', { node: 'attic', force: true })).toMatchObject({ status: 200, json: { node: 'attic', from: 'hall' } });
  });
});
