import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { completionToken, completionTokenHash } from '../../src/agent/completion-token.ts';
import { tool, type ExternalCompletion, type Principal, type ToolOptions } from '../../src/agent/tool.ts';
import type { Operation } from '../../src/core/operation.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import type { ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { isEntry, openEvents } from '../support/event-stream.ts';
import { eventually } from '../support/eventually.ts';
import type { Reply, ServedOptions } from '../support/http-server.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { pause, serveSession, type ServedSession } from '../support/paused-turn.ts';
import { rawRequest } from '../support/raw-request.ts';

const callExport: ScriptedGeneration = [{ call: 'export', input: {} }];

/** A tool whose operation somebody outside completes, and the address and token that it was given. */
function exportTool(mode: 'await' | 'detach', policy: object = {}) {
  const opened: ExternalCompletion[] = [];
  const exported = tool({
    inputSchema: z.object({}), background: mode, ...policy,
    execute: async (_input: object, options: ToolOptions) => {
      opened.push(await options.externalCompletion());
      return null;
    },
  });
  return { opened, tools: { export: exported } };
}

interface Exporting extends ServedSession {
  readonly turnId: string;
  readonly completion: ExternalCompletion;
  complete(body: object, headers?: Readonly<Record<string, string>>): Promise<Reply>;
}

/** A turn whose operation waits for somebody outside. */
async function exporting(mode: 'await' | 'detach', options: ServedOptions & { readonly policy?: object } = {}, headers: Readonly<Record<string, string>> = {}): Promise<Exporting> {
  const { policy, ...served } = options;
  const { opened, tools } = exportTool(mode, policy);
  const session = await serveSession({ script: [callExport, 'done'], agent: { tools }, ...served }, headers);
  const { turnId } = (await session.post('/messages', { text: 'go' })).json;
  const completion = await eventually('the token', () => opened[0]);
  await eventually('the wait for somebody outside', async () => (await readOperation(session, completion.operationId, headers)).external);
  return { ...session, turnId, completion, complete: (body, more = {}) => session.served.request('POST', completion.url, body, more) };
}

async function readOperation({ served }: ServedSession, id: string, headers: Readonly<Record<string, string>> = {}): Promise<Operation> {
  return (await served.request('GET', `/v1/operations/${id}`, undefined, headers)).json as unknown as Operation;
}

const bearer = ({ token }: ExternalCompletion) => ({ authorization: `Bearer ${token}` });

