import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** What the server sends last when it has done all that it was asked for, outside a transaction. */
const readyAndIdle = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/** Stands between a store's own pool and the server, and breaks a connection when the server has done what the store will not hear of. */
export class PostgresProxy {
  readonly #server: Server;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #lost: { readonly mark: string; readonly resolve: () => void } | null = null;

  private constructor(server: Server, target: URL) {
    this.#server = server;
    this.#target = target;
    server.on('connection', (client) => this.#join(client));
  }

  static async open(url: string): Promise<PostgresProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new PostgresProxy(server, new URL(url));
  }

  get url(): string {
    const own = new URL(this.#target);
    own.hostname = '127.0.0.1';
    own.port = String((this.#server.address() as AddressInfo).port);
    return own.href;
  }

  /** The next request with the mark in its bytes reaches the server, which does it; then its connection breaks. Resolves when that has happened. */
  loseReplyTo(mark: string): Promise<void> {
    return new Promise((resolve) => { this.#lost = { mark, resolve }; });
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: Socket): void {
    const server = connect(Number(this.#target.port), this.#target.hostname);
    let losing: (() => void) | null = null;
    const end = (): void => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      // Whichever end breaks, the other hears of it.
      socket.on('error', end).on('close', () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    client.on('data', (bytes) => {
      if (this.#lost !== null && bytes.includes(this.#lost.mark)) {
        losing = this.#lost.resolve;
        this.#lost = null;
      }
      server.write(bytes);
    });
    server.on('data', (bytes) => {
      if (losing === null) {
        client.write(bytes);
        return;
      }
      if (!bytes.subarray(-readyAndIdle.length).equals(readyAndIdle)) return;
      losing();
      end();
    });
  }
}
