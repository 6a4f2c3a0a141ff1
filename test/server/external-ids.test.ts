import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, createHoldfast, tool, type Holdfast } from '../../src/index.ts';
import type { Principal } from '../../src/agent/tool.ts';
import { routeTable } from '../../src/server/routes/route-table.ts';
import { scriptedModel } from '../../src/testing/index.ts';
import { collect } from '../exchange/kit.ts';
import { stores } from '../support/stores.ts';

/** Bodies with which a route does something; others get none. */
const bodies: Readonly<Record<string, object>> = {
  sendMessage: { text: 'more' }, changeSession: { title: 'new' }, redactEntry: { seq: 2 }, transferSession: { owner: 'bob' }, rewind: { turnId: null, stop: true }, editTurn: { turnId: 'TURN', text: 'else', stop: true },
  retryTurn: { stop: true }, restoreBranch: { stop: true }, endSession: { stop: true }, resolveAction: { type: 'approve' }, resolveActions: { decisions: [{ actionId: 'ACTION', type: 'approve' }] }, editQueuedMessage: { text: 'edited' },
  setState: { value: 1 }, setSessionState: { value: 1 }, incrementState: { by: 1 }, incrementSessionState: { by: 1 }, enterNode: { node: 'desk' },
};

const sessionRoutes = routeTable.filter(({ path }) => path.startsWith('/v1/sessions/:id'));

interface Template {
  readonly line: string;
  /** For what varies in paths and bodies. */
  readonly parts: Readonly<Record<string, string>>;
}

async function open(url: string, authenticate?: () => Principal): Promise<Holdfast> {
  const lookUp = tool({ description: '', inputSchema: z.object({}), recovery: 'rerun', maxResultBytes: 20_000, execute: () => 'x'.repeat(30_000) });
  return createHoldfast({ agents: [agent({ name: 'demo', model: scriptedModel([[{ call: 'lookUp', input: {} }], 'found', 'left', 'here']), instructions: '', tools: { lookUp }, nodes: { hall: { transitions: ['desk'] }, desk: {} }, firstNode: 'hall' })], store: url, ...(authenticate === undefined ? {} : { authenticate }) });
}

/** A session with two turns, a branch and a whole result, as a file. */
async function template(holdfast: Holdfast): Promise<Template> {
  const session = await holdfast.sessions.create({ agent: 'demo', owner: 'local', externalId: 'template' });
  const first = await session.send('one');
  await first.result;
  await (await session.send('two')).result;
  await session.rewind(first.id);
  await (await session.send('three')).result;
  const [line = ''] = await collect(holdfast.export(session.id));
  const [branch] = (await session.branches.list()).items;
  return { line, parts: { id: session.id, turnId: first.id, branchId: branch?.id ?? '', callId: '3-0', messageId: 'msg_x', actionId: 'act_3_0', scope: 'conversation', key: 'k' } };
}

/** The same session once more, under an external id of its own. */
async function twin(holdfast: Holdfast, { line }: Template, externalId: string): Promise<string> {
  const [made] = await collect(holdfast.import([line.replaceAll('"externalId":"template"', `"externalId":"${externalId}"`)], { newIds: true }));
  if (made === undefined || !('sessionId' in made)) throw new Error(JSON.stringify(made));
  return made.sessionId;
}

async function request(holdfast: Holdfast, route: (typeof sessionRoutes)[number], id: string, { parts }: Template, key?: string): Promise<{ readonly status: number; readonly code: string | null; readonly replayed: boolean }> {
  const path = route.path.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(name === 'id' ? id : (parts[name] ?? 'none')));
  const given = bodies[route.name];
  const body = given === undefined ? undefined : JSON.stringify(given).replaceAll('TURN', parts['turnId'] ?? '').replaceAll('ACTION', parts['actionId'] ?? '');
  const ends = new AbortController();
  const response = await holdfast.fetch(new Request(`http://localhost${path}`, {
    method: route.method, signal: ends.signal, ...(body === undefined ? {} : { body }),
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(key === undefined ? {} : { 'idempotency-key': key }) },
  }));
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const json = isStream || response.ok ? {} : ((await response.json()) as { readonly code?: string });
  ends.abort();
  return { status: response.status, code: json.code ?? null, replayed: response.headers.get('idempotent-replayed') === 'true' };
}

