import { openDatabase } from '../../store/sqlite/open-database.ts';
import { commitsPerTurn } from './bench-agent.ts';

/**
 * The floor: turns of nothing but their four commits, each one row updated and one of 600 bytes inserted, on a database opened as the store opens
 * it. `grouped` sessions share a transaction. Returns turns per second.
 */
export async function measureFloor(path: string, grouped: number, forMs: number): Promise<number> {
  const database = await openDatabase(path);
  try {
    database.exec(`CREATE TABLE IF NOT EXISTS session (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL);
      CREATE TABLE IF NOT EXISTS entry (session_id INTEGER, seq INTEGER, body TEXT, PRIMARY KEY (session_id, seq)) WITHOUT ROWID;
      DELETE FROM session; DELETE FROM entry;`);
    const insertSession = database.prepare('INSERT INTO session VALUES (?, 0)');
    for (let id = 0; id < grouped; id += 1) insertSession.run(id);
    const update = database.prepare('UPDATE session SET revision = ? WHERE id = ?');
    const insert = database.prepare('INSERT INTO entry VALUES (?, ?, ?)');
    const body = 'x'.repeat(600);
    const startedAt = performance.now();
    let commits = 0;
    while (performance.now() - startedAt < forMs) {
      commits += 1;
      database.exec('BEGIN IMMEDIATE');
      for (let id = 0; id < grouped; id += 1) {
        update.run(commits, id);
        insert.run(id, commits, body);
      }
      database.exec('COMMIT');
    }
    return ((commits * grouped) / commitsPerTurn / (performance.now() - startedAt)) * 1000;
  } finally {
    database.close();
  }
}
