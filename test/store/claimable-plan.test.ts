import Sqlite from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { migrateDatabase } from '../../src/store/sqlite/migrations.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';

describe('a look for work behind a backlog', () => {
  it('goes by an index from tenant to tenant, and never over what each of them has', async () => {
    const path = await temporaryDatabase();
    const ran: string[] = [];
    const store = await sqliteStore({ path, system: fakeSystem(), onStatement: (sql) => ran.push(sql) });
    const database = new Sqlite(path);
    try {
      migrateDatabase(database);
      const insert = database.prepare(`INSERT INTO session (tenant, id, owner, agent, status, archived, active_at_ms, due_at_ms, fence, body) VALUES (?, ?, 'ada', 'one', 'ready', 0, 0, 0, 0, '{}')`);
      for (let place = 0; place < 9; place += 1) insert.run(place < 8 ? 'busy' : 'calm', `ses_${place}`);
      ran.length = 0;
      await store.findClaimable({ nowMs: 1, deadWorkers: [], agents: ['one'], limit: 4 });
      const looks = ran.filter((sql) => sql.startsWith('WITH RECURSIVE') || sql.includes('AS asked'));
      expect(looks.length).toBeGreaterThanOrEqual(3);
      for (const sql of looks) {
        const plan = (database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]).map(({ detail }) => detail);
        expect(plan.filter((detail) => detail.startsWith('SCAN session'))).toEqual([]);
        expect(plan.filter((detail) => detail.startsWith('SEARCH session'))).not.toEqual([]);
        for (const detail of plan.filter((each) => each.startsWith('SEARCH session'))) expect(detail).toMatch(/session_due_of_tenant|PRIMARY KEY \(rowid=\?\)/);
      }
    } finally {
      database.close();
      await store.close();
    }
  });
});
