/** The client of the fan-out: opens streams and counts the frames that come. */
import { connect } from 'node:net';
import { asBenchProcess, wallMs, type Message } from './bench-process.ts';

const counted = { frames: 0, bytes: 0, closed: 0 };
const lineFeed = 10;
const { say } = asBenchProcess<object>({ follow, count: () => ({ ...counted, atMs: wallMs() }) });
say('ready');

/** Resolves when all streams have begun. */
async function follow({ urls }: Message): Promise<object> {
  const begun = (urls as readonly string[]).map((url) => new Promise<void>((resolve, reject) => {
    const { hostname, port, pathname, search, host } = new URL(url);
    const socket = connect(Number(port), hostname, () => socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`));
    let last = 0;
    socket.once('data', (head) => (head.subarray(0, 20).includes(' 200 ') ? resolve() : reject(new Error(head.toString('latin1').slice(0, 300)))));
    socket.on('data', (bytes) => {
      counted.bytes += bytes.length;
      // A frame ends with an empty line; chunks of the response's own begin and end with carriage returns.
      if (last === lineFeed && bytes[0] === lineFeed) counted.frames += 1;
      for (let at = bytes.indexOf('\n\n'); at !== -1; at = bytes.indexOf('\n\n', at + 2)) counted.frames += 1;
      last = bytes.at(-1) ?? 0;
    });
    socket.on('error', reject);
    socket.on('close', () => { counted.closed += 1; });
  }));
  await Promise.all(begun);
  return {};
}
