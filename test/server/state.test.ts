import { describe, expect, it } from 'vitest';
import type { Principal } from '../../src/agent/tool.ts';
import { serve } from '../support/http-server.ts';

const people: Readonly<Record<string, Principal>> = {
  ada: { tenant: 'acme', owner: 'ada', roles: [] }, bob: { tenant: 'acme', owner: 'bob', roles: [] }, operator: { tenant: 'acme', owner: 'operator', roles: ['system'] },
};
const authenticate = (request: Request): Principal | null => people[request.headers.get('authorization') ?? ''] ?? null;

const keys = ['k', '%', 'a%2Fb', '_', 'a/b', '../x', '😀'.repeat(255), 'a b?c#d', '.', 'ключ'];

describe('state over HTTP', () => {
  it.each(['conversation', 'actor', 'agent'])('of the scope %s takes any key in its path', async (scope) => {
    const served = await serve({ worker: false });
    const at = `/v1/sessions/${await served.newSession()}/state/${scope}`;
    for (const key of keys) {
      const path = `${at}/${encodeURIComponent(key).replaceAll('.', '%2E')}`;
      if (key === '.') continue; // a URL has no such part: clients and servers alike take it away
      const set = await served.request('PUT', path, { value: { of: key } });
      expect([set.status, set.json]).toMatchObject([200, { key, scope, value: { of: key } }]);
      const read = await served.request('GET', path);
      expect([read.json, read.headers.get('etag')]).toEqual([set.json, `"${String((set.json as unknown as { version: number }).version)}"`]);
    }
    const listed = await served.request('GET', at);
    expect(listed.json.items.map((item) => (item as unknown as { key: string }).key)).toEqual(keys.filter((key) => key !== '.').toSorted());
    const found = await served.request('GET', `${at}?prefix=${encodeURIComponent('a%')}`);
    expect(found.json.items.map((item) => (item as unknown as { key: string }).key)).toEqual(['a%2Fb']);
    const first = await served.request('GET', `${at}?limit=2`);
    expect(first.json.items.length).toBe(2);
    expect((await served.request('GET', `${at}?cursor=${encodeURIComponent(String(first.json.nextCursor))}`)).json.items.length).toBe(keys.length - 3);
    expect((await served.request('DELETE', at)).json).toEqual({ scope, deleted: keys.length - 1 });
  });

  it('is written on the condition of If-Match, once by an Idempotency-Key, and counted', async () => {
    const served = await serve({ worker: false });
    const base = `/v1/sessions/${await served.newSession()}/state`;
    for (const scope of ['conversation', 'agent']) {
      const at = `${base}/${scope}/k`;
      expect(await served.request('GET', at)).toMatchObject({ status: 404, json: { code: 'state_not_found' } });
      expect(await served.request('DELETE', at)).toMatchObject({ status: 404, json: { code: 'state_not_found' } });
      const set = await served.request('PUT', at, { value: 1 }, { 'if-match': '0' });
      expect(set.status).toBe(200);
      expect(await served.request('PUT', at, { value: 2 }, { 'if-match': '"0"' })).toMatchObject({ status: 409, json: { code: 'state_version_conflict' } });
      const counted = await served.request('POST', `${at}/increment`, { by: 4 }, { 'idempotency-key': 'one' });
      const again = await served.request('POST', `${at}/increment`, { by: 4 }, { 'idempotency-key': 'one' });
      expect([counted.json, again.headers.get('idempotent-replayed')]).toMatchObject([{ value: 5 }, 'true']);
      expect(again.json).toEqual(counted.json);
      expect((await served.request('POST', `${at}/increment`)).json).toMatchObject({ value: 6 });
      expect(await served.request('DELETE', at, undefined, { 'if-match': set.headers.get('etag') ?? '' })).toMatchObject({ status: 409, json: { code: 'state_version_conflict' } });
      expect((await served.request('DELETE', at)).json).toEqual({ scope, deleted: 1 });
    }
    expect(await served.request('PUT', `${base}/agent/k`, { value: 1, more: 2 })).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect(await served.request('PUT', `${base}/agent/k`, {})).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect(await served.request('PUT', `${base}/agent/k`, { value: 'x'.repeat(262_143) })).toMatchObject({ status: 413, json: { code: 'state_too_large' } });
    expect(await served.request('GET', `${base}/nowhere/k`)).toMatchObject({ status: 400, json: { code: 'state_scope_unknown' } });
    expect(await served.request('GET', `${base}/agent/${'x'.repeat(256)}`)).toMatchObject({ status: 400, json: { code: 'state_key_invalid' } });
    expect(await served.request('GET', `${base}/subject/k`)).toMatchObject({ status: 400, json: { code: 'state_identity_missing' } });
    expect((await served.request('GET', base)).json).toMatchObject({ conversation: {}, actor: {}, subject: {}, agent: {}, complete: true });
  });

  it.each(['conversation', 'actor'])('of the scope %s that was not there to be deleted is looked for again by the same Idempotency-Key: a refusal is not kept (G2)', async (scope) => {
    const served = await serve({ worker: false });
    const at = `/v1/sessions/${await served.newSession()}/state/${scope}`;
    const remove = () => served.request('DELETE', `${at}/k`, undefined, { 'idempotency-key': 'one' });
    expect(await remove()).toMatchObject({ status: 404, json: { code: 'state_not_found' } });
    await served.request('PUT', `${at}/k`, { value: 1 });
    expect((await remove()).json).toEqual({ scope, deleted: 1 });
    const again = await remove();
    expect([again.json, again.headers.get('idempotent-replayed')]).toEqual([{ scope, deleted: 1 }, 'true']);
    const clear = () => served.request('DELETE', at, undefined, { 'idempotency-key': 'all' });
    expect([(await clear()).json, (await clear()).headers.get('idempotent-replayed')]).toEqual([{ scope, deleted: 0 }, 'true']);
  });

  it('without a session is named in the query', async () => {
    const served = await serve({ worker: false });
    const of = '?agent=tester&actorType=user&actorId=bob';
    await served.request('PUT', `/v1/state/actor/k${of}`, { value: 1 });
    expect((await served.request('GET', `/v1/state/actor/k${of}`)).json).toMatchObject({ value: 1, followsHistory: false });
    expect((await served.request('GET', `/v1/state/actor${of}`)).json.items.length).toBe(1);
    expect((await served.request('GET', '/v1/state/actor?agent=tester')).json.items).toEqual([]);
    expect((await served.request('POST', `/v1/state/actor/k/increment${of}`)).json).toMatchObject({ value: 2 });
    expect(await served.request('GET', '/v1/state/actor/k?agent=tester&actorType=user')).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect(await served.request('GET', '/v1/state/actor/k')).toMatchObject({ status: 400, json: { code: 'state_identity_missing' } });
    expect(await served.request('GET', '/v1/state/conversation/k?agent=tester')).toMatchObject({ status: 400, json: { code: 'state_identity_missing' } });
    expect(await served.request('GET', '/v1/state/actor/k?agent=nobody')).toMatchObject({ status: 404, json: { code: 'agent_not_found' } });
    expect((await served.request('DELETE', `/v1/state/actor/k${of}`)).json).toEqual({ scope: 'actor', deleted: 1 });
  });

  it('of an actor is its owner\'s alone, and what owners share only the role system reaches', async () => {
    const served = await serve({ worker: false, authenticate });
    const as = (who: string) => ({ authorization: who });
    const { json } = await served.request('POST', '/v1/sessions', { agent: 'tester' }, as('ada'));
    const at = `/v1/sessions/${json.session.id}/state`;
    const actor = 'actorType=user&actorId=carol';
    await served.request('PUT', `${at}/actor/k?${actor}`, { value: 'of ada' }, as('ada'));
    expect((await served.request('GET', `/v1/state/actor/k?agent=tester&${actor}`, undefined, as('ada'))).json).toMatchObject({ value: 'of ada' });
    expect(await served.request('GET', `/v1/state/actor/k?agent=tester&${actor}`, undefined, as('bob'))).toMatchObject({ status: 404, json: { code: 'state_not_found' } });
    expect(await served.request('GET', `/v1/state/actor/k?agent=tester&owner=ada&${actor}`, undefined, as('bob'))).toMatchObject({ status: 400, json: { code: 'state_identity_missing' } });
    expect((await served.request('GET', `/v1/state/actor/k?agent=tester&owner=ada&${actor}`, undefined, as('operator'))).json).toMatchObject({ value: 'of ada' });
    expect(await served.request('GET', `${at}/actor/k?${actor}`, undefined, as('bob'))).toMatchObject({ status: 404, json: { code: 'session_not_found' } });
    expect(await served.request('PUT', `${at}/agent/k`, { value: 1 }, as('ada'))).toMatchObject({ status: 403, json: { code: 'state_scope_off' } });
    await served.request('PUT', `${at}/agent/k`, { value: 1 }, as('operator'));
    expect((await served.request('GET', at, undefined, as('ada'))).json).toMatchObject({ agent: {} });
    expect((await served.request('GET', at, undefined, as('operator'))).json).toMatchObject({ agent: { k: 1 } });
  });
});
