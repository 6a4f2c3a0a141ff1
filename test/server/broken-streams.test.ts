import { connect } from 'node:net';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { feedStart } from '../../src/core/feed-event.ts';
import { limits } from '../../src/core/limits.ts';
import { Feed } from '../../src/feed/feed.ts';
import { eventStreamResponse } from '../../src/server/sse.ts';
import { StoreError } from '../../src/store/store.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { entryKinds, isEntry, openEvents } from '../support/event-stream.ts';
import { eventually } from '../support/eventually.ts';
import { serve, type Served } from '../support/http-server.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

/** A stream read in this process, so that nothing but the reader takes from it, and a session to write to. */
async function inProcess() {
  const system = fakeSystem();
  const served = await serve({ system, worker: false });
  const id = await served.newSession();
  const feed = new Feed(served.holdfast.store, system, 1_000);
  onTestFinished(() => feed.close());
  const resets: unknown[] = [];
  let over = 0;
  const client = new AbortController();
  const response = eventStreamResponse({
    feed, system, ref: { tenant: 'default', id }, from: feedStart, signal: client.signal, onOver: () => { over += 1; }, onReset: (reason) => { resets.push(reason); },
  });
  const reader = response.body?.getReader();
  if (reader === undefined) throw new Error('a stream has a body');
  const read = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value);
  const write = async (metadata: object): Promise<void> => {
    await served.request('PATCH', `/v1/sessions/${id}`, { metadata });
    await system.settle();
  };
  return { system, served, id, feed, resets, reader, read, write, client, timesOver: () => over };
}

const kilobytes16 = { text: 'x'.repeat(16_000) };

