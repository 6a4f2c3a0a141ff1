import Sqlite from 'better-sqlite3';
import { isPostgresUrl, postgresUrlParts } from '../../src/store-url.ts';
import type { Child } from './child-process.ts';
import { eventually } from './eventually.ts';
import { onPostgres } from './schema-requirement.ts';

/**
 * Stops a process with SIGSTOP where it does not hold the database. One that is stopped in the middle of a commit keeps what it has locked, a whole SQLite file perhaps, which no design
 * of ours can help; so it is let go on until it is not.
 */
export async function stopBetweenCommits(child: Child, url: string): Promise<void> {
  await eventually('the process to stand between two commits', async () => {
    await child.signal('SIGSTOP');
    if (!(isPostgresUrl(url) ? await isInTransaction(url) : isLocked(url.replace('sqlite:', '')))) return true;
    await child.signal('SIGCONT');
    return false;
  });
}

function isLocked(path: string): boolean {
  const probe = new Sqlite(path, { timeout: 0 });
  try {
    probe.exec('BEGIN IMMEDIATE; ROLLBACK');
    return false;
  } catch (error) {
    if (!(error instanceof Sqlite.SqliteError) || error.code !== 'SQLITE_BUSY') throw error;
    return true;
  } finally {
    probe.close();
  }
}

/** Whether anybody stands in a transaction in which the schema was last spoken of. */
async function isInTransaction(url: string): Promise<boolean> {
  const { connection, schema = '' } = postgresUrlParts(url);
  const rows = await onPostgres(connection, `SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND (query LIKE '%${schema}%' OR query = 'BEGIN')`);
  return rows.length > 0;
}
