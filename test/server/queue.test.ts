import { describe, expect, it } from 'vitest';
import { gate, type Gate } from '../../src/testing/gate.ts';
import { limits } from '../../src/core/limits.ts';
import { serve, type Served } from '../support/http-server.ts';

/** A session whose turn runs until the gate opens, with messages waiting. */
async function busy(ids: readonly string[]): Promise<{ readonly served: Served; readonly path: string; readonly held: Gate }> {
  const held = gate();
  const served = await serve({ script: [[{ gate: held }, { text: 'first' }]] });
  const path = `/v1/sessions/${await served.newSession({ message: { text: 'hi' } })}`;
  for (const messageId of ids) await served.request('POST', `${path}/messages`, { text: `text of ${messageId}`, messageId });
  return { served, path, held };
}

describe('the queue', () => {
  it('shows the waiting messages with what they say', async () => {
    const { served, path, held } = await busy(['a']);
    await served.request('POST', `${path}/messages`, { parts: [{ type: 'text', text: 'with ' }, { type: 'file', mediaType: 'image/png', url: 'https://x.example/y.png' }, { type: 'text', text: 'a file' }], messageId: 'b', actor: { type: 'user', id: 'u' } });
    const queue = await served.request('GET', `${path}/queue`);
    expect(queue.json).toMatchObject({
      held: false,
      items: [{ messageId: 'a', text: 'text of a', parts: [{ type: 'text', text: 'text of a' }] }, { messageId: 'b', text: 'with a file', actor: { type: 'user', id: 'u' } }],
    });
    expect(queue.headers.get('etag')).toBe(`"${queue.json.revision}"`);
    held.open();
  });

  it('is edited, moved and emptied', async () => {
    const { served, path, held } = await busy(['a', 'b', 'c']);
    expect((await served.request('PATCH', `${path}/queue/b`, { text: 'other words' })).json.messageIds).toEqual(['a', 'b', 'c']);
    expect((await served.request('POST', `${path}/queue/c/promote`)).json.messageIds).toEqual(['c', 'a', 'b']);
    expect((await served.request('DELETE', `${path}/queue/a`)).json.messageIds).toEqual(['c', 'b']);
    expect((await served.request('GET', `${path}/queue`)).json.items.map(({ messageId, text }) => [messageId, text])).toEqual([['c', 'text of c'], ['b', 'other words']]);
    for (const [method, rest, body] of [['PATCH', '/queue/a', { text: 'x' }], ['DELETE', '/queue/a', undefined], ['POST', '/queue/a/promote', undefined]] as const) {
      expect(await served.request(method, `${path}${rest}`, body)).toMatchObject({ status: 404, json: { code: 'message_not_found' } });
    }
    held.open();
  });

  it('takes message ids with any character', async () => {
    const { served, path, held } = await busy(['a/b %?', 'hold']);
    expect((await served.request('PATCH', `${path}/queue/${encodeURIComponent('a/b %?')}`, { text: 'x' })).status).toBe(200);
    expect((await served.request('DELETE', `${path}/queue/hold`)).json.messageIds).toEqual(['a/b %?']);
    expect((await served.request('POST', `${path}/queue/${encodeURIComponent('a/b %?')}/promote`)).status).toBe(200);
    held.open();
  });

  it('waits while it is held, and goes on when it is released', async () => {
    const { served, path, held } = await busy(['a']);
    const turnId = (await served.request('GET', `${path}/queue`)).json.items[0]?.turnId ?? '';
    expect((await served.request('POST', `${path}/queue/hold`)).json).toMatchObject({ held: true, messageIds: ['a'] });
    const stopped = await served.request('POST', `${path}/stop`);
    expect(stopped.json.stopped).toBe(true);
    expect((await served.request('GET', path)).json).toMatchObject({ status: 'idle', queue: { held: true, count: 1 } });
    expect((await served.request('POST', `${path}/queue/release`, {})).json).toMatchObject({ held: false, messageIds: [] });
    expect((await served.request('GET', `${path}/turns/${turnId}?waitMs=10000`)).json).toMatchObject({ status: 'ended', reason: 'complete' });
    held.open();
  });

  it('of an archived session is not released', async () => {
    const { served, path, held } = await busy(['a']);
    await served.request('POST', `${path}/stop`, { holdQueue: true });
    await served.request('PATCH', path, { archived: true });
    expect(await served.request('POST', `${path}/queue/release`)).toMatchObject({ status: 409, json: { code: 'session_archived' } });
    held.open();
  });

  it('takes twenty messages and drops none for another', async () => {
    const ids = Array.from({ length: limits.queueMessagesMax }, (_, place) => `m${place}`);
    const { served, path, held } = await busy(ids);
    const full = await served.request('POST', `${path}/messages`, { text: 'one more' });
    expect(full).toMatchObject({ status: 429, json: { code: 'queue_full', max: limits.queueMessagesMax } });
    expect(full.headers.get('retry-after')).toBe('5');
    expect((await served.request('GET', `${path}/queue`)).json.items.map(({ messageId }) => messageId)).toEqual(ids);
    held.open();
  });

  it('that went on meanwhile refuses a change by If-Match', async () => {
    const { served, path, held } = await busy(['a', 'b']);
    const seen = (await served.request('GET', `${path}/queue`)).headers.get('etag') ?? '';
    await served.request('DELETE', `${path}/queue/b`);
    expect(await served.request('PATCH', `${path}/queue/a`, { text: 'x' }, { 'if-match': seen })).toMatchObject({ status: 409, json: { code: 'revision_conflict' } });
    held.open();
  });
});
