import { describe, expect, it } from 'vitest';
import { storeConformance, type OpenConformanceStore } from '../../src/store/conformance.ts';
import { postgresStore, type PostgresStoreOptions } from '../../src/store/postgres/postgres-store.ts';
import { realSystem } from '../../src/system.ts';
import { uniqueSchema } from '../support/postgres-database.ts';

const system = realSystem();

/** Opens stores in schemas of their own; `isolation`: what the database takes transactions for unless told otherwise. */
function onPostgres(options: Partial<PostgresStoreOptions> = {}, isolation = 'read committed'): OpenConformanceStore {
  return async ({ outboxKinds, nowMs }) => {
    const { url, schema, drop } = await uniqueSchema();
    const connection = new URL(url);
    connection.searchParams.set('options', `-c default_transaction_isolation=${isolation.replaceAll(' ', '\\ ')}`);
    const openAgain = () => postgresStore({ connection: connection.href, schema, system, outboxKinds, nowMs, connectionsMax: 6, ...options });
    let store = await openAgain();
    return {
      store,
      reopen: async () => {
        await store.close();
        store = await openAgain();
        return store;
      },
      peer: openAgain,
      close: async () => {
        await store.close();
        await drop();
      },
    };
  };
}

const api = { describe, it, expect };
const counts = {
  'Postgres': await storeConformance({ name: 'Postgres', open: onPostgres(), api }),
  // What an engine has that speaks Postgres's protocol and is another inside: every transaction serializable, no NOTIFY, no LISTEN, no SKIP LOCKED. Advisory locks are used nowhere.
  'an engine that is serializable and has neither NOTIFY nor SKIP LOCKED': await storeConformance({ name: 'Postgres as an engine that is serializable and has neither NOTIFY nor SKIP LOCKED', open: onPostgres({ dialect: { notify: false, skipLocked: false } }, 'serializable'), api }),
  'an engine that takes plain statements only': await storeConformance({ name: 'Postgres as an engine that takes plain statements only', open: onPostgres({ dialect: { commit: 'transaction', lock: 'update', notify: false }, preparedStatements: false }, 'repeatable read'), api }),
};

describe('the suite', () => {
  it('holds Postgres to as many facts as SQLite, and other engines to all but the hints that cross processes', () => {
    console.log(`store conformance: ${Object.entries(counts).map(([name, count]) => `${count} cases on ${name}`).join(', ')}`);
    expect(counts['Postgres']).toBeGreaterThan(160);
    expect(new Set(Object.values(counts).slice(1))).toEqual(new Set([counts['Postgres'] - 1]));
  });
});
