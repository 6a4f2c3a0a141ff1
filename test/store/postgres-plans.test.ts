import pg from 'pg';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { tool } from '../../src/index.ts';
import { postgresStore } from '../../src/store/postgres/postgres-store.ts';
import type { StoreSettings } from '../../src/store-url.ts';
import { realSystem } from '../../src/system.ts';
import { temporaryPostgres } from '../support/postgres-database.ts';
import { calling, runTurn } from '../support/run-turn.ts';

/** How a plan finds rows of a table: by which index, with which conditions. */
interface Look {
  readonly index: string;
  readonly table: string;
  readonly conditions: string;
}

function looksOf(plan: readonly string[]): readonly Look[] {
  return plan.flatMap((line, place) => {
    const found = /Index (?:Only )?Scan (?:Backward )?using (\w+) on (?:\w+\.)?(\w+)/.exec(line);
    if (found === null) return [];
    return [{ index: found[1] ?? '', table: found[2] ?? '', conditions: /Index Cond: (.*)/.exec(plan[place + 1] ?? '')?.[1] ?? '' }];
  });
}

it('plans that are made while the tables are empty look rows up by their whole key, never through all rows of a tenant', async () => {
  const database = await temporaryPostgres();
  const statements = new Set<string>();
  const index = tool({ inputSchema: z.object({}), background: 'detach', execute: () => Promise.resolve('indexed') });
  const store = { open: (settings: StoreSettings) => postgresStore({ ...settings, connection: database.url, schema: 'used', onStatement: (text) => statements.add(text) }) };
  const { holdfast, session } = await runTurn({ store, tools: { index, look: tool({ inputSchema: z.object({}), execute: () => 'seen' }) }, script: [calling(['look'], ['index']), 'done', 'noted'] });
  const { items: [operation] } = await session.operations();
  if (operation !== undefined) await holdfast.operations.cancel(operation.id).catch(() => undefined);
  await session.send('again', { idempotencyKey: 'once' }).then(({ result }) => result);
  await session.stop();
  await holdfast.sessions.list();
  await holdfast.usage();
  await holdfast.usage({ owner: 'local' });
  await session.delete();

  const fresh = await postgresStore({ connection: database.url, schema: 'fresh', system: realSystem() });
  onTestFinished(() => fresh.close());
  await fresh.migrate();
  const client = new pg.Client({ connectionString: database.url });
  onTestFinished(async () => {
    await client.end();
    await fresh.close();
    await database.drop();
  });
  await client.connect();
  const byTenantOnly: string[] = [];
  const seen = new Set<string>();
  for (const settings of ['RESET ALL', 'SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off']) {
    await client.query(settings);
    for (const text of [...statements].filter((each) => /^\s*(?:SELECT|WITH|UPDATE|DELETE|INSERT)/.test(each) && each.includes('"used".'))) {
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN (GENERIC_PLAN) ${text.replaceAll('"used".', '"fresh".')}`);
      for (const look of looksOf(rows.map((row) => row['QUERY PLAN']))) {
        seen.add(look.table);
        const isOfList = text.includes('active_at_ms >= 0') || text.startsWith('WITH RECURSIVE');
        if (!isOfList && /^\(\(?tenant = [^)]*\)+$/.test(look.conditions)) byTenantOnly.push(`${look.index}: ${look.conditions} in ${text}`);
      }
    }
  }
  expect([...seen]).toEqual(expect.arrayContaining(['session', 'entry', 'chunk', 'operation', 'outcome', 'idempotency', 'usage_counter', 'usage_total']));
  expect(byTenantOnly).toEqual([]);
});
