import { describe, expect, it } from 'vitest';
import { limits } from '../../src/core/limits.ts';
import { StreamSlots } from '../../src/server/stream-slots.ts';
import { serve } from '../support/http-server.ts';

describe('mounted in another router, without a listener of its own', () => {
  it('answers requests', async () => {
    const { holdfast } = await serve();
    const created = await holdfast.handlers.POST(new Request('http://localhost/v1/sessions', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"agent":"tester"}' }));
    expect(created.status).toBe(201);
    const { session } = await created.json() as { session: { id: string } };
    // Routers hand over a second argument of their own.
    const read = await holdfast.fetch(new Request(`http://127.0.0.1:3000/v1/sessions/${session.id}`), { params: { id: 'x' }, closing: 'soon' });
    expect(await read.json()).toMatchObject({ id: session.id });
  });

  it('answers this machine only, by the name in the address where there is no header', async () => {
    const { holdfast } = await serve();
    const reply = await holdfast.fetch(new Request('http://chat.example/v1/sessions'));
    expect({ status: reply.status, body: await reply.json() }).toMatchObject({ status: 403, body: { code: 'forbidden_origin' } });
  });

  it('streams, and breaks off when the process closes', async () => {
    const served = await serve();
    const { holdfast } = served;
    const response = await holdfast.fetch(new Request(`http://localhost/v1/sessions/${await served.newSession()}/events`));
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader?.read())?.value).toBe(`retry: ${limits.streamRetryMs}\n\n`);
    expect((await reader?.read())?.value).toMatch(/^id: 1\nevent: entry\ndata: \{"type":"entry","entry":\{.*"kind":"session-created"/);
    const next = reader?.read();
    await holdfast.close();
    expect((await next)?.value).toMatch(/^retry: \d+\n\n$/);
    await expect(reader?.read()).rejects.toMatchObject({ code: 'stream_reset' });
  });
});

describe('the places for streams', () => {
  it('are counted for each owner, and given back once', () => {
    const slots = new StreamSlots();
    const [first, second] = [slots.take('ada', 2), slots.take('ada', 2)];
    expect(slots.take('ada', 2)).toMatchObject({ refused: 'too_many_streams', details: { max: 2 } });
    expect(slots.take('bob', 2)).toBeTypeOf('function');
    if (typeof first === 'function') {
      first();
      first();
    }
    expect(slots.count).toBe(2);
    expect([slots.take('ada', 2), slots.take('ada', 2)]).toMatchObject([expect.any(Function), { refused: 'too_many_streams' }]);
    expect(second).toBeTypeOf('function');
  });
});
