import { describe, expect, it } from 'vitest';
import { agent } from '../../src/index.ts';
import { scriptedModel } from '../../src/testing/index.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { stores } from '../support/stores.ts';

describe.each(stores)('on $name, a keyed request that finds the session which it would have created', (kind) => {
  async function served() {
    const holdfast = await openHoldfast({ agents: [agent({ name: 'demo', model: scriptedModel([], { otherwise: 'yes' }) })], store: await kind.newUrl() });
    return async (path: string, body: object, key?: string, method = 'POST') => {
      const response = await holdfast.fetch(new Request(`http://localhost/v1/sessions${path}`, { method, headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) }, ...(method === 'POST' ? { body: JSON.stringify(body) } : {}) }));
      // What may be redacted is told as it is now, in every reply.
      const json = JSON.parse(await response.text(), (name, value: unknown) => (name === 'preview' ? null : value)) as object;
      return { status: response.status, replayed: response.headers.get('idempotent-replayed') === 'true', json: json as Record<string, never> & { readonly session: { readonly id: string; readonly turns: number }; readonly sessionId: string; readonly code?: string } };
    };
  }

  it('gives its first reply again, whatever the session has become, and takes no other body', async () => {
    const send = await served();
    const { json: { session: { id } } } = await send('', { agent: 'demo', externalId: 'chat' });
    const first = await send('', { agent: 'demo', externalId: 'chat' }, 'k');
    expect([first.status, first.replayed, first.json.session.id]).toEqual([200, false, id]);
    await send(`/${id}/messages`, { text: 'more' });
    const again = await send('', { agent: 'demo', externalId: 'chat' }, 'k');
    expect([again.status, again.replayed, again.json]).toEqual([200, true, first.json]);
    expect(await send('', { agent: 'demo', externalId: 'other' }, 'k')).toMatchObject({ status: 422, json: { code: 'idempotency_mismatch' } });
  });

  it('sends its message once, and creates no second session once the first is deleted', async () => {
    const send = await served();
    const body = { agent: 'demo', externalId: 'chat', message: { text: 'hello', messageId: 'm-1' } };
    const { json: { session: { id } } } = await send('', { agent: 'demo', externalId: 'chat' });
    const replies = await Promise.all(Array.from({ length: 10 }, () => send('', body, 'k')));
    expect(new Set(replies.map(({ status, json }) => JSON.stringify([status, json]))).size).toBe(1);
    expect(replies.filter(({ replayed }) => !replayed)).toHaveLength(1);
    const { json: { session: { turns } } } = await send('', { agent: 'demo', externalId: 'chat' });
    expect(turns).toBe(1);
    await send(`/${id}`, {}, undefined, 'DELETE');
    expect(await send('', body, 'k')).toMatchObject({ status: 200, replayed: true, json: { session: { id } } });
    expect((await send(`/${id}`, {}, undefined, 'GET')).status).toBe(404);
  });

  it('finds the same fork again', async () => {
    const send = await served();
    const { json: { session: { id } } } = await send('', { agent: 'demo' });
    const made = await send(`/${id}/fork`, { externalId: 'copy' });
    const found = await send(`/${id}/fork`, { externalId: 'copy' }, 'k');
    expect([found.status, found.replayed, found.json.sessionId]).toEqual([200, false, made.json.sessionId]);
    await send(`/${made.json.sessionId}/messages`, { text: 'more' });
    expect(await send(`/${id}/fork`, { externalId: 'copy' }, 'k')).toEqual({ ...found, replayed: true });
    expect(await send(`/${id}/fork`, { externalId: 'elsewhere' }, 'k')).toMatchObject({ status: 422 });
  });
});
