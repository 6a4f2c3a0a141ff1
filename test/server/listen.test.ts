import { connect } from 'node:net';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listen, type ListenOptions, type Listener } from '../../src/server/listen.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { rawRequest } from '../support/raw-request.ts';

const hello: ListenOptions['fetch'] = () => new Response('hello');

async function listening(options: Partial<ListenOptions> = {}): Promise<Listener> {
  const listener = await listen({ fetch: hello, port: 0, authenticated: false, ...options });
  onTestFinished(() => listener.close());
  return listener;
}

describe('listening', () => {
  it('is on 127.0.0.1 and says where', async () => {
    const { url } = await listening();
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await (await fetch(url)).text()).toBe('hello');
  });

  it.each(['localhost', '127.0.0.1', '127.0.0.2', '::1', '[::1]'])('without authentication may be on %s', async (host) => {
    const { url } = await listening({ host });
    expect(await (await fetch(url)).text()).toBe('hello');
  });

  it.each(['0.0.0.0', '::', '', '192.168.1.7', 'chat.example', '::ffff:127.0.0.1'])('without authentication is refused on %j, saying what to do', async (host) => {
    await expect(listen({ fetch: hello, host, port: 0, authenticated: false })).rejects.toMatchObject({ name: 'HoldfastError', code: 'listen_refused', message: /configure authenticate, or listen on 127\.0\.0\.1/ });
  });

  it('with authentication may be on any address', async () => {
    const { url } = await listening({ host: '0.0.0.0', authenticated: true });
    expect(await (await fetch(url.replace('0.0.0.0', '127.0.0.1'))).text()).toBe('hello');
  });

  it('on a port that is taken rejects', async () => {
    const { url } = await listening();
    await expect(listen({ fetch: hello, port: Number(new URL(url).port), authenticated: false })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('leaves the globals of the process as they are', async () => {
    const before = [globalThis.Request, globalThis.Response];
    const { url } = await listening();
    await fetch(url);
    expect([globalThis.Request, globalThis.Response]).toEqual(before);
  });
});

describe('closing', () => {
  it('may be asked for again', async () => {
    const { url, close } = await listening();
    await Promise.all([close(), close()]);
    await close();
    await expect(fetch(url)).rejects.toThrow();
  });

  it('lets an open request finish, and closes its connection after it', async () => {
    const [arrived, answer] = [gate(), gate()];
    const { url, close } = await listening({
      fetch: async () => {
        arrived.open();
        await answer.pass();
        return new Response('finished');
      },
    });
    const reply = fetch(url);
    await arrived.pass();
    const closed = close();
    await expect(fetch(url)).rejects.toThrow();
    answer.open();
    const response = await reply;
    expect({ text: await response.text(), connection: response.headers.get('connection') }).toEqual({ text: 'finished', connection: 'close' });
    await closed;
  });

  it('cuts a request that takes longer than the grace time', async () => {
    const system = fakeSystem();
    const arrived = gate();
    const { url, close } = await listening({
      clock: system.clock, graceMs: 5_000,
      fetch: () => {
        arrived.open();
        return new Promise<Response>(() => undefined);
      },
    });
    const reply = fetch(url).then(() => 'answered', () => 'cut');
    await arrived.pass();
    let closed = false;
    const closing = close().then(() => { closed = true; });
    await system.advance(4_999);
    expect(closed).toBe(false);
    await system.advance(1);
    await closing;
    expect(await reply).toBe('cut');
  });

  it('does not wait out its grace time for connections that ask for nothing', async () => {
    const system = fakeSystem();
    const { url, close } = await listening({ clock: system.clock });
    const { hostname, port } = new URL(url);
    const idle = connect(Number(port), hostname);
    await once(idle, 'connect');
    const gone = once(idle, 'close');
    const asking = connect(Number(port), hostname);
    asking.write('GET / HTTP/1.1\r\nhost: localhost\r\n');
    await once(asking, 'connect');
    // By the end of a later request the server has read what came before it.
    await rawRequest(url, ['GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n']);
    let closed = false;
    const closing = close().then(() => { closed = true; });
    await system.advance(250);
    await gone;
    // A request that is on its way is let finish.
    expect(closed).toBe(false);
    const answer = once(asking, 'data');
    asking.write('\r\n');
    expect(String((await answer)[0])).toMatch(/^HTTP\/1\.1 200 /);
    await closing;
  });
});

describe('a request that is none', () => {
  it.each([
    ['without a host', 'GET / HTTP/1.1\r\n\r\n'], ['of another protocol', 'HELO there\r\n\r\n'], ['with a head of 100 KB', `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`],
    ['with a host that is none', 'GET / HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n'],
  ])('is refused and harms nobody: %s', async (_what, bytes) => {
    const { url } = await listening();
    expect(await rawRequest(url, [bytes])).toMatch(/^HTTP\/1\.1 4(?:00|31) /);
    expect(await (await fetch(url)).text()).toBe('hello');
  });
});
