import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener, RequestError } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { HoldfastError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Clock } from '../core/system.ts';
import { realSystem } from '../system.ts';
import type { ListenerEnv } from './listener-env.ts';
import { isLoopbackName } from './local-request.ts';
import { problemResponse } from './problem.ts';
import { sendEventStream } from './sse.ts';

export interface ListenOptions {
  /** What answers: `holdfast.fetch`. */
  readonly fetch: (request: Request, env: ListenerEnv) => Response | Promise<Response>;
  /** Name or address to listen on. Default `127.0.0.1`. */
  readonly host?: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Whether callers have to say who they are (`createHoldfast({ authenticate })`); without it only this machine is served. Default false. */
  readonly authenticated?: boolean;
  /** How long closing lets open requests finish, in milliseconds. Default 10,000. */
  readonly graceMs?: number;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

export interface Listener {
  /** Where it answers, with the port that it got: `http://127.0.0.1:4983`. */
  readonly url: string;
  /**
   * Takes no more requests, asks streams to reconnect and breaks them off, gives open requests their grace time, then resolves. Harmless to repeat.
   */
  readonly close: () => Promise<void>;
}

/** So long, in milliseconds, closing waits for a first request on a connection on which nothing has come yet. */
const unaskedMs = 250;

/**
 * Serves HTTP. Rejects with `HoldfastError` code `listen_refused` when it would serve other machines without asking who they are, and with Node's
 * error where the address cannot be had (`EADDRINUSE`, `EACCES`, …).
 */
export async function listen({ fetch, host = '127.0.0.1', port, authenticated = false, graceMs = limits.stopGraceMs, clock = realSystem().clock }: ListenOptions): Promise<Listener> {
  if (!authenticated && !isLoopbackName(host)) throw refusal(host);
  const closing = new AbortController();
  const server = createServer({ headersTimeout: limits.requestHeadMsMax, requestTimeout: limits.requestMsMax, keepAliveTimeout: limits.connectionIdleMsMax });
  const answer = getRequestListener(async (request, env) => {
    const response = await fetch(request, { closing: closing.signal });
    return sendEventStream(response, env.outgoing as ServerResponse) ? RESPONSE_ALREADY_SENT : response;
  }, { hostname: host, errorHandler: answerMalformed, overrideGlobalObjects: false });
  const open = new Set<ServerResponse>();
  const unasked = new Set<Socket>();
  server.on('connection', (socket) => {
    unasked.add(socket);
    socket.once('close', () => unasked.delete(socket));
  });
  server.on('request', (incoming, outgoing) => {
    unasked.delete(incoming.socket);
    open.add(outgoing);
    outgoing.shouldKeepAlive &&= !closing.signal.aborted;
    outgoing.once('close', () => {
      open.delete(outgoing);
      if (closing.signal.aborted) server.closeIdleConnections();
    });
    void answer(incoming, outgoing);
  });
  await listening(server, host.replace(/^\[(.*)\]$/, '$1'), port);
  const address = server.address() as AddressInfo;
  if (!authenticated && !isLoopbackName(address.address)) {
    server.close();
    throw refusal(`${host}, which is ${address.address},`);
  }
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    // A reply that has not begun says that its connection ends with it.
    for (const outgoing of open) if (!outgoing.headersSent) outgoing.shouldKeepAlive = false;
    closing.abort();
    // Browsers keep connections in reserve on which nothing may ever be asked: to Node these are not idle, and it would wait for them.
    const cancelUnasked = clock.after(Math.min(graceMs, unaskedMs), () => {
      for (const socket of unasked) if (socket.bytesRead === 0) socket.destroy();
    });
    const cancelGrace = clock.after(graceMs, () => server.closeAllConnections());
    await closed;
    cancelUnasked();
    cancelGrace();
  };
  let closed: Promise<void> | null = null;
  return { url: `http://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${address.port}`, close: () => (closed ??= close()) };
}

function refusal(host: string): HoldfastError {
  return new HoldfastError('listen_refused', `without authentication everybody who reaches ${host} could read and change every session: configure authenticate, or listen on 127.0.0.1`);
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** A request that is none: no usable address or host. */
function answerMalformed(error: unknown): Response {
  if (error instanceof RequestError) return problemResponse('invalid_request', `the request's address is not valid: ${error.message}`);
  return problemResponse('internal_error', 'something went wrong inside the server');
}
