import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tool } from '../../src/agent/tool.ts';
import { limits } from '../../src/core/limits.ts';
import { everySession, serve } from '../support/http-server.ts';
import { pause, serveSession } from '../support/paused-turn.ts';
import { rawRequest } from '../support/raw-request.ts';

const nested = (levels: number): string => `${'{"metadata":'.repeat(levels)}0${'}'.repeat(levels)}`;
const message = (text: string): string => `{"agent":"tester","message":{"text":${text}}}`;

/** Bodies of POST /v1/sessions that are refused: what is wrong, the body, and what the detail says of it. */
const bodies: readonly (readonly [what: string, body: string, detail: RegExp])[] = [
  ['no JSON', '{"agent": "tester"', /the body is not JSON/],
  ['a word', 'tester', /the body is not JSON/],
  ['a JSON string', '"tester"', /expected object/i],
  ['an array', '[]', /expected object/i],
  ['null', 'null', /expected object/i],
  ['nothing', '', /has no body/],
  ['65 levels', nested(65), /nests deeper than 64 levels at metadata\.metadata/],
  ['100,000 levels', '['.repeat(100_000) + ']'.repeat(100_000), /nests deeper than 64 levels at \[0\]\[0\]/],
  ['__proto__', '{"agent":"tester","metadata":{"a":[{"__proto__":{"admin":true}}]}}', /has the key __proto__, which is not taken, at metadata\.a\[0\]/],
  ['__proto__ in escapes', String.raw`{"agent":"tester","\u005f_proto__":1}`, /has the key __proto__, which is not taken, at its top/],
  ['constructor.prototype', '{"agent":"tester","metadata":{"constructor":{"prototype":{}}}}', /constructor\.prototype, which is not taken, at metadata/],
  ['a NUL', message(String.raw`"a\u0000b"`), /has a NUL, which no store keeps, at message\.text/],
  ['a NUL in a key', String.raw`{"agent":"tester","metadata":{"a\u0000":1}}`, /has a key with a NUL, which no store keeps, at metadata/],
  ['a lone surrogate', message(String.raw`"\ud83d"`), /has a lone surrogate, which is no Unicode text, at message\.text/],
  ['a number out of range', '{"agent":"tester","metadata":{"n":1e999}}', /has a number too large for its readers at metadata\.n/],
  ['an unknown field', '{"agent":"tester","titel":"x"}', /titel/],
  ['a missing field', '{}', /agent/],
  ['a field of the wrong type', '{"agent":7}', /agent/],
  ['text and parts', '{"agent":"tester","message":{"text":"a","parts":[{"type":"text","text":"a"}]}}', /exactly one of text and parts/],
  ['an external id like a session id', '{"agent":"tester","externalId":"ses_1"}', /externalId/],
  ['an external id of 256 characters', `{"agent":"tester","externalId":"${'x'.repeat(256)}"}`, /externalId/],
  ['a file with a URL of another scheme', '{"agent":"tester","message":{"parts":[{"type":"file","mediaType":"text/plain","url":"file:///etc/passwd"}]}}', /url/i],
];

