// A process that has to do with Postgres, as a test's child. Its argument says how:
//   role "owner":  starts a server of its own and never stops it
//   role "guest":  asks for the server of the run

import { PostgresServer } from '../../support/postgres-server.ts';
import { sharedPostgresUrl } from '../../support/postgres-url.ts';

const { role } = JSON.parse(process.argv[2] ?? '{}') as { role?: string };

if (role === 'owner') {
  const server = new PostgresServer();
  await server.start();
  process.send?.({ event: 'started', url: server.url });
} else {
  process.send?.({ event: 'found', url: await sharedPostgresUrl() });
  process.disconnect();
}