describe.each(stores)('session ids in paths on $name', ({ newUrl }) => {
  it('may be external ids wherever they may be session ids, and others are of no session', async () => {
    await using holdfast = await open(await newUrl());
    const made = await template(holdfast);
    const weak: string[] = [];
    for (const route of sessionRoutes) {
      const [byId, byExternalId] = [await twin(holdfast, made, `a ${route.name}`), `b/${route.name}`];
      await twin(holdfast, made, byExternalId);
      const [own, external, unknown] = [await request(holdfast, route, byId, made), await request(holdfast, route, byExternalId, made), await request(holdfast, route, 'nobody', made)];
      expect({ route: route.name, ...external }).toEqual({ route: route.name, ...own });
      // Whatever else it may be refused for: the one is found, the other is not.
      expect([route.name, external.code]).not.toEqual([route.name, 'session_not_found']);
      if (unknown.status !== 404 || unknown.code !== 'session_not_found') weak.push(`${route.name}: ${unknown.status} ${unknown.code}`);
    }
    // A route that is refused before it looks for its session needs a body above.
    expect(weak).toEqual([]);
  });

  it('are of no session for another owner or tenant, on any route, and nothing changes (G13)', async () => {
    const url = await newUrl();
    const store = await open(url);
    const made = await template(store);
    await store.close();
    const people: Readonly<Record<string, Principal>> = { bob: { tenant: 'default', owner: 'bob', roles: [] }, eve: { tenant: 'elsewhere', owner: 'local', roles: ['system'] } };
    for (const [name, principal] of Object.entries(people)) {
      await using holdfast = await open(url, () => principal);
      const found: string[] = [];
      for (const route of sessionRoutes) {
        for (const id of [made.parts['id'] ?? '', 'template']) {
          const { status, code } = await request(holdfast, route, id, made, route.command === undefined ? undefined : `${name}-${route.name}`);
          // Refused to whoever has not the role `system`, before any session is looked for.
          if (name === 'bob' && route.name === 'transferSession') expect([status, code]).toEqual([400, 'invalid_request']);
          else if (status !== 404 || code !== 'session_not_found') found.push(`${name} ${route.name}: ${status} ${code}`);
        }
      }
      expect(found).toEqual([]);
      const asked = await holdfast.fetch(new Request('http://localhost/v1/usage'));
      expect(await asked.json()).toMatchObject({ days: [] });
      expect((await holdfast.fetch(new Request('http://localhost/v1/usage?owner=local'))).status).toBe(name === 'bob' ? 400 : 200);
    }
    await using again = await open(url);
    expect(await collect(again.export('template'))).toEqual([made.line]);
  });

  it('and texts in queries that no store keeps are refused, and stand for nothing else', async () => {
    await using holdfast = await open(await newUrl());
    const state = '/v1/state/actor/k?agent=demo';
    for (const [method, path] of [['GET', '/v1/usage?owner=%00'], ['GET', '/v1/sessions?owner=%00'], ['GET', '/v1/sessions?agent=a%00'], ['GET', '/v1/sessions?q=%00'], ['PUT', `${state}&owner=%00`], ['PUT', `${state}&actorType=user&actorId=%00`], ['PUT', `${state}&actorType=%00&actorId=%00`]] as const) {
      const response = await holdfast.fetch(new Request(`http://localhost${path}`, { method, ...(method === 'PUT' ? { body: '{"value":1}', headers: { 'content-type': 'application/json' } } : {}) }));
      expect([path, response.status, ((await response.json()) as { readonly code: string }).code]).toEqual([path, 400, 'invalid_request']);
    }
    expect(await holdfast.state({ agent: 'demo' }).get('actor', 'k')).toBeNull();
  });

  it('are one session by either id: a key that was sent with the one is known with the other', async () => {
    await using holdfast = await open(await newUrl());
    const made = await template(holdfast);
    for (const route of sessionRoutes.filter(({ command, name }) => (command === 'keyed' || command === 'guarded') && !/redo|Action|Queued/.test(name))) {
      const id = await twin(holdfast, made, `k ${route.name}`);
      expect(await request(holdfast, route, `k ${route.name}`, made, 'key-1')).toMatchObject({ replayed: false });
      if (route.name === 'deleteSession') continue;
      expect([route.name, await request(holdfast, route, id, made, 'key-1')]).toEqual([route.name, expect.objectContaining({ replayed: true })]);
    }
  });

  it('cannot collide: an external id that looks like a session id is taken by no way in', async () => {
    await using holdfast = await open(await newUrl());
    const made = await template(holdfast);
    const session = await holdfast.sessions.get('template');
    await expect(holdfast.sessions.create({ agent: 'demo', externalId: 'ses_x' })).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(session.fork({ externalId: 'ses_x' })).rejects.toMatchObject({ code: 'invalid_request' });
    expect(await collect(holdfast.import([made.line.replaceAll('"template"', '"ses_x"')], { newIds: true }))).toMatchObject([{ status: 'bad', error: expect.stringContaining('begins with ses_') as string }]);
    expect(await collect(holdfast.import(['{"id":"ses_x","messages":[]}']))).toMatchObject([{ status: 'imported' }]);
    expect((await holdfast.sessions.get('import:ses_x')).id).not.toBe('ses_x');
    // Of two owners each has an external id for itself; without an owner it names neither.
    for (const owner of ['ada', 'bob']) await holdfast.sessions.create({ agent: 'demo', owner, externalId: 'shared' });
    await expect(holdfast.sessions.get('shared')).rejects.toMatchObject({ code: 'session_not_found' });
    expect((await holdfast.sessions.get('shared', { owner: 'ada' })).id).not.toBe((await holdfast.sessions.get('shared', { owner: 'bob' })).id);
  });
});