describe('a body that cannot be taken', () => {
  it.each(bodies)('is refused with a reason and changes nothing: %s', async (_what, body, detail) => {
    const served = await serve();
    const before = await everySession(served);
    const reply = await served.request('POST', '/v1/sessions', body);
    expect(reply.status).toBe(400);
    expect(reply.json.code).toBe('invalid_request');
    expect(reply.json.detail).toMatch(detail);
    expect(await everySession(served)).toEqual(before);
  });

  it('is refused by every command before it does anything', async () => {
    const served = await serve();
    const id = await served.newSession();
    const before = await everySession(served);
    const commands = [
      ['POST', `/v1/sessions/${id}/messages`], ['PATCH', `/v1/sessions/${id}`], ['DELETE', `/v1/sessions/${id}`], ['POST', `/v1/sessions/${id}/stop`], ['POST', `/v1/sessions/${id}/end`],
      ['POST', `/v1/sessions/${id}/queue/hold`], ['POST', `/v1/sessions/${id}/queue/release`], ['PATCH', `/v1/sessions/${id}/queue/m`], ['DELETE', `/v1/sessions/${id}/queue/m`], ['POST', `/v1/sessions/${id}/queue/m/promote`],
      ['POST', `/v1/sessions/${id}/actions`], ['POST', `/v1/sessions/${id}/actions/act_3_0`], ['POST', '/v1/operations/op_1/cancel'], ['POST', '/v1/operations/op_1/complete'],
    ] as const;
    for (const [method, path] of commands) {
      expect((await served.request(method, path, '{"__proto__":{}}')).json.detail, path).toMatch(/__proto__|takes no body/);
      expect((await served.request(method, path, '{"nobody":"knows"}')).json, path).toMatchObject({ code: 'invalid_request', detail: expect.stringMatching(/nobody|takes no body|^decisions: |^type: |exactly one of/) as string });
      expect((await served.request(method, path, '{}', { 'idempotency-key': 'two words' })).json.detail, path).toMatch(/Idempotency-Key/);
    }
    expect(await everySession(served)).toEqual(before);
  });

  it('may nest to 64 levels', async () => {
    const served = await serve();
    const metadata = `${'{"a":'.repeat(62)}{}${'}'.repeat(62)}`;
    expect((await served.request('POST', '/v1/sessions', `{"agent":"tester","metadata":${metadata}}`)).status).toBe(201);
    const reply = await served.request('POST', '/v1/sessions', `{"agent":"tester","metadata":{"a":${metadata}}}`);
    expect(reply.json.detail).toMatch(/nests deeper than 64/);
  });

  it('may say a key twice, as JSON allows', async () => {
    const served = await serve();
    const reply = await served.request('POST', '/v1/sessions', '{"agent":"nobody","agent":"tester","metadata":{"refused":true}}');
    expect(reply.json.session.metadata).toEqual({ refused: true });
  });
});

