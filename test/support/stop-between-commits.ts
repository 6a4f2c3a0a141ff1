import Sqlite from 'better-sqlite3';
import type { Child } from './child-process.ts';
import { eventually } from './eventually.ts';

/**
 * Stops a process with SIGSTOP where it does not hold the database. One that is stopped in the middle of a commit keeps the whole file locked, which no design
 * of ours can help; so it is let go on until it is not.
 */
export async function stopBetweenCommits(child: Child, path: string): Promise<void> {
  const probe = new Sqlite(path, { timeout: 0 });
  try {
    await eventually('the process to stand between two commits', async () => {
      await child.signal('SIGSTOP');
      try {
        probe.exec('BEGIN IMMEDIATE; ROLLBACK');
        return true;
      } catch (error) {
        if (!(error instanceof Sqlite.SqliteError) || error.code !== 'SQLITE_BUSY') throw error;
        await child.signal('SIGCONT');
        return false;
      }
    });
  } finally {
    probe.close();
  }
}