describe('an operation', () => {
  it('is read and listed with how far it is, and its turn waits for it', async () => {
    const held = gate();
    const index = tool({
      inputSchema: z.object({ count: z.number() }), background: 'await',
      execute: async (_input: { count: number }, options: ToolOptions) => {
        options.progress(0.5, 'half');
        await held.pass();
        return { indexed: 2 };
      },
    });
    const session = await serveSession({ script: [[{ call: 'index', input: { count: 2 } }], 'done'], agent: { tools: { index } } });
    const stream = await openEvents(`${session.served.url}${session.path}/events`);
    const { turnId } = (await session.post('/messages', { text: 'go' })).json;
    const seen = await stream.until(({ data }) => data?.type === 'operation' && data.operations[0]?.progress?.text === 'half');
    const id = seen.data?.type === 'operation' ? (seen.data.operations[0]?.id ?? '') : '';
    expect((await session.get('')).json).toMatchObject({ status: 'waiting', operations: { count: 1 }, actions: { count: 0 } });
    expect((await session.get(`/turns/${turnId}`)).json.status).toBe('waiting');
    expect(await readOperation(session, id)).toMatchObject({ id, sessionId: session.id, turnId, toolName: 'index', mode: 'await', status: 'running', attempts: 1, progress: { fraction: 0.5 }, result: null });
    expect((await session.get('/operations')).json).toMatchObject({ items: [{ id, status: 'running' }], nextCursor: null });
    held.open();
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(await readOperation(session, id)).toMatchObject({ status: 'succeeded', result: { outcome: 'done', output: { indexed: 2 } } });
    expect((await session.get('/operations?status=running')).json.items).toEqual([]);
    expect((await session.get('/operations?status=succeeded&limit=1')).json).toMatchObject({ items: [{ id }], nextCursor: null });
    await stream.until(isEntry('turn-ended'));
    await stream.until(({ data }) => data?.type === 'operation' && data.operations.length === 0);
  });

  it('does not end the stream of the message that led to it: the turn goes on by itself', async () => {
    const held = gate();
    const index = tool({ inputSchema: z.object({}), background: 'await', execute: () => held.pass().then(() => 'indexed') });
    const session = await serveSession({ script: [[{ call: 'index', input: {} }], 'done'], agent: { tools: { index } } });
    const stream = await openEvents(`${session.served.url}${session.path}/messages`, {
      method: 'POST', headers: { 'content-type': 'application/json', accept: 'text/event-stream' }, body: JSON.stringify({ text: 'go' }),
    });
    await stream.until(({ data }) => data?.type === 'status' && data.status === 'waiting');
    held.open();
    expect(await stream.ended).toBe('clean');
    expect(stream.frames.some(isEntry('turn-ended'))).toBe(true);
  });

  it('of several is on its page, the newest first', async () => {
    const index = tool({ inputSchema: z.object({}), background: 'detach', execute: () => new Promise<never>(() => undefined) });
    const session = await serveSession({ script: [[{ call: 'index', input: {} }, { call: 'index', input: {} }, { call: 'index', input: {} }], 'done'], agent: { tools: { index } }, worker: { stopGraceMs: 0 } });
    await session.settled((await session.post('/messages', { text: 'go' })).json.turnId);
    const all = (await session.get('/operations')).json.items.map(({ id }) => id);
    expect(all).toHaveLength(3);
    const first = (await session.get('/operations?limit=2')).json;
    expect(first.items.map(({ id }) => id)).toEqual(all.slice(0, 2));
    const second = (await session.get(`/operations?limit=2&before=${String(first.nextCursor)}`)).json;
    expect(second).toMatchObject({ items: [{ id: all[2] }], nextCursor: null });
    for (const id of all) await session.served.request('POST', `/v1/operations/${id}/cancel`);
  });

  it('that is not there is not found', async () => {
    const session = await serveSession();
    for (const id of ['op_0', '%00', 'x'.repeat(300)]) {
      for (const [method, rest, body] of [['GET', '', undefined], ['POST', '/cancel', {}], ['POST', '/complete', { output: 1, token: completionToken('default', 'x') }]] as const) {
        expect(await session.served.request(method, `/v1/operations/${id}${rest}`, body), rest).toMatchObject({ status: 404, json: { code: 'operation_not_found' } });
      }
    }
  });
});

