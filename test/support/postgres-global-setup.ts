import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PostgresServer } from './postgres-server.ts';
import { brokerVariable, givenPostgresUrl } from './postgres-url.ts';

/**
 * One Postgres server for a whole test run, started when the first test asks for it and ended after the last. Tests and the processes that they start
 * ask an address of this process, which the environment tells them: `sharedPostgresUrl()` does. With DATABASE_URL set there is nothing to do.
 */
export default async function setUp(): Promise<() => Promise<void>> {
  if (givenPostgresUrl() !== undefined) return async () => undefined;
  const server = new PostgresServer();
  const secretPath = `/${randomBytes(16).toString('hex')}`;
  let started: Promise<void> | undefined;
  const broker = createServer((request, response) => {
    if (request.url !== secretPath) {
      response.writeHead(404).end();
      return;
    }
    started ??= server.start();
    started.then(
      () => response.end(server.url),
      (error: unknown) => response.writeHead(500).end(textOf(error)),
    );
  });
  broker.listen(0, '127.0.0.1');
  await once(broker, 'listening');
  process.env[brokerVariable] = `http://127.0.0.1:${(broker.address() as AddressInfo).port}${secretPath}`;
  return async () => {
    delete process.env[brokerVariable];
    broker.close();
    broker.closeAllConnections();
    await Promise.allSettled([started]); // whoever asked has been told how it went
    await server.stop({ remove: true });
  };
}

/** The error with its causes, a line each: in the test's process nothing else is left of them. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}\nbecause: ${textOf(error.cause)}`;
}
