import { describe, expect, it } from 'vitest';
import { agent, createHoldfast, type Holdfast } from '../../src/index.ts';
import { limits } from '../../src/core/limits.ts';
import { scriptedModel } from '../../src/testing/index.ts';
import { collect } from '../exchange/kit.ts';
import { sqliteFiles } from '../support/stores.ts';

async function served(): Promise<{ readonly holdfast: Holdfast; readonly id: string; readonly get: (path: string, owner?: string) => Promise<Response> }> {
  const holdfast = await createHoldfast({
    agents: [agent({ name: 'demo', model: scriptedModel([[{ reasoning: 'hm' }, { text: 'hello' }]]), instructions: '' })], store: await sqliteFiles.newUrl(),
    authenticate: (request) => ({ tenant: 'default', owner: request.headers.get('x-owner') ?? 'ada', roles: [] }),
  });
  const session = await holdfast.sessions.create({ agent: 'demo', owner: 'ada' });
  await (await session.send('hi')).result;
  return { holdfast, id: session.id, get: async (path, owner = 'ada') => holdfast.fetch(new Request(`http://localhost${path}`, { headers: { 'x-owner': owner } })) };
}

describe('GET /v1/sessions/:id/export', () => {
  it('gives a session as a file: whole by default, or as a conversation in either format', async () => {
    const { holdfast, id, get } = await served();
    await using _closes = holdfast;
    const whole = await get(`/v1/sessions/${id}/export`);
    expect([whole.status, whole.headers.get('content-type'), whole.headers.get('content-disposition')]).toEqual([200, 'application/jsonl', `attachment; filename="${id}.jsonl"`]);
    expect((await whole.text()).trimEnd().split('\n')).toEqual(await collect(holdfast.export(id)));
    expect(JSON.parse(await (await get(`/v1/sessions/${id}/export?format=openai`)).text())).toEqual({ id, messages: [{ role: 'user', content: 'hi' }, { role: 'assistant', content: 'hello' }] });
    expect(JSON.parse(await (await get(`/v1/sessions/${id}/export?format=ui`)).text())).toMatchObject({ id, messages: [{ role: 'user' }, { role: 'assistant', parts: [{ type: 'step-start' }, { type: 'reasoning', text: 'hm' }, { type: 'text', text: 'hello' }] }] });
    expect((await get(`/v1/sessions/${id}/export?format=pdf`)).status).toBe(400);
  });

  it('refuses a conversation that is too large to be made in memory, and gives it whole', async () => {
    const { holdfast, id, get } = await served();
    await using _closes = holdfast;
    const session = await holdfast.sessions.get(id);
    for (let chars = 0; chars <= limits.exportConversationCharsMax; chars += 900_000) await session.send({ text: 'x'.repeat(900_000), visibility: 'user' });
    for (const format of ['openai', 'ui']) {
      const refused = await get(`/v1/sessions/${id}/export?format=${format}`);
      expect([refused.status, ((await refused.json()) as { readonly code: string }).code]).toEqual([413, 'history_too_large']);
    }
    expect((await (await get(`/v1/sessions/${id}/export`)).text()).length).toBeGreaterThan(limits.exportConversationCharsMax);
    expect(await collect(holdfast.export(id, { format: 'openai' }))).toHaveLength(1);
  });

  it('does not exist to others', async () => {
    const { holdfast, id, get } = await served();
    await using _closes = holdfast;
    expect((await get(`/v1/sessions/${id}/export`, 'eve')).status).toBe(404);
  });
});
