import { describe, expect, it, onTestFinished } from 'vitest';
import { StoreError, type Store } from '../../src/store/store.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { everySession, serve, type Served } from '../support/http-server.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

interface Failing {
  readonly served: Served;
  readonly logged: unknown[];
  /** From now on these calls of the store throw; null: none. */
  readonly fail: (error: Error | null) => void;
}

async function failing(): Promise<Failing> {
  const inner = await sqliteStore({ path: await temporaryDatabase(), system: realSystem() });
  onTestFinished(() => inner.close());
  let failure: Error | null = null;
  const beneath = <Result>(call: () => Result): Result => {
    if (failure !== null) throw failure;
    return call();
  };
  const store: Store = wrappedStore(inner, {
    create: async (target, ...given) => beneath(() => target.create(...given)) as never,
    update: async (target, ...given) => beneath(() => target.update(...given)) as never,
    readSession: async (target, ...given) => beneath(() => target.readSession(...given)),
    readEntries: async (target, ...given) => beneath(() => target.readEntries(...given)),
    listSessions: async (target, ...given) => beneath(() => target.listSessions(...given)),
  });
  const logged: unknown[] = [];
  const served = await serve({ store, worker: false, log: (...line) => { logged.push(line); } });
  return { served, logged, fail: (error) => { failure = error; } };
}

const calls = (id: string) => [
  ['POST', '/v1/sessions', { agent: 'tester' }], ['GET', '/v1/sessions', undefined], ['GET', `/v1/sessions/${id}`, undefined], ['POST', `/v1/sessions/${id}/messages`, { text: 'hi' }],
  ['GET', `/v1/sessions/${id}/entries`, undefined], ['GET', `/v1/sessions/${id}/events`, undefined], ['GET', `/v1/sessions/${id}/queue`, undefined], ['DELETE', `/v1/sessions/${id}`, undefined],
] as const;

describe('a store that does not answer', () => {
  it('is a 503 that says when to try again, and nothing was changed', async () => {
    const { served, logged, fail } = await failing();
    const id = await served.newSession();
    const before = await everySession(served);
    for (const [method, path, body] of calls(id)) {
      fail(new StoreError('store_unavailable', 'the disk is full'));
      const reply = await served.request(method, path, body);
      expect(reply, `${method} ${path}`).toMatchObject({ status: 503, json: { code: 'store_unavailable' } });
      expect(reply.headers.get('retry-after')).toBe('1');
      fail(null);
    }
    expect(await everySession(served)).toEqual(before);
    expect(logged).toHaveLength(calls(id).length);
    expect(logged[0]).toEqual(['error', 'request-failed', {
      requestId: expect.stringMatching(/^req_/) as string, method: 'POST', route: '/v1/sessions', error: 'StoreError', code: 'store_unavailable', message: 'the disk is full',
    }]);
  });

  it('does its work once it answers again: the same request, once', async () => {
    const { served, fail } = await failing();
    const id = await served.newSession();
    const send = () => served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' }, { 'idempotency-key': 'k' });
    fail(new StoreError('store_unavailable', 'the disk is full'));
    expect((await send()).status).toBe(503);
    fail(null);
    expect((await send()).status).toBe(202);
    expect((await send()).headers.get('idempotent-replayed')).toBe('true');
  });
});

describe('a commit of which nobody can say whether it landed', () => {
  it('is a 503 too: the same command with the same key is what finds out', async () => {
    const { served, fail } = await failing();
    fail(new StoreError('commit_unknown', 'the connection broke in a commit'));
    const reply = await served.request('POST', '/v1/sessions', { agent: 'tester' }, { 'idempotency-key': 'k' });
    expect(reply).toMatchObject({ status: 503, json: { code: 'store_unavailable' } });
    expect(reply.headers.get('retry-after')).toBe('1');
    fail(null);
    expect((await served.request('POST', '/v1/sessions', { agent: 'tester' }, { 'idempotency-key': 'k' })).status).toBe(201);
  });
});

describe('a process that has closed', () => {
  it('says so and that another one answers, and logs no error', async () => {
    const logged: unknown[] = [];
    const served = await serve({ log: (...line) => { logged.push(line); } });
    const id = await served.newSession();
    await served.holdfast.close();
    for (const [method, path, body] of calls(id)) {
      const reply = await served.request(method, path, body);
      expect(reply, `${method} ${path}`).toMatchObject({ status: 503, json: { code: 'shutting_down' } });
      expect(reply.headers.get('retry-after')).toBe('1');
    }
    expect(logged).toEqual([]);
  });
});

describe('a fault', () => {
  it('is a 500 that tells nothing of itself; the log has its place under the id of the request', async () => {
    const { served, logged, fail } = await failing();
    const id = await served.newSession();
    for (const [method, path, body] of calls(id)) {
      fail(new TypeError('cannot read secret-7 of undefined'));
      const reply = await served.request(method, path, body);
      expect(reply, `${method} ${path}`).toMatchObject({ status: 500, json: { code: 'internal_error' } });
      expect(reply.text).not.toMatch(/secret|TypeError| at /);
      expect(logged.at(-1)).toMatchObject(['error', 'request-failed', { requestId: reply.headers.get('x-request-id'), error: 'TypeError', places: expect.stringContaining('store-failure.test.ts') as string }]);
      fail(null);
    }
    expect(JSON.stringify(logged)).not.toContain('secret');
  });
});
