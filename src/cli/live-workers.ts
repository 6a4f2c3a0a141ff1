import { existsSync } from 'node:fs';
import { openDatabase } from '../store/sqlite/open-database.ts';
import { WorkerLocks } from '../store/sqlite/worker-lock.ts';
import { sqlitePathOf } from './open-store.ts';

/** Whether another process works on this store now: its lease runs and its lock is held. */
export async function isWorkedOn(storeUrl: string): Promise<boolean> {
  const path = sqlitePathOf(storeUrl);
  if (path === null || !existsSync(path)) return false;
  const database = await openDatabase(path);
  try {
    if (database.pragma('user_version', { simple: true }) === 0) return false; // nobody has been here yet
    const workers = database.prepare('SELECT id FROM worker WHERE lease_until_ms > ?').pluck().all(Date.now()) as string[];
    if (workers.length === 0) return false;
    const { default: Sqlite } = await import('better-sqlite3');
    const locks = new WorkerLocks(path, Sqlite);
    return workers.some((worker) => !locks.isFree(worker));
  } finally {
    database.close();
  }
}
