// The reference server over HTTP, on 127.0.0.1 and the given port (0: a free one), which it does not offer itself. Says `listening` with its port.
import { Server } from 'node:net';

const { port } = JSON.parse(process.argv[2] ?? '{}') as { readonly port: number };
const listen = Reflect.get(Server.prototype, 'listen') as (this: Server, options: object, onListening?: () => void) => Server;

Server.prototype.listen = function listenOnLoopback(this: Server, ...given: unknown[]): Server {
  this.once('listening', () => {
    const address = this.address();
    process.send?.({ event: 'listening', port: typeof address === 'object' ? address?.port : null });
  });
  return listen.call(this, { host: '127.0.0.1', port }, given.find((each) => typeof each === 'function') as (() => void) | undefined);
};
console.log = () => undefined; // it reports each request
process.argv[2] = 'streamableHttp';
const server = '@modelcontextprotocol/server-everything/dist/index.js';
await import(server);
