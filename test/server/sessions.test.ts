import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tool } from '../../src/agent/tool.ts';
import { gate } from '../../src/testing/gate.ts';
import { serve, type Served } from '../support/http-server.ts';

async function say(served: Served, id: string, text: string): Promise<string> {
  const turnId = (await served.request('POST', `/v1/sessions/${id}/messages`, { text })).json.turnId;
  await served.request('GET', `/v1/sessions/${id}/turns/${turnId}?waitMs=10000`);
  return turnId;
}

describe('a session', () => {
  it('is created, read, named, ended and deleted', async () => {
    const served = await serve();
    const created = await served.request('POST', '/v1/sessions', {
      agent: 'tester', externalId: 'chat', title: 'A title', metadata: { a: [1, null] }, subject: { type: 'order', id: '7' }, binding: { id: 'b' }, threadId: 't',
    });
    expect(created).toMatchObject({ status: 201, json: { session: { externalId: 'chat', status: 'idle', owner: 'local', agent: 'tester', revision: 1 }, turn: null } });
    expect(created.headers.get('etag')).toBe('"1"');
    const id = created.json.session.id;
    expect((await served.request('GET', `/v1/sessions/${id}`)).json).toEqual(created.json.session);
    expect((await served.request('GET', '/v1/sessions/chat')).json).toEqual(created.json.session);
    await served.request('PATCH', '/v1/sessions/chat', { title: 'Another', metadata: { b: 1 }, archived: true });
    expect((await served.request('GET', `/v1/sessions/${id}`)).json).toMatchObject({ title: 'Another', metadata: { b: 1 }, archived: true });
    expect((await served.request('POST', `/v1/sessions/${id}/end`)).json).toMatchObject({ status: 'ended' });
    expect((await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' })).json.code).toBe('session_ended');
    expect((await served.request('DELETE', '/v1/sessions/chat')).json).toEqual({ deleted: true });
    expect((await served.request('GET', `/v1/sessions/${id}`)).json.code).toBe('session_not_found');
    expect((await served.request('DELETE', `/v1/sessions/${id}`)).json.code).toBe('session_not_found');
  });

  it('keeps who plays its user, off unless it is said, and runs nobody for it', async () => {
    const served = await serve();
    const id = await served.newSession({});
    const path = `/v1/sessions/${id}`;
    expect((await served.request('GET', path)).json.simulator).toBe(null);
    expect((await served.request('PATCH', path, { simulator: { enabled: true, persona: 'curious' } })).status).toBe(200);
    expect((await served.request('GET', path)).json).toMatchObject({ turns: 0, simulator: { enabled: true, persona: 'curious', maxTurns: 10, turns: 0, ended: false } });
    await served.request('PATCH', path, { simulator: { enabled: false, persona: 'curious', maxTurns: 3 } });
    expect((await served.request('GET', path)).json.simulator).toMatchObject({ enabled: false, maxTurns: 3 });
    await served.request('PATCH', path, { simulator: null });
    expect((await served.request('GET', `${path}/entries`)).json.items.map(({ kind }: { kind: string }) => kind)).toEqual(['session-created', 'simulator-set', 'simulator-set', 'simulator-set']);
    for (const simulator of [{ enabled: true }, { enabled: true, persona: '' }, { enabled: true, persona: 'x'.repeat(4_001) }, { enabled: true, persona: 'x', maxTurns: 1_001 }, { persona: 'x' }]) {
      expect(await served.request('PATCH', path, { simulator })).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    }
    expect((await served.request('GET', path)).json.simulator).toBe(null);
  });

  it('that is there by its external id is given again, with the message sent to it', async () => {
    const served = await serve();
    const first = await served.request('POST', '/v1/sessions', { agent: 'tester', externalId: 'chat' });
    const again = await served.request('POST', '/v1/sessions', { agent: 'tester', externalId: 'chat', message: { text: 'hi' } });
    expect(again.status).toBe(200);
    expect(again.json.session).toMatchObject({ id: first.json.session.id, turnId: again.json.turn.turnId });
    expect(again.json.turn).toMatchObject({ queued: false, revision: 2 });
  });

  it.each(['a/b', 'a?b#c', '100%', '%2F', 'a b+c', 'grüße 👋', '{"a":"b"}', 'queue', ':id', '..a'])('is found by the external id %j', async (externalId) => {
    const served = await serve();
    const id = await served.newSession({ externalId });
    const path = `/v1/sessions/${encodeURIComponent(externalId)}`;
    expect((await served.request('GET', path)).json.id).toBe(id);
    expect((await served.request('POST', `${path}/messages`, { text: 'hi' })).status).toBe(202);
    expect((await served.request('GET', `${path}/entries`)).json.items[0]).toMatchObject({ kind: 'session-created', externalId });
  });

  it.each([
    ['an agent that is not there', { agent: 'nobody' }, 404, 'agent_not_found'],
    ['a model that its agent does not offer', { agent: 'tester', message: { text: 'hi', model: 'gpt-9' } }, 400, 'model_not_allowed'],
    ['an external id of another agent', { agent: 'other', externalId: 'taken' }, 404, 'agent_not_found'],
  ])('is not created with %s', async (_what, body, status, code) => {
    const served = await serve();
    expect(await served.request('POST', '/v1/sessions', body)).toMatchObject({ status, json: { code } });
    expect((await served.request('GET', '/v1/sessions?count=true')).json.count).toBe(0);
  });

  it('that is busy refuses what asks to be rejected, and its end', async () => {
    const held = gate();
    const served = await serve({ script: [[{ gate: held }, { text: 'late' }]] });
    const id = await served.newSession({ message: { text: 'hi' } });
    expect(await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi', whenBusy: 'reject' })).toMatchObject({ status: 409, json: { code: 'session_busy', sessionStatus: 'running', status: 409 } });
    expect(await served.request('POST', `/v1/sessions/${id}/end`, {})).toMatchObject({ status: 409, json: { code: 'session_busy' } });
    expect(await served.request('POST', `/v1/sessions/${id}/end`, { stop: true })).toMatchObject({ status: 200, json: { status: 'ended' } });
    held.open();
  });
});

describe('the list of sessions', () => {
  it('is paged, filtered and counted', async () => {
    const served = await serve();
    const ids: string[] = [];
    for (const title of ['one', 'two', 'three']) ids.unshift(await served.newSession({ title }));
    const first = (await served.request('GET', '/v1/sessions?limit=2&count=true')).json;
    expect({ ids: first.items.map(({ id }) => id), count: first.count }).toEqual({ ids: ids.slice(0, 2), count: 3 });
    const second = (await served.request('GET', `/v1/sessions?limit=2&cursor=${first.nextCursor}`)).json;
    expect({ ids: second.items.map(({ id }) => id), next: second.nextCursor, count: second.count }).toEqual({ ids: ids.slice(2), next: null, count: null });
    await served.request('PATCH', `/v1/sessions/${ids[0]}`, { archived: true });
    await served.request('POST', `/v1/sessions/${ids[1]}/end`);
    const idsOf = async (query: string) => (await served.request('GET', `/v1/sessions?${query}`)).json.items.map(({ id }) => id);
    expect(await idsOf('archived=true')).toEqual([ids[0]]);
    expect(await idsOf('archived=false&status=idle')).toEqual([ids[2]]);
    expect(await idsOf('status=ended')).toEqual([ids[1]]);
    expect(await idsOf('q=THR')).toEqual([ids[0]]);
    expect(await idsOf('q=%25')).toEqual([]);
    expect(await idsOf('agent=tester&owner=local')).toEqual(ids);
    expect(await idsOf('agent=nobody')).toEqual([]);
  });
});

describe('a conversation', () => {
  it('is read as messages, entries and turns, page by page', async () => {
    const served = await serve({ script: ['first', 'second', 'third'] });
    const id = await served.newSession();
    const turns = [await say(served, id, 'one'), await say(served, id, 'two'), await say(served, id, 'three')];
    const messages = (await served.request('GET', `/v1/sessions/${id}/messages?limit=4`)).json;
    expect(messages.items.map(({ role, parts }) => [role, parts.at(-1)?.text])).toEqual([['user', 'two'], ['assistant', 'second'], ['user', 'three'], ['assistant', 'third']]);
    const earlier = (await served.request('GET', `/v1/sessions/${id}/messages?before=${messages.nextCursor}`)).json;
    expect(earlier.items.map(({ parts }) => parts.at(-1)?.text)).toEqual(['one', 'first']);
    expect(earlier.nextCursor).toBeNull();

    const seqs: number[] = [];
    for (let after: number | null = 0; after !== null;) {
      const page = (await served.request('GET', `/v1/sessions/${id}/entries?after=${after}&limit=3`)).json;
      seqs.push(...page.items.map(({ seq }) => seq));
      after = page.nextCursor as number | null;
    }
    expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, place) => place + 1));
    expect(seqs.length).toBe((await served.request('GET', `/v1/sessions/${id}`)).json.lastSeq);

    const lastPage = (await served.request('GET', `/v1/sessions/${id}/entries?limit=${seqs.length}`)).json;
    expect({ count: lastPage.items.length, next: lastPage.nextCursor }).toEqual({ count: seqs.length, next: null });

    const lastTurns = (await served.request('GET', `/v1/sessions/${id}/turns?limit=2`)).json;
    expect(lastTurns.items.map((turn) => turn.id)).toEqual(turns.slice(1));
    expect((await served.request('GET', `/v1/sessions/${id}/turns?before=${lastTurns.nextCursor}`)).json.items.map((turn) => turn.id)).toEqual(turns.slice(0, 1));
  });

  it('with tool calls, failures and a stop is as documented', async () => {
    const held = gate();
    const served = await serve({
      script: [
        [{ reasoning: 'hm' }, { call: 'weather', input: { city: 'Lisbon' } }, { call: 'broken' }, { call: 'unknown' }], 'sunny',
        [{ text: 'so far' }, { gate: held }, { text: 'never' }],
      ],
      agent: {
        tools: {
          weather: tool({ inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => ({ city, celsius: 20 }), recovery: 'rerun' }),
          broken: tool({ inputSchema: z.object({}), execute: async () => { throw new Error('it broke'); } }),
        },
      },
    });
    const id = await served.newSession();
    await say(served, id, 'weather?');
    await served.request('POST', `/v1/sessions/${id}/messages`, { parts: [{ type: 'text', text: 'and' }, { type: 'file', mediaType: 'text/plain', data: 'aGk=' }], actor: { type: 'user', id: 'ada' }, metadata: { a: 1 } });
    await held.reached;
    await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'instead', whenBusy: 'replace' });
    // Each reply is checked against its documented shape by the request itself.
    expect((await served.request('GET', `/v1/sessions/${id}/entries?limit=100`)).json.items.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['tool-results', 'branch-discarded']));
    expect((await served.request('GET', `/v1/sessions/${id}/messages`)).json.items.length).toBeGreaterThan(2);
    // The one that was replaced is not visible any more.
    expect((await served.request('GET', `/v1/sessions/${id}/turns`)).json.items.length).toBe(2);
    held.open();
  });
});

