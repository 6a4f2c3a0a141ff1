import pg from 'pg';
import { expect, it, onTestFinished } from 'vitest';
import { acceptStop } from '../../src/core/accept/stop.ts';
import { CaseClock, committed, Kit } from '../../src/store/conformance/kit.ts';
import type { PostgresClient } from '../../src/store/postgres/open-database.ts';
import { postgresStore } from '../../src/store/postgres/postgres-store.ts';
import { realSystem } from '../../src/system.ts';
import { uniqueSchema } from '../support/postgres-database.ts';

it.each(['repeatable read', 'serializable'])('a stop takes place though live output is stored between each of its tries and the lock, where transactions are %s', async (isolation) => {
  const { url, schema, drop } = await uniqueSchema();
  onTestFinished(drop);
  const connection = new URL(url);
  connection.searchParams.set('options', `-c default_transaction_isolation=${isolation.replaceAll(' ', '\\ ')}`);
  const open = (given: string | pg.Pool) => postgresStore({ connection: given, schema, system: realSystem(), dialect: { notify: false } });
  const writer = await open(connection.href);
  onTestFinished(() => writer.close());
  await writer.migrate();
  const kit = new Kit({ store: writer, close: () => writer.close() }, expect as never, new CaseClock());
  const { ref, lease: { fence }, attempt } = await kit.inWork();
  let stored = 0;
  const store = async (): Promise<void> => {
    if (await writer.appendChunkIfHeld({ ref, fence, attemptId: attempt.id, ordinal: stored, segments: [{ part: 0, type: 'text', offset: stored, text: '.' }] }) === 'stored') stored += 1;
  };

  const pool = new pg.Pool({ connectionString: connection.href, max: 4 });
  onTestFinished(() => pool.end());
  let locks = 0;
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as PostgresClient['query'];
    (client as unknown as PostgresClient).query = async (asked) => {
      if (asked.text.includes('FOR NO KEY UPDATE') && asked.text.includes('AS sees_all')) {
        locks += 1;
        // What the transaction sees is settled by its first look, and then somebody else is faster.
        await query({ text: 'SELECT 1' });
        await store();
      }
      return query(asked);
    };
  });
  const stopping = await open(pool);
  onTestFinished(() => stopping.close());
  committed(await kit.command(ref, acceptStop({}), { reads: { chunks: true } }, stopping));
  const step = (await kit.tail(ref)).entries.find((entry) => entry.kind === 'assistant-step');
  expect(step).toMatchObject({ parts: [{ type: 'text', text: '.'.repeat(stored) }] });
  expect(stored).toBe(locks);
});
