import { describe, expect, it } from 'vitest';
import { gate } from '../../src/testing/gate.ts';
import { everySession, serve, type Reply, type Served } from '../support/http-server.ts';

const times = 20;

function atOnce(send: () => Promise<Reply>): Promise<readonly Reply[]> {
  return Promise.all(Array.from({ length: times }, send));
}

/** All have the same status and body; all but one say that they are repetitions. */
function expectOneEffect(replies: readonly Reply[], status: number): void {
  expect(new Set(replies.map((reply) => reply.text)).size).toBe(1);
  expect(replies.map((reply) => reply.status)).toEqual(replies.map(() => status));
  expect(replies.filter(({ headers }) => headers.get('idempotent-replayed') === 'true')).toHaveLength(replies.length - 1);
}

async function kindsOf({ request }: Served, id: string, kind: string): Promise<number> {
  const { json } = await request('GET', `/v1/sessions/${id}/entries?limit=100`);
  return json.items.filter((entry) => entry.kind === kind).length;
}

describe('a request that is sent twenty times at once', () => {
  it('has one effect and one reply by its Idempotency-Key', async () => {
    const served = await serve();
    const id = await served.newSession();
    const replies = await atOnce(() => served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hello' }, { 'idempotency-key': 'once' }));
    expectOneEffect(replies, 202);
    await served.request('GET', `/v1/sessions/${id}/turns/${replies[0]?.json.turnId ?? ''}?waitMs=10000`);
    expect(await kindsOf(served, id, 'user-message')).toBe(1);
    expect(served.model.calls).toHaveLength(1);
  });

  it('deletes once and says so each time, though the session is gone', async () => {
    const served = await serve();
    const id = await served.newSession();
    expectOneEffect(await atOnce(() => served.request('DELETE', `/v1/sessions/${id}`, undefined, { 'idempotency-key': 'once' })), 200);
    expect((await served.request('DELETE', `/v1/sessions/${id}`)).json.code).toBe('session_not_found');
  });

  it('has one effect and one reply by its message id', async () => {
    const served = await serve();
    const id = await served.newSession();
    const replies = await atOnce(() => served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hello', messageId: 'm-1' }));
    expectOneEffect(replies, 202);
    expect(replies[0]?.json.messageId).toBe('m-1');
    await served.request('GET', `/v1/sessions/${id}/turns/${replies[0]?.json.turnId ?? ''}?waitMs=10000`);
    expect(await kindsOf(served, id, 'user-message')).toBe(1);
  });

  it('creates one session, with one first turn', async () => {
    const served = await serve();
    const replies = await atOnce(() => served.request('POST', '/v1/sessions', { agent: 'tester', message: { text: 'hello' } }, { 'idempotency-key': 'create-once' }));
    expectOneEffect(replies, 201);
    expect(await everySession(served)).toMatchObject({ count: 1, items: [{ turns: 1 }] });
  });

  it('creates one session by its external id, and says of the others that it was there', async () => {
    const served = await serve();
    const replies = await atOnce(() => served.request('POST', '/v1/sessions', { agent: 'tester', externalId: 'chat-7' }));
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(times - 1);
    expect(new Set(replies.map(({ json }) => json.session.id)).size).toBe(1);
    expect(await everySession(served)).toMatchObject({ count: 1 });
  });

  it('queues once, stops once, edits once', async () => {
    const held = gate();
    const served = await serve({ script: [[{ gate: held }, { text: 'late' }]] });
    const id = await served.newSession({ message: { text: 'hello' } });
    expectOneEffect(await atOnce(() => served.request('POST', `/v1/sessions/${id}/messages`, { text: 'next', messageId: 'm-2' }, { 'idempotency-key': 'q' })), 202);
    expectOneEffect(await atOnce(() => served.request('PATCH', `/v1/sessions/${id}/queue/m-2`, { text: 'other' }, { 'idempotency-key': 'e' })), 200);
    expect(await kindsOf(served, id, 'message-queued')).toBe(1);
    expect(await kindsOf(served, id, 'queued-message-edited')).toBe(1);
    const stopped = await atOnce(() => served.request('POST', `/v1/sessions/${id}/stop`, { holdQueue: true }, { 'idempotency-key': 's' }));
    expectOneEffect(stopped, 200);
    expect(stopped[0]?.json.stopped).toBe(true);
    expect(await kindsOf(served, id, 'turn-ended')).toBe(1);
    held.open();
  });
});

describe('a key', () => {
  it('does not depend on the order of the fields', async () => {
    const served = await serve();
    const headers = { 'idempotency-key': 'k' };
    const first = await served.request('POST', '/v1/sessions', '{"agent":"tester","metadata":{"a":1,"b":2}}', headers);
    const second = await served.request('POST', '/v1/sessions', '{ "metadata": {"b":2, "a":1}, "agent": "tester" }', headers);
    expect(second.text).toBe(first.text);
  });

  it('with another body is refused, and changes nothing', async () => {
    const served = await serve();
    const id = await served.newSession();
    const first = await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'one' }, { 'idempotency-key': 'k' });
    await served.request('GET', `/v1/sessions/${id}/turns/${first.json.turnId}?waitMs=10000`);
    const before = await everySession(served);
    const other = await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'two' }, { 'idempotency-key': 'k' });
    expect(other).toMatchObject({ status: 422, json: { code: 'idempotency_mismatch' } });
    expect(await everySession(served)).toEqual(before);
  });

  it('may be a message id, which with another body is refused as well', async () => {
    const served = await serve();
    const id = await served.newSession();
    await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'one', messageId: 'm' });
    expect(await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'two', messageId: 'm' })).toMatchObject({ status: 422, json: { code: 'idempotency_mismatch' } });
    expect(await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'one', messageId: 'm' }, { 'idempotency-key': 'new' })).toMatchObject({ status: 409, json: { code: 'message_id_taken' } });
  });

  it('of a message is taken in a fork of its session too, and one that Holdfast gave is nobody else\'s', async () => {
    const served = await serve();
    const id = await served.newSession();
    await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'one', messageId: 'm' });
    const { id: fork } = (await served.request('POST', `/v1/sessions/${id}/fork`, {})).json.session;
    expect(await served.request('POST', `/v1/sessions/${fork}/messages`, { text: 'one', messageId: 'm' })).toMatchObject({ status: 422, json: { code: 'idempotency_mismatch' } });
    const { messageId } = (await served.request('POST', `/v1/sessions/${fork}/messages`, { text: 'two' })).json;
    expect(await served.request('POST', `/v1/sessions/${fork}/messages`, { text: 'three', messageId })).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
  });

  it('is one of its session and its command', async () => {
    const served = await serve();
    const headers = { 'idempotency-key': 'k' };
    const [one, two] = [await served.newSession(), await served.newSession()];
    const replies = [
      await served.request('POST', `/v1/sessions/${one}/messages`, { text: 'hi' }, headers), await served.request('POST', `/v1/sessions/${two}/messages`, { text: 'hi' }, headers),
      await served.request('POST', `/v1/sessions/${one}/queue/hold`, {}, headers),
    ];
    expect(replies.map(({ status }) => status)).toEqual([202, 202, 200]);
    expect(replies.map((reply) => reply.headers.get('idempotent-replayed'))).toEqual([null, null, null]);
  });

  it('is looked at before the revision and the status', async () => {
    const served = await serve();
    const id = await served.newSession();
    const send = () => served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' }, { 'idempotency-key': 'k', 'if-match': '"1"' });
    const first = await send();
    await served.request('GET', `/v1/sessions/${id}/turns/${first.json.turnId}?waitMs=10000`);
    await served.request('POST', `/v1/sessions/${id}/end`);
    const again = await send();
    expect({ status: again.status, text: again.text }).toEqual({ status: 202, text: first.text });
  });

  it('of a refused request is free: refusals are not kept', async () => {
    const served = await serve();
    const id = await served.newSession();
    await served.request('PATCH', `/v1/sessions/${id}`, { archived: true });
    const send = () => served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' }, { 'idempotency-key': 'k' });
    expect((await send()).json.code).toBe('session_archived');
    await served.request('PATCH', `/v1/sessions/${id}`, { archived: false });
    expect((await send()).status).toBe(202);
  });
});

