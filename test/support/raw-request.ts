import { connect } from 'node:net';

/** Sends bytes as they are and resolves with all that came back when the connection has ended, in whatever way. */
export function rawRequest(url: string, pieces: readonly (string | Uint8Array)[]): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    let received = '';
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => { received += text; });
    // A server that does not read on may reset the connection: what came before counts.
    socket.on('error', (error) => { received += `\n(${error.message})`; });
    socket.on('close', () => resolve(received));
    for (const piece of pieces) socket.write(piece);
  });
}
