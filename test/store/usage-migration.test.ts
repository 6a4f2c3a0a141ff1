import { readFileSync } from 'node:fs';
import Sqlite from 'better-sqlite3';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import { dayOf } from '../../src/core/calendar.ts';
import { countOf, noCount, sumCounts } from '../../src/core/usage.ts';
import { Database } from '../../src/store/postgres/open-database.ts';
import { migrateDatabase as migratePostgres } from '../../src/store/postgres/migrations.ts';
import { postgresStore } from '../../src/store/postgres/postgres-store.ts';
import { migrateDatabase } from '../../src/store/sqlite/migrations.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { uniqueSchema } from '../support/postgres-database.ts';

type Rows = Record<string, Record<string, string | number | null>[]>;

/** Rows as Holdfast wrote them before it counted, with one entry that a fork has copied, and one of a provider that did not count in whole tokens. */
const rows = JSON.parse(readFileSync(new URL('version-3-rows.json', import.meta.url), 'utf8').replace('\\"inputTokens\\":3', '\\"inputTokens\\":3.4')) as Rows;
const recorded = (rows['entry'] ?? []).map(({ body }) => JSON.parse(String(body)) as Entry);
const copied = recorded.find(({ kind }) => kind === 'assistant-step');
const last = rows['entry']?.at(-1);

function entryRows(): readonly Record<string, string | number | null>[] {
  const [ofSession] = rows['session'] ?? [];
  return [...(rows['entry'] ?? []), { ...last, session_id: String(ofSession?.['id']), seq: 9_999, body: JSON.stringify({ ...copied, seq: 9_999, copied: true }) } as Record<string, string | number | null>];
}

function insertText(table: string, row: object, placeholder: (place: number) => string): string {
  return `INSERT INTO ${table} (${Object.keys(row).join(', ')}) VALUES (${Object.keys(row).map((_key, place) => placeholder(place + 1)).join(', ')})`;
}

async function onSqlite(): Promise<Store> {
  const file = await temporaryDatabase();
  const database = new Sqlite(file);
  migrateDatabase(database, 3);
  for (const [table, written] of [['session', rows['session'] ?? []], ['entry', entryRows()]] as const) for (const row of written) database.prepare(insertText(table, row, () => '?')).run(...Object.values(row));
  database.close();
  return sqliteStore({ path: file, system: realSystem(), outboxKinds: [] });
}

async function onPostgres(): Promise<Store> {
  const { url, schema, drop } = await uniqueSchema();
  onTestFinished(drop);
  const database = await Database.open({ connection: url, schema, connectionsMax: 2, preparedStatements: false, system: realSystem() });
  await migratePostgres(database, schema, 1);
  for (const [table, written] of [['session', rows['session'] ?? []], ['entry', entryRows()]] as const) {
    for (const row of written) {
      const values = { ...row, commit_id: 'of version 1', ...('archived' in row ? { archived: row['archived'] === 1 } : {}) };
      await database.run({ text: insertText(`${schema}.${table}`, values, (place) => `$${place}`), values: Object.values(values) });
    }
  }
  await database.close();
  return postgresStore({ connection: url, schema, system: realSystem(), outboxKinds: [] });
}

describe.each([['SQLite', onSqlite], ['Postgres', onPostgres]] as const)('what was recorded before there were counters, on %s', (_name, open) => {
  it('is counted when the schema is brought up to date: each attempt once, those whose usage is not known as such, and nothing that was copied', async () => {
    const store = await open();
    onTestFinished(() => store.close());
    await store.migrate();
    const expected = sumCounts(recorded.flatMap((entry) => countOf(entry) ?? []));
    expect(recorded.some((entry) => 'attempt' in entry && entry.attempt.usage?.inputTokens === 3.4)).toBe(true);
    expect([expected.attempts > 3, expected.attemptsWithoutUsage > 0, expected.inputTokens > 0]).toEqual([true, true, true]);
    const days = recorded.map(({ atMs }) => dayOf(atMs));
    for (const owner of ['ada', undefined]) {
      const read = await store.usage.readDays({ tenant: 'acme', owner, fromDay: Math.min(...days), toDay: Math.max(...days) });
      expect(sumCounts(read.map(({ count }) => count))).toEqual(expected);
    }
    expect(sumCounts((await store.usage.readDays({ tenant: 'other', fromDay: Math.min(...days), toDay: Math.max(...days) })).map(({ count }) => count))).toEqual(noCount);
  });
});
