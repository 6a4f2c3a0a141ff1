import Sqlite from 'better-sqlite3';
import pg from 'pg';
import { isPostgresUrl, postgresUrlParts } from '../../src/store-url.ts';

/** Does what a migration of a later version does that takes something away: only software of that version may work on the data from now on. */
export async function requireNewerVersion(url: string, version = 1_000): Promise<void> {
  if (isPostgresUrl(url)) {
    const { connection, schema = 'holdfast' } = postgresUrlParts(url);
    await onPostgres(connection, `UPDATE ${schema}.requirement SET oldest_version = ${version}; INSERT INTO ${schema}.schema_version VALUES (${version})`);
    return;
  }
  const database = new Sqlite(url.replace('sqlite:', ''));
  database.exec(`UPDATE requirement SET oldest_version = ${version}; PRAGMA user_version = ${version}`);
  database.close();
}

/** Runs statements on a connection of their own. */
export async function onPostgres(connection: string, text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: connection });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(text);
    return rows;
  } finally {
    await client.end();
  }
}
