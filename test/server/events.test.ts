import { describe, expect, it } from 'vitest';
import { emptyFeedView, foldFeed, type FeedEvent, type FeedView } from '../../src/core/feed-event.ts';
import { limits } from '../../src/core/limits.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { entryKinds, isEntry, openEvents, type StreamFrame } from '../support/event-stream.ts';
import { eventually } from '../support/eventually.ts';
import { serve, type Served } from '../support/http-server.ts';

function eventsUrl(served: Served, id: string, query = ''): string {
  return `${served.url}/v1/sessions/${id}/events${query}`;
}

/** What a client knows after these frames. */
function folded(frames: readonly StreamFrame[]): FeedView {
  return frames.reduce<FeedView>((view, { id, data }) => (data === undefined || data.type === 'deleted' ? view : foldFeed(view, { ...data, position: id ?? '' } as FeedEvent)), emptyFeedView);
}

async function turnEnded(served: Served, id: string, text: string): Promise<void> {
  const { turnId } = (await served.request('POST', `/v1/sessions/${id}/messages`, { text })).json;
  await served.request('GET', `/v1/sessions/${id}/turns/${turnId}?waitMs=10000`);
}

describe('a stream of events', () => {
  it('has the headers that keep proxies from holding or changing it, and says when to come back', async () => {
    const served = await serve();
    const stream = await openEvents(eventsUrl(served, await served.newSession()));
    expect(Object.fromEntries(['content-type', 'cache-control', 'x-accel-buffering'].map((name) => [name, stream.headers.get(name)]))).toEqual({
      'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no',
    });
    await stream.until(isEntry('session-created'));
    expect(stream.frames[0]).toEqual({ retry: String(limits.streamRetryMs) });
  });

  it('begins at the beginning and goes on live, for every follower alike', async () => {
    const held = gate();
    const served = await serve({ script: [[{ text: ['one ', 'two '] }, { gate: held }, { text: ['three'] }]] });
    const id = await served.newSession({ externalId: 'a/b' });
    const streams = [await openEvents(eventsUrl(served, id)), await openEvents(eventsUrl(served, encodeURIComponent('a/b')))];
    await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' });
    await held.reached;
    for (const stream of streams) await stream.until(({ event }) => event === 'chunk');
    held.open();
    for (const stream of streams) {
      await stream.until(({ data }) => data?.type === 'status' && data.status === 'idle' && entryKinds(stream.frames).includes('turn-ended'));
      expect(entryKinds(stream.frames)).toEqual(['session-created', 'user-message', 'assistant-step', 'turn-ended']);
      expect(stream.frames.slice(1).every(({ id: position, event, data }) => position !== undefined && event === data?.type)).toBe(true);
    }
    const [one, two] = streams;
    expect(folded(one?.frames ?? [])).toEqual(folded(two?.frames ?? []));
  });

  it('shows an idle session, and turns that others start', async () => {
    const served = await serve();
    const id = await served.newSession();
    const stream = await openEvents(eventsUrl(served, id));
    expect(await stream.until(({ event }) => event === 'status')).toMatchObject({ data: { status: 'idle' } });
    await turnEnded(served, id, 'from elsewhere');
    await stream.until(isEntry('turn-ended'));
  });

  it('goes on after any of its positions, by header or parameter, and the header wins', async () => {
    const held = gate();
    const served = await serve({ script: ['first', [{ text: ['so ', 'far ', 'so good '] }, { gate: held }, { text: 'and on' }]] });
    const id = await served.newSession();
    const whole = await openEvents(eventsUrl(served, id));
    await turnEnded(served, id, 'one');
    await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'two' });
    await held.reached;
    await whole.until(({ data }) => data?.type === 'chunk' && data.segments.some(({ text }) => text.includes('good')));
    held.open();
    const last = await whole.until(({ data, id: position }) => data?.type === 'status' && data.status === 'idle' && Number(position) > 6);
    const expected = folded(whole.frames);
    const positions = [...new Set(whole.frames.flatMap((frame) => frame.id ?? []))];
    expect(positions.some((position) => position.includes('.'))).toBe(true);
    for (const position of positions) {
      for (const [query, headers] of [[`?after=${position}`, {}], ['', { 'last-event-id': position }], ['?after=1', { 'last-event-id': position }]] as const) {
        const resumed = await openEvents(eventsUrl(served, id, query), { headers });
        await resumed.until(({ id: at, event }) => at === last.id && event === 'status');
        const seen = whole.frames.slice(0, whole.frames.findLastIndex((frame) => frame.id === position) + 1);
        // The fold of what was seen, cut here and resumed, is that of the whole (G5).
        expect(folded([...seen, ...resumed.frames]), `after ${position}`).toEqual(expected);
        resumed.leave();
      }
    }
  });

  it('can begin with what comes', async () => {
    const served = await serve();
    const id = await served.newSession();
    await turnEnded(served, id, 'before');
    const stream = await openEvents(eventsUrl(served, id, '?after=now'));
    await stream.until(({ event }) => event === 'status');
    await turnEnded(served, id, 'after');
    await stream.until(isEntry('turn-ended'));
    expect(entryKinds(stream.frames)).toEqual(['user-message', 'assistant-step', 'turn-ended']);
  });

  it.each(['x', '-1', '1.5', '99', '1.att_x.1.', '1,2', 'NOW'])('is refused before it begins at the bad position %s', async (position) => {
    const served = await serve();
    const id = await served.newSession();
    expect(await served.request('GET', `/v1/sessions/${id}/events?after=${encodeURIComponent(position)}`)).toMatchObject({ status: 400, json: { code: 'bad_position' } });
    expect(await served.request('GET', `/v1/sessions/${id}/events`, undefined, { 'last-event-id': position })).toMatchObject({ status: 400, json: { code: 'bad_position' } });
    expect(await served.request('GET', `/v1/sessions/nobody/events`)).toMatchObject({ status: 404, json: { code: 'session_not_found' } });
  });

  it('sends a comment every 15 s, so that nothing between takes it for dead', async () => {
    const system = fakeSystem();
    const served = await serve({ system });
    const stream = await openEvents(eventsUrl(served, await served.newSession()));
    await stream.until(({ event }) => event === 'status');
    const heartbeats = () => stream.frames.filter(({ comment }) => comment === 'heartbeat').length;
    for (const count of [1, 2]) {
      await system.advance(limits.heartbeatMs - 1);
      expect(heartbeats()).toBe(count - 1);
      await system.advance(1);
      await eventually('the heartbeat', () => heartbeats() === count);
    }
  });

  it('ends cleanly, and says so, when its session is deleted', async () => {
    const served = await serve();
    const id = await served.newSession();
    const stream = await openEvents(eventsUrl(served, id));
    await stream.until(({ event }) => event === 'status');
    await served.request('DELETE', `/v1/sessions/${id}`);
    expect(await stream.ended).toBe('clean');
    expect(stream.frames.at(-1)).toEqual({ event: 'deleted', data: { type: 'deleted' } });
  });

  it('cancels nothing when the client goes, and leaves nothing behind', async () => {
    const system = fakeSystem();
    const held = gate();
    const served = await serve({ system, script: [[{ text: 'so far' }, { gate: held }, { text: ', so good' }]] });
    const { session: { id }, turn: { turnId } } = (await served.request('POST', '/v1/sessions', { agent: 'tester', message: { text: 'hi' } })).json;
    await held.reached;
    const timers = system.waitingTimers;
    const streams = [];
    for (let count = 0; count < 5; count += 1) streams.push(await openEvents(eventsUrl(served, id)));
    for (const stream of streams) await stream.until(({ event }) => event === 'chunk');
    expect(system.waitingTimers).toBeGreaterThan(timers);
    for (const stream of streams) stream.leave();
    // Heartbeats, polling and the listening to the store: each has a timer of its own.
    await eventually('all timers of the streams to be gone', () => system.waitingTimers <= timers);
    expect((await served.request('GET', `/v1/sessions/${id}`)).json).toMatchObject({ status: 'running' });
    held.open();
    await eventually('the end of the turn', async () => (await served.request('GET', `/v1/sessions/${id}`)).json.status === 'idle');
    expect((await served.request('GET', `/v1/sessions/${id}/turns/${turnId}`)).json.text).toBe('so far, so good');
  });
});

