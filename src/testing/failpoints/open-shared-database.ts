import { isPostgresUrl, postgresUrlParts } from '../../store-url.ts';
import { realSystem } from '../../system.ts';
import type { SharedDatabase } from '../simulation/shared-database.ts';
import { SimulatedDatabase } from '../simulation/simulated-database.ts';
import { PostgresSharedDatabase } from './postgres-shared-database.ts';

/** The kind of store that a URL names, to fail: SQLite in memory for any `sqlite:`; for `postgres://…` a schema of its own in that database, which is gone when it is closed. Rejects as opening the store does. */
export async function openSharedDatabase(url: string): Promise<SharedDatabase> {
  if (!isPostgresUrl(url)) return SimulatedDatabase.open();
  const schema = `holdfast_failpoints_${realSystem().ids.mint('res').slice(-16)}`;
  return PostgresSharedDatabase.open({ connection: postgresUrlParts(url).connection, schema });
}
