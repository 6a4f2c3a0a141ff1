import { describe, expect, it } from 'vitest';
import type { Principal } from '../../src/agent/tool.ts';
import type { SessionUsage, UsageReport } from '../../src/feed/usage-view.ts';
import { serve, type Served } from '../support/http-server.ts';

const people: Readonly<Record<string, Principal>> = {
  ada: { tenant: 'acme', owner: 'ada', roles: [] }, bob: { tenant: 'acme', owner: 'bob', roles: [] }, operator: { tenant: 'acme', owner: 'operator', roles: ['system'] }, eve: { tenant: 'other', owner: 'ada', roles: ['system'] },
};
const authenticate = (request: Request): Principal | null => people[request.headers.get('authorization') ?? ''] ?? null;
const as = (who: string) => ({ authorization: who });

/** A session of somebody in which so many turns have been answered. */
async function talked({ request }: Served, who: string, turns: number): Promise<string> {
  const { json: { session: { id } } } = await request('POST', '/v1/sessions', { agent: 'tester' }, as(who));
  for (let turn = 0; turn < turns; turn += 1) {
    const { json } = await request('POST', `/v1/sessions/${id}/messages`, { text: 'go' }, as(who));
    await request('GET', `/v1/sessions/${id}/turns/${json.turnId}?waitMs=10000`, undefined, as(who));
  }
  return id;
}

async function reportOf({ request }: Served, who: string, query = ''): Promise<UsageReport> {
  const { status, json } = await request('GET', `/v1/usage${query}`, undefined, as(who));
  expect(status).toBe(200);
  return json as unknown as UsageReport;
}

describe('usage over HTTP', () => {
  it('is everybody\'s own, and of the whole tenant, or any owner of it, to the role system (G13)', async () => {
    const served = await serve({ authenticate, agent: { prices: { 'scripted-1': { input: 1, output: 2 } } } });
    const id = await talked(served, 'ada', 2);
    await talked(served, 'bob', 1);
    const attempts = async (who: string, query?: string) => (await reportOf(served, who, query)).total.attempts;
    expect([await attempts('ada'), await attempts('ada', '?owner=ada'), await attempts('bob'), await attempts('operator'), await attempts('operator', '?owner=ada'), await attempts('operator', '?owner=nobody')]).toEqual([2, 2, 1, 3, 2, 0]);
    expect([await attempts('eve'), await attempts('eve', '?owner=ada')]).toEqual([0, 0]);
    expect(await served.request('GET', '/v1/usage?owner=ada', undefined, as('bob'))).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect(await served.request('GET', `/v1/sessions/${id}/usage`, undefined, as('bob'))).toMatchObject({ status: 404, json: { code: 'session_not_found' } });
    for (const who of ['ada', 'operator']) {
      const { json } = await served.request('GET', `/v1/sessions/${id}/usage`, undefined, as(who));
      expect(json as unknown as SessionUsage).toMatchObject({ sessionId: id, total: { attempts: 2, inputTokens: 20, outputTokens: 10, costMicros: 40 } });
    }
    const { json: turns } = await served.request('GET', `/v1/sessions/${id}/turns`, undefined, as('ada'));
    expect(turns.items.map((turn) => (turn as unknown as { usage: { costMicros: number } }).usage.costMicros)).toEqual([20, 20]);
  });

  it('is paged, by seq, and asked for by dates', async () => {
    const served = await serve();
    const { request } = served;
    const id = await talked(served, 'nobody', 3);
    const page = async (query: string) => (await request('GET', `/v1/sessions/${id}/usage${query}`)).json as unknown as SessionUsage;
    const all = (await page('')).attempts.items;
    expect(all.length).toBe(3);
    const first = await page('?limit=2');
    expect([first.attempts.items, first.total.attempts]).toEqual([all.slice(0, 2), 3]);
    expect((await page(`?limit=2&after=${first.attempts.nextCursor}`)).attempts).toEqual({ items: all.slice(2), nextCursor: null });
    expect((await reportOf(served, 'nobody', '?from=2001-01-01&to=2001-02-01'))).toMatchObject({ from: '2001-01-01', to: '2001-02-01', days: [], total: { attempts: 0 } });
    for (const query of ['?from=yesterday', '?from=2026-02-30', '?from=2026-01-02&to=2026-01-01', '?from=2020-01-01&to=2026-01-01', '?day=2026-01-01']) {
      expect(await request('GET', `/v1/usage${query}`)).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    }
  });
});