describe('the revision', () => {
  it('in If-Match refuses a command when the session has moved on', async () => {
    const served = await serve();
    const id = await served.newSession();
    const seen = await served.request('GET', `/v1/sessions/${id}`);
    expect(seen.headers.get('etag')).toBe(`"${seen.json.revision}"`);
    const sent = await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' }, { 'if-match': seen.headers.get('etag') ?? '' });
    expect(sent.status).toBe(202);
    expect(sent.headers.get('etag')).toBe(`"${sent.json.revision}"`);
    await served.request('GET', `/v1/sessions/${id}/turns/${sent.json.turnId}?waitMs=10000`);
    const before = await everySession(served);
    const late = { 'if-match': seen.headers.get('etag') ?? '' };
    const actual = (await served.request('GET', `/v1/sessions/${id}`)).json.revision;
    for (const reply of [
      await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' }, late), await served.request('POST', `/v1/sessions/${id}/stop`, {}, late),
      await served.request('POST', `/v1/sessions/${id}/end`, {}, late), await served.request('PATCH', `/v1/sessions/${id}`, { title: 'x' }, late),
      await served.request('POST', `/v1/sessions/${id}/queue/hold`, {}, late), await served.request('DELETE', `/v1/sessions/${id}`, undefined, late),
    ]) {
      expect(reply).toMatchObject({ status: 409, json: { code: 'revision_conflict', expected: 1, actual } });
    }
    expect(await everySession(served)).toEqual(before);
    expect((await served.request('DELETE', `/v1/sessions/${id}`, undefined, { 'if-match': `${actual}` })).json).toEqual({ deleted: true });
  });

  it('is not moved by a title', async () => {
    const served = await serve();
    const id = await served.newSession();
    expect((await served.request('PATCH', `/v1/sessions/${id}`, { title: 'A title' }, { 'if-match': '1' })).json).toEqual({ revision: 1 });
    expect((await served.request('PATCH', `/v1/sessions/${id}`, { title: null }, { 'if-match': '"1"' })).json).toEqual({ revision: 1 });
  });
});
