import pg from 'pg';
import { expect, it, onTestFinished } from 'vitest';
import { postgresStore } from '../../src/store/postgres/postgres-store.ts';
import { realSystem } from '../../src/system.ts';
import { eventually } from '../support/eventually.ts';
import { temporaryPostgres } from '../support/postgres-database.ts';

it('connections that break while the store closes do not end the process', async () => {
  const { url, drop } = await temporaryPostgres();
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  onTestFinished(async () => {
    await admin.end();
    await drop();
  });
  const others = 'SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = \'client backend\'';
  for (let round = 0; round < 5; round += 1) {
    const store = await postgresStore({ connection: url, system: realSystem() });
    await store.migrate();
    await Promise.all(Array.from({ length: 8 }, () => store.listWorkers()));
    // Uncaught, what the pool says of them after its end would fail the run.
    await Promise.all([admin.query(`SELECT pg_terminate_backend(pid) FROM (${others}) AS idle`), store.close()]);
    await eventually('the end of all connections', async () => (await admin.query(others)).rows.length === 0);
    await expect(store.listWorkers()).rejects.toMatchObject({ code: 'store_closed' });
  }
});
