import { describe, expect, it } from 'vitest';
import type { Principal } from '../../src/agent/tool.ts';
import { eventually } from '../support/eventually.ts';
import { everySession, serve } from '../support/http-server.ts';
import { openEvents } from '../support/event-stream.ts';
import { rawRequest } from '../support/raw-request.ts';

const get = (host: string, extra = '', path = '/v1/sessions'): string => `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${extra}connection: close\r\n\r\n`;

describe('without authentication', () => {
  it.each(['localhost', 'localhost:4983', 'LOCALHOST', '127.0.0.1', '127.0.0.1:80', '127.8.9.10', '[::1]', '[::1]:4983'])('the host %s is this machine', async (host) => {
    expect(await rawRequest((await serve()).url, [get(host)])).toMatch(/^HTTP\/1\.1 200 /);
  });

  it.each([
    'attacker.example', 'attacker.example:4983', 'localhost.attacker.example', 'attacker.localhost.example:80', '127.0.0.1.attacker.example', '192.168.1.7', '0.0.0.0', '[::]', '128.0.0.1',
  ])('the host %s is refused: its name may have been rebound', async (host) => {
    const served = await serve();
    const reply = await rawRequest(served.url, [get(host)]);
    expect(reply).toMatch(/^HTTP\/1\.1 403 /);
    expect(reply).toContain('"code":"forbidden_origin"');
  });

  it('an address in the request line does not stand in for the host', async () => {
    const served = await serve();
    const reply = await rawRequest(served.url, [`GET http://localhost/v1/sessions HTTP/1.1\r\nhost: attacker.example\r\nconnection: close\r\n\r\n`]);
    expect(reply).toMatch(/^HTTP\/1\.1 403 /);
  });

  it.each([
    ['Origin', { origin: 'https://attacker.example' }], ['the opaque Origin', { origin: 'null' }], ['an Origin that only begins alike', { origin: 'http://localhost.attacker.example' }],
    ['Sec-Fetch-Site', { 'sec-fetch-site': 'cross-site' }],
  ])('what a page of another site sends is refused by its %s, and changes nothing', async (_what, headers) => {
    const served = await serve();
    const id = await served.newSession();
    const before = await everySession(served);
    for (const [method, path, body] of [['POST', '/v1/sessions', { agent: 'tester' }], ['DELETE', `/v1/sessions/${id}`, undefined], ['POST', `/v1/sessions/${id}/end`, undefined], ['GET', `/v1/sessions/${id}/events`, undefined]] as const) {
      // The client of this test sets such headers only over a raw connection.
      const text = body === undefined ? '' : JSON.stringify(body);
      const head = Object.entries({ ...headers, 'content-length': text.length, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }).map(([name, value]) => `${name}: ${value}\r\n`).join('');
      expect(await rawRequest(served.url, [`${method} ${path} HTTP/1.1\r\nhost: localhost\r\n${head}connection: close\r\n\r\n${text}`]), `${method} ${path}`).toMatch(/^HTTP\/1\.1 403 /);
    }
    expect(await everySession(served)).toEqual(before);
  });

  it.each(['http://localhost:4983', 'http://127.0.0.1', 'http://[::1]:3000'])('a page of this machine may ask: %s', async (origin) => {
    expect(await rawRequest((await serve()).url, [get('localhost', `origin: ${origin}\r\nsec-fetch-site: same-origin\r\n`)])).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('the page and the health of the process are for everybody', async () => {
    const served = await serve();
    for (const path of ['/', '/healthz', '/readyz', '/docs/errors/not_found']) {
      expect(await rawRequest(served.url, [get('attacker.example', '', path)]), path).toMatch(/^HTTP\/1\.1 200 /);
    }
  });
});

const people: Readonly<Record<string, Principal>> = {
  ada: { tenant: 'default', owner: 'ada', roles: [] }, bob: { tenant: 'default', owner: 'bob', roles: [] }, root: { tenant: 'default', owner: 'root', roles: ['system'] },
  eve: { tenant: 'elsewhere', owner: 'ada', roles: ['system'] },
};
const authenticate = (request: Request): Principal | null => people[request.headers.get('authorization')?.replace('Bearer ', '') ?? ''] ?? null;
const as = (name: string) => ({ authorization: `Bearer ${name}` });

describe('with authentication', () => {
  it('who does not say who they are is refused', async () => {
    const served = await serve({ authenticate });
    for (const headers of [{}, as('nobody')]) {
      const reply = await served.request('POST', '/v1/sessions', { agent: 'tester' }, headers);
      expect(reply).toMatchObject({ status: 401, json: { code: 'unauthenticated' } });
      expect(reply.headers.get('www-authenticate')).toBe('Bearer');
    }
    expect(await everySession(served)).toMatchObject({ count: 0 });
    expect((await served.request('GET', '/healthz')).status).toBe(200);
  });

  it('any host is served', async () => {
    const served = await serve({ authenticate });
    expect(await rawRequest(served.url, [get('chat.example', 'authorization: Bearer ada\r\n')])).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('a session of another owner or tenant is not there (G13)', async () => {
    const served = await serve({ authenticate });
    const created = await served.request('POST', '/v1/sessions', { agent: 'tester', externalId: 'chat', message: { text: 'secret' } }, as('ada'));
    const id = created.json.session.id;
    await served.request('GET', `/v1/sessions/${id}/turns/${created.json.turn.turnId}?waitMs=10000`, undefined, as('ada'));
    const before = await everySession(served);
    for (const who of ['bob', 'eve']) {
      for (const name of [id, 'chat']) {
        for (const [method, path, body] of [
          ['GET', '', undefined], ['PATCH', '', { title: 'x' }], ['DELETE', '', undefined], ['POST', '/messages', { text: 'hi' }], ['GET', '/messages', undefined], ['GET', '/entries', undefined], ['GET', '/events', undefined],
          ['GET', '/turns', undefined], ['GET', `/turns/${created.json.turn.turnId}`, undefined], ['POST', '/stop', {}], ['POST', '/end', {}], ['GET', '/queue', undefined], ['PATCH', '/queue/m', { text: 'x' }],
          ['DELETE', '/queue/m', undefined], ['POST', '/queue/m/promote', {}], ['POST', '/queue/hold', {}], ['POST', '/queue/release', {}],
          ['POST', '/rewind', { turnId: null }], ['POST', '/redo', {}], ['POST', '/edit', { turnId: created.json.turn.turnId, text: 'x' }], ['POST', '/retry', {}], ['POST', '/fork', {}], ['POST', '/compact', {}], ['POST', '/redact', { seq: 2 }],
          ['GET', '/branches', undefined], ['POST', '/branches/br_1/restore', {}], ['GET', '/effects', undefined], ['GET', '/operations', undefined], ['GET', '/actions', undefined],
          ['GET', '/state', undefined], ['GET', '/state/conversation/k', undefined], ['PUT', '/state/conversation/k', { value: 1 }], ['POST', '/state/conversation/k/increment', {}], ['DELETE', '/state/conversation/k', undefined],
        ] as const) {
          expect((await served.request(method, `/v1/sessions/${name}${path}`, body, as(who))).json.code, `${who} ${method} ${path}`).toBe('session_not_found');
        }
      }
      expect((await served.request('GET', '/v1/sessions?count=true', undefined, as(who))).json).toEqual({ items: [], nextCursor: null, count: 0 });
    }
    expect(await everySession(served)).toEqual(before);
    expect((await served.request('GET', '/v1/sessions', undefined, as('root'))).json.items).toHaveLength(1);
    expect((await served.request('GET', `/v1/sessions/${id}`, undefined, as('root'))).status).toBe(200);
  });

  it('a stream that is open ends for who does not own the session any more, before anything that comes after (G13)', async () => {
    const served = await serve({ authenticate });
    const created = await served.request('POST', '/v1/sessions', { agent: 'tester', message: { text: 'mine' } }, as('ada'));
    const id = created.json.session.id;
    const [adas, roots] = [await openEvents(`${served.url}/v1/sessions/${id}/events`, { headers: as('ada') }), await openEvents(`${served.url}/v1/sessions/${id}/events`, { headers: as('root') })];
    await adas.until(({ event, data }) => event === 'entry' && JSON.stringify(data).includes('turn-ended'));
    expect((await served.request('POST', `/v1/sessions/${id}/transfer`, { owner: 'bob' }, as('root'))).status).toBe(200);
    await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'the secret of bob' }, as('bob'));
    await roots.until(({ data }) => JSON.stringify(data ?? {}).includes('the secret of bob'));
    expect([await adas.ended, adas.frames.at(-1)?.data, JSON.stringify(adas.frames).includes('secret'), JSON.stringify(adas.frames).includes('owner-changed')]).toEqual(['clean', { type: 'deleted' }, false, false]);
    const bobs = await openEvents(`${served.url}/v1/sessions/${id}/events`, { headers: as('bob') });
    await bobs.until(({ data }) => JSON.stringify(data ?? {}).includes('the secret of bob'));
  });

  it('the same external id is another session for another owner', async () => {
    const served = await serve({ authenticate });
    const ids: string[] = [];
    for (const who of ['ada', 'bob', 'eve']) ids.push((await served.request('POST', '/v1/sessions', { agent: 'tester', externalId: 'chat' }, as(who))).json.session.id);
    expect(new Set(ids).size).toBe(3);
    for (const [place, who] of ['ada', 'bob', 'eve'].entries()) expect((await served.request('GET', '/v1/sessions/chat', undefined, as(who))).json.id).toBe(ids[place]);
  });

  it('the same key is another request for another owner', async () => {
    const served = await serve({ authenticate });
    const created = [];
    for (const who of ['ada', 'bob']) created.push(await served.request('POST', '/v1/sessions', { agent: 'tester' }, { ...as(who), 'idempotency-key': 'k' }));
    expect(created.map(({ json }) => json.session.owner)).toEqual(['ada', 'bob']);
  });

  it('only the role system speaks for others', async () => {
    const served = await serve({ authenticate });
    expect(await served.request('POST', '/v1/sessions', { agent: 'tester', owner: 'ada' }, as('bob'))).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect(await served.request('GET', '/v1/sessions?owner=ada', undefined, as('bob'))).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect(await served.request('POST', '/v1/sessions', { agent: 'tester', owner: 'ada' }, as('root'))).toMatchObject({ status: 201, json: { session: { owner: 'ada' } } });
    expect((await served.request('GET', '/v1/sessions?owner=ada', undefined, as('root'))).json.items).toHaveLength(1);
  });

  it('an owner follows eight streams at once', async () => {
    const served = await serve({ authenticate });
    const id = (await served.request('POST', '/v1/sessions', { agent: 'tester' }, as('ada'))).json.session.id;
    const follow = (who: string) => openEvents(`${served.url}/v1/sessions/${id}/events`, { headers: as(who) });
    for (let count = 0; count < 20; count += 1) {
      // A question for the headers alone opens no stream.
      expect((await fetch(`${served.url}/v1/sessions/${id}/events`, { method: 'HEAD', headers: as('ada') })).status).toBe(200);
    }
    const streams = [];
    for (let count = 0; count < 8; count += 1) streams.push(await follow('ada'));
    const refused = await served.request('GET', `/v1/sessions/${id}/events`, undefined, as('ada'));
    expect(refused).toMatchObject({ status: 429, json: { code: 'too_many_streams', max: 8 } });
    expect(refused.headers.get('retry-after')).toBe('5');
    const before = await everySession(served);
    expect(await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' }, { ...as('ada'), accept: 'text/event-stream' })).toMatchObject({ status: 429 });
    expect(await everySession(served)).toEqual(before);
    expect((await follow('root')).status).toBe(200);
    streams[0]?.leave();
    await eventually('a free place', async () => (await follow('ada')).status === 200);
  });

  it('an error of it is neither sent nor logged', async () => {
    const logged: unknown[] = [];
    const served = await serve({ authenticate: () => { throw new Error('the token sk-secret is bad'); }, log: (...line) => { logged.push(line); } });
    const reply = await served.request('GET', '/v1/sessions');
    expect(reply).toMatchObject({ status: 500, json: { code: 'internal_error' } });
    expect(reply.text).not.toContain('secret');
    expect(logged).toMatchObject([['error', 'request-failed', { requestId: reply.headers.get('x-request-id'), error: 'Error' }]]);
    expect(JSON.stringify(logged)).not.toContain('secret');
  });
});