describe('the server', () => {
  it('lists its agents', async () => {
    const served = await serve({ agent: { version: '3', tools: { look: tool({ description: 'Looks', inputSchema: z.object({}), execute: () => 1 }) } } });
    expect((await served.request('GET', '/v1/agents')).json).toEqual({ items: [{ name: 'tester', version: '3', greets: false, models: [], tools: [{ name: 'look', description: 'Looks' }], firstNode: null, nodes: [] }] });
  });

  it('says that it lives, and whether it takes work', async () => {
    const served = await serve();
    expect(await served.request('GET', '/healthz')).toMatchObject({ status: 200, json: { status: 'ok' } });
    expect(await served.request('GET', '/readyz')).toMatchObject({ status: 200, json: { status: 'ok' } });
    await served.holdfast.close();
    expect(await served.request('GET', '/readyz')).toMatchObject({ status: 503, json: { status: 'not_ready' } });
    expect(await served.request('GET', '/healthz')).toMatchObject({ status: 200 });
  });

  it('serves its page under a policy that lets it load nothing from elsewhere', async () => {
    const served = await serve();
    const page = await served.request('GET', '/');
    expect(page.headers.get('content-security-policy')).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    expect({ nosniff: page.headers.get('x-content-type-options'), referrer: page.headers.get('referrer-policy') }).toEqual({ nosniff: 'nosniff', referrer: 'no-referrer' });
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const links = [...page.text.matchAll(/(?:src|href)="([\w.-]+\.(?:js|css))"/g)].map(([, name = '']) => name);
    expect(links).toEqual(['page.css', 'cards.css', 'page.js']);
    const seen = new Set<string>();
    for (const name of links) await expectServed(served, name, seen);
  });

  it('serves no file that is not of the page', async () => {
    const served = await serve();
    for (const path of ['/app.ts', '/..%2fapp.ts', '/%2e%2e%2fapp.ts', '/page%2fpage.js', '/constructor', '/__proto__']) {
      expect((await served.request('GET', path)).json.code, path).toBe('not_found');
    }
  });

  it.each(['/nothing', '/v1', '/v1/', '/v1/nothing', '/v1/sessions/a/b/c', '/v1/sessions/', '/docs/errors/nothing', '/docs/errors/__proto__', '//v1/sessions'])('finds nothing at %s', async (path) => {
    expect(await (await serve()).request('GET', path)).toMatchObject({ status: 404, json: { code: 'not_found' } });
  });

  it.each([
    ['PUT', '/v1/sessions', 'POST, GET, HEAD'], ['DELETE', '/v1/sessions', 'POST, GET, HEAD'], ['GET', '/v1/sessions/a/stop', 'POST'], ['OPTIONS', '/v1/sessions/a', 'GET, HEAD, PATCH, DELETE'],
    ['GET', '/v1/sessions/a/queue/hold', 'POST'], ['PUT', '/v1/sessions/a/queue/m', 'PATCH, DELETE'], ['POST', '/healthz', 'GET, HEAD'], ['POST', '/', 'GET, HEAD'],
  ])('does not take %s %s', async (method, path, allow) => {
    const reply = await (await serve()).request(method, path);
    expect(reply).toMatchObject({ status: 405, json: { code: 'method_not_allowed' } });
    expect(reply.headers.get('allow')).toBe(allow);
  });

  it('answers HEAD as GET, without a body', async () => {
    const served = await serve();
    const id = await served.newSession();
    const reply = await fetch(`${served.url}/v1/sessions/${id}`, { method: 'HEAD' });
    expect({ status: reply.status, etag: reply.headers.get('etag'), text: await reply.text() }).toEqual({ status: 200, etag: '"1"', text: '' });
    const stream = await fetch(`${served.url}/v1/sessions/${id}/events`, { method: 'HEAD' });
    expect({ status: stream.status, type: stream.headers.get('content-type') }).toEqual({ status: 200, type: 'text/event-stream' });
  });

  it('names every request, and keeps no reply in caches', async () => {
    const served = await serve();
    const replies = [await served.request('GET', '/v1/agents'), await served.request('GET', '/v1/nothing'), await served.request('POST', '/v1/sessions', {})];
    const ids = replies.map(({ headers }) => headers.get('x-request-id'));
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) expect(id).toMatch(/^req_[0-9a-z]{26}$/);
    expect(replies.map(({ headers }) => headers.get('cache-control'))).toEqual(['no-store', 'no-store', 'no-store']);
    expect(replies.map(({ headers }) => headers.get('access-control-allow-origin'))).toEqual([null, null, null]);
  });
});

/** The file, and all that it imports. */
async function expectServed(served: Served, name: string, seen: Set<string>): Promise<void> {
  if (seen.has(name)) return;
  seen.add(name);
  const file = await served.request('GET', `/${name}`);
  expect({ name, status: file.status, type: file.headers.get('content-type') }).toEqual({ name, status: 200, type: `text/${name.endsWith('.css') ? 'css' : 'javascript'}; charset=utf-8` });
  for (const [, imported = ''] of file.text.matchAll(/ from '\.\/([\w.-]+)'/g)) await expectServed(served, imported, seen);
}
