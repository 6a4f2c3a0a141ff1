/** The floor of the fan-out: a server of Node that writes the same frame to all its connections, over and over: `bare-streams.ts {"frameBytes": N}`. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { asBenchProcess } from './bench-process.ts';

const { config, say } = asBenchProcess<{ readonly frameBytes: number }>({ begin });
const frame = Buffer.from(`data: ${'x'.repeat(Math.max(0, config.frameBytes - 8))}\n\n`);
const open = new Set<ServerResponse>();
const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  open.add(response);
  response.on('close', () => open.delete(response));
});
server.listen(0, '127.0.0.1', () => say('ready', { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }));

function begin(): object {
  const round = (): void => {
    for (const response of open) if (!response.writableNeedDrain) response.write(frame);
    setImmediate(round);
  };
  round();
  return {};
}