describe('a message whose sender accepts an event stream', () => {
  const sse = { accept: 'text/event-stream', 'content-type': 'application/json' };
  const send = (served: Served, id: string, body: object, headers = {}) => openEvents(`${served.url}/v1/sessions/${id}/messages`, { method: 'POST', headers: { ...sse, ...headers }, body: JSON.stringify(body) });

  it('is answered with the stream of its turn, from the message to the end', async () => {
    const served = await serve({ script: ['before', 'the answer'] });
    const id = await served.newSession();
    await turnEnded(served, id, 'earlier');
    const stream = await send(served, id, { text: 'hi', messageId: 'm' });
    expect({ status: stream.status, type: stream.headers.get('content-type') }).toEqual({ status: 200, type: 'text/event-stream' });
    expect(await stream.ended).toBe('clean');
    expect(entryKinds(stream.frames)).toEqual(['user-message', 'assistant-step', 'turn-ended']);
    expect(stream.frames.at(-1)?.data).toMatchObject({ type: 'entry', entry: { kind: 'turn-ended', reason: 'complete' } });
  });

  it('is given the same turn when it is sent again, however long ago that was', async () => {
    const served = await serve();
    const id = await served.newSession();
    const first = await send(served, id, { text: 'hi' }, { 'idempotency-key': 'k' });
    await first.ended;
    await turnEnded(served, id, 'later');
    const second = await send(served, id, { text: 'hi' }, { 'idempotency-key': 'k' });
    expect(await second.ended).toBe('clean');
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    expect(folded(second.frames).entries).toEqual(folded(first.frames).entries);
  });

  it('that is queued is followed through the queue to the end of its own turn', async () => {
    const held = gate();
    const served = await serve({ script: [[{ gate: held }, { text: 'first' }], 'second'] });
    const id = await served.newSession({ message: { text: 'hi' } });
    const stream = await send(served, id, { text: 'next', messageId: 'm' });
    await stream.until(isEntry('message-queued'));
    held.open();
    expect(await stream.ended).toBe('clean');
    expect(entryKinds(stream.frames)).toEqual(['message-queued', 'assistant-step', 'turn-ended', 'user-message', 'assistant-step', 'turn-ended']);
  });

  it('that leaves the queue ends the stream', async () => {
    const held = gate();
    const served = await serve({ script: [[{ gate: held }, { text: 'first' }]] });
    const id = await served.newSession({ message: { text: 'hi' } });
    const stream = await send(served, id, { text: 'next', messageId: 'm' });
    await stream.until(isEntry('message-queued'));
    await served.request('DELETE', `/v1/sessions/${id}/queue/m`);
    expect(await stream.ended).toBe('clean');
    expect(entryKinds(stream.frames)).toEqual(['message-queued', 'message-unqueued']);
    held.open();
  });

  it('after a failed turn with a queue is followed from its own place', async () => {
    const held = gate();
    const failure = Object.assign(new Error('no such key'), { name: 'AI_APICallError', statusCode: 401 });
    const served = await serve({ script: [[{ gate: held }, { error: failure }], 'answer of a', 'answer of b'] });
    const id = await served.newSession({ message: { text: 'hi' } });
    await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'a', messageId: 'a' });
    held.open();
    await eventually('the failure', async () => (await served.request('GET', `/v1/sessions/${id}`)).json.status === 'failed');
    const stream = await send(served, id, { text: 'b', messageId: 'b' });
    expect(await stream.ended).toBe('clean');
    expect(stream.frames.find(({ data }) => data?.type === 'entry')?.data).toMatchObject({ entry: { kind: 'message-queued', messageId: 'b' } });
    expect(entryKinds(stream.frames).filter((kind) => kind === 'turn-ended')).toHaveLength(2);
  });

  it('is refused as without the stream, before the stream begins', async () => {
    const served = await serve();
    const id = await served.newSession();
    for (const [body, code] of [[{}, 'invalid_request'], [{ text: 'hi', model: 'none' }, 'model_not_allowed']] as const) {
      expect((await served.request('POST', `/v1/sessions/${id}/messages`, body, sse)).json.code).toBe(code);
    }
    expect((await served.request('POST', '/v1/sessions/nobody/messages', { text: 'hi' }, sse)).json.code).toBe('session_not_found');
  });

  it('does not need the stream to get its answer', async () => {
    const held = gate();
    const served = await serve({ script: [[{ text: 'a' }, { gate: held }, { text: 'b' }]] });
    const id = await served.newSession();
    const stream = await send(served, id, { text: 'hi' });
    await stream.until(({ event }) => event === 'chunk');
    stream.leave();
    await stream.ended;
    held.open();
    await eventually('the end of the turn', async () => (await served.request('GET', `/v1/sessions/${id}`)).json.status === 'idle');
    expect((await served.request('GET', `/v1/sessions/${id}/turns`)).json.items).toMatchObject([{ text: 'ab', reason: 'complete' }]);
  });
});