describe('an operation wakes who waits for it, without a timer:', () => {
  // The clock stands still, so that nothing is polled for.
  it('once its call is approved it begins, and when it ends its turn goes on', async () => {
    const index = tool({ inputSchema: z.object({}), background: 'await', needsApproval: true, execute: () => 'indexed' });
    const session = await serveSession({ system: fakeSystem(), script: [[{ call: 'index', input: {} }], 'done'], agent: { tools: { index } } });
    const { turnId, action } = await pause(session);
    await session.post(`/actions/${action.id}`, { type: 'approve' });
    await eventually('the end of the turn', async () => (await session.get(`/turns/${turnId}`)).json.status === 'ended');
    expect(await session.entriesOf('tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'indexed' }] }]);
  });

  it.each(['complete', 'cancel'] as const)('after a request to %s it, its turn goes on', async (command) => {
    const session = await exporting('await', { system: fakeSystem() });
    const { operationId, token } = session.completion;
    await session.served.request('POST', `/v1/operations/${operationId}/${command}`, command === 'complete' ? { output: 1, token } : {});
    await eventually('the end of the turn', async () => (await session.get(`/turns/${session.turnId}`)).json.status === 'ended');
  });
});

describe('cancelling an operation', () => {
  it('ends it at once: its tool is told, and the turn goes on with the outcome stopped', async () => {
    let signal: AbortSignal | undefined;
    const index = tool({
      inputSchema: z.object({}), background: 'await',
      execute: (_input: object, options: ToolOptions) => {
        signal = options.abortSignal;
        return new Promise<never>((_resolve, reject) => options.abortSignal.addEventListener('abort', () => reject(new Error('told to end'))));
      },
    });
    const session = await serveSession({ script: [[{ call: 'index', input: {} }], 'done'], agent: { tools: { index } } });
    const { turnId } = (await session.post('/messages', { text: 'go' })).json;
    await eventually('the run', () => signal);
    const id = (await session.get('/operations')).json.items[0]?.id ?? '';
    const cancel = (key: string) => session.served.request('POST', `/v1/operations/${id}/cancel`, {}, { 'idempotency-key': key });
    const first = await cancel('k');
    expect(first).toMatchObject({ status: 200, json: { operationId: id, status: 'cancelled' } });
    await eventually('the tool to be told', () => signal?.aborted);
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(await session.entriesOf('tool-results')).toMatchObject([{ results: [{ outcome: 'stopped', mayHaveRun: true }] }]);
    const before = await session.entries();
    for (const key of ['k', 'other']) expect((await cancel(key)).text).toBe(first.text);
    expect(await session.entries()).toEqual(before);
  });

  it('that has ended says how it ended, and changes nothing', async () => {
    const index = tool({ inputSchema: z.object({}), background: 'await', execute: () => 'indexed' });
    const session = await serveSession({ script: [[{ call: 'index', input: {} }], 'done'], agent: { tools: { index } } });
    await session.settled((await session.post('/messages', { text: 'go' })).json.turnId);
    const id = (await session.get('/operations')).json.items[0]?.id ?? '';
    expect((await session.served.request('POST', `/v1/operations/${id}/cancel`)).json).toEqual({ operationId: id, status: 'succeeded' });
  });

  it('goes with the stop of its turn, unless that says otherwise', async () => {
    for (const keepOperations of [false, true]) {
      const session = await exporting('await');
      await session.post('/stop', { keepOperations });
      const { status } = await readOperation(session, session.completion.operationId);
      expect(status).toBe(keepOperations ? 'running' : 'cancelled');
      const reply = await session.complete({ output: 'late' }, bearer(session.completion));
      expect(reply.json).toEqual({ operationId: session.completion.operationId, status: keepOperations ? 'succeeded' : 'cancelled' });
      expect((await session.get('')).json.status).toBe('idle');
      if (keepOperations) expect((await session.get('/calls/3-0/result')).text).toBe('"late"');
      else expect(await session.get('/calls/3-0/result')).toMatchObject({ status: 404, json: { code: 'call_not_found' } });
    }
  });
});

describe('completing an operation from outside', () => {
  it('gives its output to the call that waits, once, however often it is posted', async () => {
    const session = await exporting('await');
    const replies = await Promise.all(Array.from({ length: 10 }, (_, place) => session.complete({ output: { file: `f${place}` } }, bearer(session.completion))));
    expect(replies.map(({ status, text }) => ({ status, text }))).toEqual(replies.map(() => ({ status: 200, text: JSON.stringify({ operationId: session.completion.operationId, status: 'succeeded' }) })));
    expect(await session.settled(session.turnId)).toMatchObject({ status: 'ended', reason: 'complete' });
    const results = (await session.entriesOf('tool-results')).flatMap(({ results: each }) => each);
    expect(results).toMatchObject([{ outcome: 'done', output: { file: expect.stringMatching(/^f\d$/) as string } }]);
    expect(await session.entriesOf('operation-ended')).toHaveLength(1);
    expect(session.served.model.calls).toHaveLength(2);
    // Days later as well.
    expect((await session.complete({ errorText: 'no' }, bearer(session.completion))).json.status).toBe('succeeded');
    expect((await readOperation(session, session.completion.operationId)).result).toEqual(results[0]);
  });

  it('of a detached one opens a turn in which the model is told, once', async () => {
    const session = await exporting('detach', { script: [callExport, 'started', 'It is ready.'] });
    expect(await session.settled(session.turnId)).toMatchObject({ status: 'ended', text: 'started' });
    await Promise.all(Array.from({ length: 10 }, () => session.complete({ output: { file: 'f' } }, bearer(session.completion))));
    const [opened] = await eventually('the turn', async () => {
      const found = await session.entriesOf('turn-started');
      return found.length > 0 && found;
    });
    expect(await session.settled(opened?.turnId ?? '')).toMatchObject({ status: 'ended', text: 'It is ready.' });
    expect(await session.entriesOf('turn-started')).toMatchObject([{ origin: 'operation' }]);
    expect(await session.entriesOf('operation-result')).toMatchObject([{ result: { outcome: 'done', output: { file: 'f' } } }]);
    expect(JSON.stringify(session.served.model.calls[2]?.prompt)).toContain(JSON.stringify('{"file":"f"}').slice(1, -1));
    expect((await session.get('/calls/3-0/result')).text).toBe('{"file":"f"}');
  });

  it('counts while the tool still runs, and what that returns afterwards does not', async () => {
    const held = gate();
    const opened = Promise.withResolvers<ExternalCompletion>();
    const exported = tool({
      inputSchema: z.object({}), background: 'await',
      execute: async (_input: object, options: ToolOptions) => {
        opened.resolve(await options.externalCompletion());
        await held.pass();
        return 'by the tool';
      },
    });
    const session = await serveSession({ script: [callExport, 'done'], agent: { tools: { export: exported } } });
    const { turnId } = (await session.post('/messages', { text: 'go' })).json;
    const { url, token } = await opened.promise;
    await held.reached;
    expect((await session.served.request('POST', url, { output: 'from outside', token })).json.status).toBe('succeeded');
    held.open();
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended' });
    expect(await session.entriesOf('tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'from outside' }] }]);
    expect(await session.entriesOf('operation-ended')).toHaveLength(1);
  });

  it('may say that it failed', async () => {
    const session = await exporting('await');
    expect((await session.complete({ errorText: 'The disk is full.', token: session.completion.token })).json.status).toBe('failed');
    expect(await session.settled(session.turnId)).toMatchObject({ status: 'ended' });
    expect(await session.entriesOf('tool-results')).toMatchObject([{ results: [{ outcome: 'failed', code: 'external_error', errorText: 'The disk is full.' }] }]);
  });

  it('takes the token from the body or from the header, the one of the body first', async () => {
    const session = await exporting('await');
    const { completion } = session;
    expect((await session.complete({ output: 1, token: `${completion.token}x` }, bearer(completion))).status).toBe(404);
    expect((await session.complete({ output: 1, token: completion.token }, { authorization: 'Bearer of-somebody-else' })).status).toBe(200);
  });

  it.each([
    ['another secret', (token: string) => token.replace(/\.(.)/, (_all, first: string) => `.${first === 'a' ? 'b' : 'a'}`)], ['another tenant', (token: string) => completionToken('other', token.split('.')[1] ?? '')],
    ['its hash', completionTokenHash], ['no form', () => 'x'], ['nothing before the secret', (token: string) => `.${token.split('.')[1] ?? ''}`], ['a NUL for a tenant', (token: string) => completionToken('\u0000', token.split('.')[1] ?? '')],
  ])('with a token of %s finds nothing and changes nothing', async (_what, wrong) => {
    const session = await exporting('await');
    const { operationId, token } = session.completion;
    const before = [await session.entries(), await readOperation(session, operationId)];
    expect(await session.complete({ output: 1 }, { authorization: `Bearer ${wrong(token)}` })).toMatchObject({ status: 404, json: { code: 'operation_not_found' } });
    expect(await session.complete({ output: 1, token: wrong(token) })).toMatchObject({ status: 404, json: { code: 'operation_not_found' } });
    expect(await session.complete({ output: 1 })).toMatchObject({ status: 404, json: { code: 'operation_not_found' } });
    expect([await session.entries(), await readOperation(session, operationId)]).toEqual(before);
  });

  it.each([
    ['neither', {}, /exactly one of output and errorText/], ['both', { output: 1, errorText: 'x' }, /exactly one of output and errorText/], ['a field that nobody knows', { output: 1, status: 'done' }, /status/],
    ['an error without a text', { errorText: '' }, /errorText/], ['an error of 4,001 characters', { errorText: 'x'.repeat(4_001) }, /errorText/], ['a prototype', '{"output":{"__proto__":1}}', /__proto__/],
    ['an output that its tool does not take', { output: { file: 1 } }, /output\.file/],
  ])('with %s is refused, and the operation goes on', async (_what, body, detail) => {
    const session = await exporting('await', { policy: { outputSchema: z.object({ file: z.string() }) } });
    const before = await session.entries();
    const reply = await session.complete(body as object, bearer(session.completion));
    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid_request', detail: expect.stringMatching(detail) as string } });
    expect(await session.entries()).toEqual(before);
    expect((await session.complete({ output: { file: 'f' } }, bearer(session.completion))).json.status).toBe('succeeded');
  });

  it('with an output over the cap keeps head and tail in the log, and the whole beside it', async () => {
    const session = await exporting('await', { policy: { maxResultBytes: 1_000 } });
    const whole = { rows: Array.from({ length: 500 }, (_, place) => `row ${place} — é`) };
    await session.complete({ output: whole }, bearer(session.completion));
    await session.settled(session.turnId);
    const [results] = await session.entriesOf('tool-results');
    expect(results?.results[0]).toMatchObject({ outcome: 'done', wholeBytes: Buffer.byteLength(JSON.stringify(whole)), wholeId: expect.stringMatching(/^res_/) as string });
    expect(Buffer.byteLength(JSON.stringify(results))).toBeLessThan(2_000);
    const reply = await session.get('/calls/3-0/result');
    expect(reply.headers.get('content-type')).toBe('application/json');
    expect(reply.json).toEqual(whole);
  });

  it('keeps nothing of the token but its hash', async () => {
    const logged: string[] = [];
    const path = await temporaryDatabase();
    const session = await exporting('await', { store: `sqlite:${path}`, log: (...line) => logged.push(JSON.stringify(line)) });
    const { token, operationId } = session.completion;
    await session.complete({ output: 'x', token });
    await session.complete({ output: 'y' }, bearer(session.completion));
    const files = [path, `${path}-wal`].map((file) => readFileSync(file).toString('latin1')).join('');
    expect(files).toContain(completionTokenHash(token));
    expect([files, ...logged, JSON.stringify(await readOperation(session, operationId))].join('')).not.toContain(token.split('.')[1]);
  });
});

describe('who completes an operation', () => {
  const people: Readonly<Record<string, Principal>> = { ada: { tenant: 'acme', owner: 'ada', roles: [] }, bob: { tenant: 'acme', owner: 'bob', roles: [] } };
  const authenticate = (request: Request): Principal | null => people[request.headers.get('authorization') ?? ''] ?? null;

  it('needs the token and nothing else, also where callers have to say who they are', async () => {
    const session = await exporting('await', { authenticate }, { authorization: 'ada' });
    const { operationId } = session.completion;
    expect(await session.served.request('POST', `/v1/operations/${operationId}/complete`, { output: 1 }, { authorization: 'ada' })).toMatchObject({ status: 404 });
    expect(await session.served.request('POST', `/v1/operations/${operationId}/cancel`, {}, bearer(session.completion))).toMatchObject({ status: 401 });
    expect(await session.served.request('GET', `/v1/operations/${operationId}`, undefined, bearer(session.completion))).toMatchObject({ status: 401 });
    expect(await session.served.request('GET', `/v1/operations/${operationId}/complete`, undefined, bearer(session.completion))).toMatchObject({ status: 401 });
    expect((await session.complete({ output: 'x' }, bearer(session.completion))).json.status).toBe('succeeded');
    expect(await session.settled(session.turnId)).toMatchObject({ status: 'ended' });
  });

  it('is nobody else’s business: another owner finds no operation (G13)', async () => {
    const session = await exporting('await', { authenticate }, { authorization: 'ada' });
    const asBob = (method: string, path: string, body?: object) => session.served.request(method, path, body, { authorization: 'bob' });
    const { operationId } = session.completion;
    expect(await asBob('GET', `/v1/operations/${operationId}`)).toMatchObject({ status: 404, json: { code: 'operation_not_found' } });
    expect(await asBob('POST', `/v1/operations/${operationId}/cancel`, {})).toMatchObject({ status: 404, json: { code: 'operation_not_found' } });
    expect(await asBob('GET', `${session.path}/operations`)).toMatchObject({ status: 404, json: { code: 'session_not_found' } });
    expect((await readOperation(session, operationId, { authorization: 'ada' })).status).toBe('running');
  });

  it('may be a page of another site, since it cannot know the token; the host must be this machine’s where nobody is asked who they are', async () => {
    const session = await exporting('await');
    const { url, token } = session.completion;
    const raw = (host: string) => {
      const body = JSON.stringify({ output: 'x', token });
      return rawRequest(session.served.url, [`POST ${url} HTTP/1.1\r\nhost: ${host}\r\norigin: https://elsewhere.example\r\nsec-fetch-site: cross-site\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`]);
    };
    const refused = await raw('attacker.example');
    expect(refused).toMatch(/^HTTP\/1\.1 403 /);
    expect(refused).toContain('"code":"forbidden_origin"');
    expect((await readOperation(session, session.completion.operationId)).status).toBe('running');
    expect(await raw('localhost')).toMatch(/^HTTP\/1\.1 200 /);
  });
});