describe('a client that lags', () => {
  it('is cut off when it leaves something for 10 s', async () => {
    const { system, feed, resets, reader, read, write, timesOver } = await inProcess();
    expect(await read()).toBe(`retry: ${limits.streamRetryMs}\n\n`);
    expect(await read()).toContain('session-created');
    await write({ a: 1 });
    await system.advance(limits.streamLagMsMax - 1);
    expect({ resets, followers: feed.followers }).toEqual({ resets: [], followers: 1 });
    await system.advance(1);
    expect({ resets, followers: feed.followers, over: timesOver() }).toEqual({ resets: ['lags'], followers: 0, over: 1 });
    await expect(reader.read()).rejects.toMatchObject({ code: 'stream_reset' });
  });

  it('is not cut off while there is nothing for it, however long that is', async () => {
    const { system, resets, read, write } = await inProcess();
    await read();
    await read();
    await system.advance(10 * limits.streamLagMsMax);
    await write({ a: 1 });
    expect(await read()).toContain('metadata-set');
    expect(resets).toEqual([]);
  });

  it('is not cut off for being slow: what it takes in time counts', async () => {
    const { system, resets, read, write } = await inProcess();
    await read();
    await read();
    for (let count = 0; count < 5; count += 1) {
      await write({ count });
      await system.advance(limits.streamLagMsMax - 1);
      expect(await read()).toContain(`"metadata":{"count":${count}}`);
    }
    expect(resets).toEqual([]);
  });

  it('is cut off at once when it is more than 1 MB behind', async () => {
    const { feed, resets, read, write, timesOver } = await inProcess();
    await read();
    await read();
    let count = 0;
    for (; resets.length === 0 && count < 100; count += 1) await write({ ...kilobytes16, count });
    // One of them is in hand, and of a little more than 16 kB each.
    expect(count).toBeGreaterThan(limits.streamLagBytesMax / 17_000);
    expect(count).toBeLessThan(limits.streamLagBytesMax / 16_000 + 2);
    expect({ resets, followers: feed.followers, over: timesOver() }).toEqual({ resets: ['lags'], followers: 0, over: 1 });
  });

  it('is given all of it from storage when it comes back', async () => {
    const { served, id, read, write, resets } = await inProcess();
    await read();
    await read();
    for (let count = 0; count < 70; count += 1) await write({ ...kilobytes16, count });
    expect(resets).toEqual(['lags']);
    const stream = await openEvents(`${served.url}/v1/sessions/${id}/events?after=1`);
    await stream.until(({ data }) => data?.type === 'entry' && data.entry.seq === 71);
    expect(entryKinds(stream.frames)).toHaveLength(70);
  });

  it('over a real connection loses that connection, and does not take it for the end', async () => {
    const logged: unknown[] = [];
    const served = await serve({ worker: false, log: (_level, event, fields) => { logged.push([event, fields]); } });
    const id = await served.newSession();
    const { hostname, port } = new URL(served.url);
    const socket = connect(Number(port), hostname);
    onTestFinished(() => { socket.destroy(); });
    socket.on('error', () => { /* a reset is one of the ways to lose it */ socket.destroy(); });
    socket.write(`GET /v1/sessions/${id}/events HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    await once(socket, 'data');
    socket.pause();
    // More than the buffers of both ends hold.
    for (let count = 0; count < limits.queueMessagesMax && logged.length === 0; count += 1) await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'x'.repeat(990_000) });
    await eventually('the stream to be reset', () => logged.length > 0);
    expect(logged).toEqual([['stream-reset', { session: id, reason: 'lags' }]]);
    let tail = '';
    socket.on('data', (bytes) => { tail = (tail + bytes.toString('latin1')).slice(-20); });
    const closed = once(socket, 'close');
    socket.resume();
    await closed;
    expect(tail).not.toMatch(/0\r\n\r\n$/);
  });
});

describe('a stream', () => {
  it('frees everything when its reader goes, once', async () => {
    const { feed, reader, read, timesOver, client, system } = await inProcess();
    const before = system.waitingTimers;
    await read();
    await read();
    expect(feed.followers).toBe(1);
    expect(system.waitingTimers).toBeGreaterThan(before);
    await reader.cancel();
    client.abort();
    await system.settle();
    expect({ followers: feed.followers, over: timesOver(), timers: system.waitingTimers }).toEqual({ followers: 0, over: 1, timers: before });
  });

  it('frees everything when its request is aborted', async () => {
    const { feed, read, timesOver, client, system } = await inProcess();
    await read();
    await read();
    client.abort();
    await system.settle();
    expect({ followers: feed.followers, over: timesOver() }).toEqual({ followers: 0, over: 1 });
  });

  it('that nobody reads never begins', async () => {
    const { feed, client, timesOver } = await inProcess();
    expect(feed.followers).toBe(0);
    client.abort();
    expect(timesOver()).toBe(1);
  });

  it('breaks, and says so in the log, when the store fails; it goes on from its last position', async () => {
    const logged: unknown[] = [];
    let fails = false;
    const inner = await sqliteStore({ path: await temporaryDatabase(), system: realSystem() });
    onTestFinished(() => inner.close());
    const store = wrappedStore(inner, {
      readTail: async (beneath, ...given) => {
        if (fails) throw new StoreError('store_unavailable', 'the disk is gone');
        return beneath.readTail(...given);
      },
    });
    const served = await serve({ store, log: (_level, event, fields) => { logged.push([event, fields]); } });
    const id = await served.newSession();
    const stream = await openEvents(`${served.url}/v1/sessions/${id}/events`);
    const last = await stream.until(({ event }) => event === 'status');
    fails = true;
    await served.request('PATCH', `/v1/sessions/${id}`, { title: 'Changed' });
    expect(await stream.ended).toBe('broken');
    expect(logged).toEqual([['stream-reset', { session: id, error: 'StoreError', code: 'store_unavailable', message: 'the disk is gone' }]]);
    fails = false;
    const resumed = await openEvents(`${served.url}/v1/sessions/${id}/events`, { headers: { 'last-event-id': last.id ?? '' } });
    expect(await resumed.until(isEntry('title-set'))).toMatchObject({ data: { entry: { title: 'Changed' } } });
  });
});

describe('a process that closes', () => {
  async function twoStreams(served: Served) {
    const id = await served.newSession();
    const streams = [await openEvents(`${served.url}/v1/sessions/${id}/events`), await openEvents(`${served.url}/v1/sessions/${id}/events`)];
    for (const stream of streams) await stream.until(({ event }) => event === 'status');
    return { id, streams };
  }

  it('asks its streams to come back and breaks them off, when its listener closes', async () => {
    const served = await serve();
    const { streams } = await twoStreams(served);
    await served.close();
    for (const stream of streams) {
      expect(await stream.ended).toBe('broken');
      expect(Number(stream.frames.at(-1)?.retry)).toBeGreaterThan(0);
    }
  });

  it('does so as well when it closes before its listener, and takes no new ones', async () => {
    const served = await serve();
    const { id, streams } = await twoStreams(served);
    await served.holdfast.close();
    for (const stream of streams) {
      expect(await stream.ended).toBe('broken');
      expect(Number(stream.frames.at(-1)?.retry)).toBeGreaterThan(0);
    }
    const refused = await served.request('GET', `/v1/sessions/${id}/events`);
    expect(refused).toMatchObject({ status: 503, json: { code: 'shutting_down' } });
    expect(refused.headers.get('retry-after')).toBe('1');
  });
});