describe('the bytes of a body', () => {
  const invalid = (text: string, ...bytes: readonly number[]) => Buffer.concat([Buffer.from(`{"agent":"tester","title":"${text}`), Buffer.from(bytes), Buffer.from('"}')]);

  it.each([
    ['a byte that begins nothing', invalid('ab', 0xff), 28],
    ['an overlong form', invalid('ab', 0xc0, 0x80), 28],
    ['a surrogate', invalid('', 0xed, 0xa0, 0x80), 26],
    ['a character that is cut', Buffer.from('{"agent":"tester","title":"é').subarray(0, -1), 27],
  ] as const)('are refused where they are not UTF-8: %s', async (_what, bytes, from) => {
    const served = await serve();
    const before = await everySession(served);
    const reply = await served.request('POST', '/v1/sessions', bytes);
    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid_request', detail: expect.stringMatching(/not UTF-8, near byte \d+/) as string } });
    expect(Math.abs(reply.json.byte - from)).toBeLessThanOrEqual(2);
    expect(await everySession(served)).toEqual(before);
  });

  it('are refused over a raw connection as well', async () => {
    const served = await serve();
    const body = invalid('ab', 0xff);
    const reply = await rawRequest(served.url, [`POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`, body]);
    expect(reply).toMatch(/^HTTP\/1\.1 400 /);
    expect(reply).toContain('"code":"invalid_request"');
  });

  it('are at most a million, as announced', async () => {
    const served = await serve();
    const before = await everySession(served);
    const reply = await served.request('POST', '/v1/sessions', `{"agent":"tester","title":"${'x'.repeat(limits.bodyBytesMax)}"}`);
    expect(reply).toMatchObject({ status: 413, json: { code: 'body_too_large', maxBytes: limits.bodyBytesMax } });
    expect(await everySession(served)).toEqual(before);
  });

  it('are taken up to the last one', async () => {
    const served = await serve();
    const head = '{"agent":"tester"';
    expect((await served.request('POST', '/v1/sessions', `${head}${' '.repeat(limits.bodyBytesMax - head.length - 1)}}`)).status).toBe(201);
    expect((await served.request('POST', '/v1/sessions', `${head}${' '.repeat(limits.bodyBytesMax - head.length)}}`)).status).toBe(413);
  });

  it('are counted as they come where nothing announces them, and the rest is not read', async () => {
    const served = await serve();
    const before = await everySession(served);
    const chunk = Buffer.from(`10000\r\n${' '.repeat(0x10000)}\r\n`);
    // Far more than may come, and no end.
    const reply = await rawRequest(served.url, ['POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n', ...Array.from({ length: 40 }, () => chunk)]);
    expect(reply).toMatch(/^HTTP\/1\.1 413 /);
    expect(reply).toContain('"code":"body_too_large"');
    expect(await everySession(served)).toEqual(before);
  });

  it.each([
    ['another type', { 'content-type': 'text/plain' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['another charset', { 'content-type': 'application/json; charset=latin1' }],
    ['a type that only begins alike', { 'content-type': 'application/jsonp' }],
    ['a compressed body', { 'content-encoding': 'gzip' }],
  ])('are refused with 415: %s', async (_what, headers) => {
    const served = await serve();
    const before = await everySession(served);
    expect(await served.request('POST', '/v1/sessions', '{"agent":"tester"}', headers)).toMatchObject({ status: 415, json: { code: 'unsupported_media_type' } });
    expect(await everySession(served)).toEqual(before);
  });

  it('are refused with 415 where no type is named', async () => {
    const served = await serve();
    const reply = await rawRequest(served.url, ['POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 18\r\nconnection: close\r\n\r\n', '{"agent":"tester"}']);
    expect(reply).toMatch(/^HTTP\/1\.1 415 /);
  });

  it('may name UTF-8', async () => {
    const served = await serve();
    expect((await served.request('POST', '/v1/sessions', '{"agent":"tester"}', { 'content-type': 'Application/JSON; charset="UTF-8"' })).status).toBe(201);
  });

  it('may be missing where a command needs none', async () => {
    const served = await serve();
    const id = await served.newSession();
    expect((await served.request('POST', `/v1/sessions/${id}/stop`)).json).toEqual({ stopped: false, turnId: null, revision: 1 });
    expect((await served.request('POST', `/v1/sessions/${id}/messages`)).json.detail).toMatch(/has no body/);
  });
});

describe('headers and parameters', () => {
  it.each(['', ' ', 'x'.repeat(256), 'a b', 'a\tb'])('refuse the Idempotency-Key %j', async (key) => {
    const served = await serve();
    const reply = await served.request('POST', '/v1/sessions', { agent: 'tester' }, { 'idempotency-key': key });
    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid_request', header: 'Idempotency-Key' } });
  });

  it.each(['W/"1"', '"1', '*', '"1", "2"', '-1', '1.5', '0x1', 'abc', '""', '1'.repeat(16)])('refuse the If-Match %j', async (ifMatch) => {
    const served = await serve();
    const id = await served.newSession();
    const before = await everySession(served);
    const reply = await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' }, { 'if-match': ifMatch });
    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid_request', header: 'If-Match' } });
    expect(await everySession(served)).toEqual(before);
  });

  it('refuse an If-Match where there is no revision yet', async () => {
    const served = await serve();
    expect(await served.request('POST', '/v1/sessions', { agent: 'tester' }, { 'if-match': '1' })).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
  });

  it.each([
    ['/v1/sessions?limit=0', /limit/], ['/v1/sessions?limit=101', /limit/], ['/v1/sessions?limit=ten', /limit/], ['/v1/sessions?limit=', /limit/], ['/v1/sessions?limit=1e1', /limit/],
    ['/v1/sessions?limit=5&limit=6', /twice/], ['/v1/sessions?staus=idle', /staus/], ['/v1/sessions?status=asleep', /status/], ['/v1/sessions?archived=1', /archived/], ['/v1/sessions?count=yes', /count/],
    ['/v1/sessions?cursor=xyz', /no cursor/], ['/v1/sessions?__proto__=1', /__proto__/], ['/v1/agents?x=1', /"x"/],
    ['/v1/sessions/ID/messages?before=-1', /before/], ['/v1/sessions/ID/messages?before=0', /before/], ['/v1/sessions/ID/entries?after=x', /after/], ['/v1/sessions/ID/turns?limit=1000', /limit/],
    ['/v1/sessions/ID/operations?status=asleep', /status/], ['/v1/sessions/ID/operations?limit=0', /limit/], ['/v1/sessions/ID/actions?all=1', /all/],
    ['/v1/sessions/ID/turns/t?waitMs=60001', /waitMs/], ['/v1/sessions/ID/events?afer=now', /afer/],
  ])('refuse the query of %s', async (path, detail) => {
    const served = await serve();
    const reply = await served.request('GET', path.replace('ID', await served.newSession()));
    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid_request', detail: expect.stringMatching(detail) as string } });
  });

  it('refuse a path that is not URL-encoded UTF-8', async () => {
    const served = await serve();
    const reply = await rawRequest(served.url, ['GET /v1/sessions/%ff HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n']);
    expect(reply).toMatch(/^HTTP\/1\.1 400 /);
    expect(reply).toContain('"code":"invalid_request"');
  });

  it('refuse an address that is none', async () => {
    const served = await serve();
    const reply = await rawRequest(served.url, ['GET /\\evil HTTP/1.1\r\nhost: local host\r\nconnection: close\r\n\r\n']);
    expect(reply).toMatch(/^HTTP\/1\.1 400 /);
    expect(reply).toContain('"code":"invalid_request"');
  });

  it('find no session by a name that none can have', async () => {
    const served = await serve();
    for (const id of ['ses_0', 'nobody', '%00', 'x'.repeat(300), '%F0%9F%92%A9']) {
      expect((await served.request('GET', `/v1/sessions/${id}`)).json.code).toBe('session_not_found');
      expect((await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' })).json.code).toBe('session_not_found');
    }
  });
});

/** Answers to an approval `act_3_0` of the tool `refund {amount}` that are refused: what is wrong, the body, the code and what the detail says of it. */
const wrongAnswers: readonly (readonly [what: string, body: unknown, status: number, code: string, detail: RegExp])[] = [
  ['no type', {}, 400, 'invalid_request', /type/],
  ['a type that there is not', { type: 'allow' }, 400, 'invalid_request', /type/],
  ['a list', [{ type: 'approve' }], 400, 'invalid_request', /object/],
  ['a field that nobody knows', { type: 'approve', inptu: {} }, 400, 'invalid_request', /inptu/],
  ['the field of another answer', { type: 'deny', output: 1 }, 400, 'invalid_request', /output/],
  ['a result without an output', { type: 'result' }, 400, 'invalid_request', /output/],
  ['an answer without a value', { type: 'answer' }, 400, 'invalid_request', /value/],
  ['an error without a text', { type: 'error', errorText: '' }, 400, 'invalid_request', /errorText/],
  ['an error of 4,001 characters', { type: 'error', errorText: 'x'.repeat(limits.errorTextCharsMax + 1) }, 400, 'invalid_request', /errorText/],
  ['a reason of 4,001 characters', { type: 'deny', reason: 'x'.repeat(limits.errorTextCharsMax + 1) }, 400, 'invalid_request', /reason/],
  ['a reason that is no text', { type: 'deny', reason: 7 }, 400, 'invalid_request', /reason/],
  ['a hash that is no text', { type: 'approve', inputHash: 7 }, 400, 'invalid_request', /inputHash/],
  ['a NUL', String.raw`{"type":"deny","reason":"a\u0000"}`, 400, 'invalid_request', /NUL/],
  ['a lone surrogate', String.raw`{"type":"approve","input":{"amount":"\ud83d"}}`, 400, 'invalid_request', /surrogate/],
  ['a prototype', '{"type":"approve","input":{"__proto__":{}}}', 400, 'invalid_request', /__proto__/],
  ['an input that the tool does not take', { type: 'approve', input: { amount: 'x' } }, 400, 'invalid_request', /^input\.amount is not as refund takes it/],
  ['an input that is null', { type: 'approve', input: null }, 400, 'invalid_request', /^input is not as refund takes it/],
  ['the answer of a client tool', { type: 'result', output: 1 }, 409, 'action_mismatch', /takes approve, deny, not result/],
  ['the answer to a question', { type: 'answer', value: 1 }, 409, 'action_mismatch', /not answer/],
  ['the hash of another input', { type: 'approve', inputHash: 'x'.repeat(43) }, 409, 'action_mismatch', /bound to the input/],
];

describe('an answer that cannot be taken', () => {
  const refund = tool({ inputSchema: z.object({ amount: z.number() }), needsApproval: true, execute: () => 'refunded' });

  async function asked() {
    const session = await serveSession({ script: [[{ call: 'refund', input: { amount: 5 } }], 'done'], agent: { tools: { refund } } });
    const { action } = await pause(session);
    expect(action.id).toBe('act_3_0');
    const state = async () => ({ session: (await session.get('')).json, entries: await session.entries(), actions: await session.actions() });
    return { ...session, state };
  }

  it.each(wrongAnswers)('is refused, alone and with others, and changes nothing: %s', async (_what, body, status, code, detail) => {
    const session = await asked();
    const before = await session.state();
    const expected = { status, json: { code, detail: expect.stringMatching(detail) as string } };
    expect(await session.post('/actions/act_3_0', body)).toMatchObject(expected);
    const decision = typeof body === 'string' ? `{"decisions":[{"actionId":"act_3_0",${body.slice(1)}]}` : { decisions: [Array.isArray(body) ? body : { ...(body as object), actionId: 'act_3_0' }] };
    expect(await session.post('/actions', decision)).toMatchObject({ status, json: { code } });
    expect(await session.state()).toEqual(before);
  });

  it.each([
    ['none', { decisions: [] }, 400, 'invalid_request'], ['no list', { decisions: { actionId: 'act_3_0', type: 'approve' } }, 400, 'invalid_request'], ['no field', {}, 400, 'invalid_request'],
    ['one action twice', { decisions: [{ actionId: 'act_3_0', type: 'approve' }, { actionId: 'act_3_0', type: 'approve' }] }, 400, 'invalid_request'],
    ['one without an action', { decisions: [{ type: 'approve' }] }, 400, 'invalid_request'],
    ['one for an action that there is not', { decisions: [{ actionId: 'act_3_0', type: 'approve' }, { actionId: 'act_3_1', type: 'approve' }] }, 404, 'action_not_found'],
  ])('is refused among several, and changes nothing: %s', async (_what, body, status, code) => {
    const session = await asked();
    const before = await session.state();
    expect(await session.post('/actions', body)).toMatchObject({ status, json: { code } });
    expect(await session.state()).toEqual(before);
  });

  it.each(['act_3_1', 'act_2_0', 'act_1_0', 'act_0_0', 'act_4_0', 'act_3_0_9', 'act_999999999999999_0', 'act_3', 'ACT_3_0', 'x', '%00', 'x'.repeat(300)])('finds no action by the id %s, and changes nothing', async (actionId) => {
    const session = await asked();
    const before = await session.state();
    expect(await session.post(`/actions/${actionId}`, { type: 'approve' })).toMatchObject({ status: 404, json: { code: 'action_not_found' } });
    expect(await session.state()).toEqual(before);
  });

  it('is refused when it is larger than a body may be', async () => {
    const session = await asked();
    const before = await session.state();
    expect(await session.post('/actions/act_3_0', { type: 'result', output: 'x'.repeat(limits.bodyBytesMax) })).toMatchObject({ status: 413, json: { code: 'body_too_large' } });
    expect(await session.state()).toEqual(before);
  });

  it.each([{ whenBusy: 'later' }, { whenBusy: 'steer', text: 7 }, { clientTools: 'all' }])('is so of a message to a turn that waits: %j', async (fields) => {
    const session = await asked();
    const before = await session.state();
    expect(await session.post('/messages', { text: 'hi', ...fields })).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect(await session.post('/stop', { keepOperations: 'yes' })).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect(await session.state()).toEqual(before);
  });
});
