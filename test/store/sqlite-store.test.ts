import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import Sqlite from 'better-sqlite3';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Kit, keyOf } from '../../src/store/conformance/kit.ts';
import { schemaVersionLatest } from '../../src/store/sqlite/migrations.ts';
import { openDatabase, requireVersion, sqliteVersionMin } from '../../src/store/sqlite/open-database.ts';
import { sqliteStore, type SqliteStoreOptions } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { walCommits } from '../support/wal-commits.ts';

/** A migrated store on a file, closed when the test ends. */
async function kitOn(file: string, options: Partial<SqliteStoreOptions> = {}): Promise<Kit> {
  const store = await sqliteStore({ path: file, system: realSystem(), ...options });
  onTestFinished(() => store.close());
  await store.migrate();
  return new Kit({ store, close: () => store.close() }, expect);
}

/** A connection of the test's own to the same file. */
function connection(file: string): Sqlite.Database {
  const database = new Sqlite(file);
  onTestFinished(() => void database.close());
  return database;
}

describe('a SQLite file', () => {
  it('is opened in WAL mode with every commit synced', async () => {
    const file = await temporaryDatabase();
    const database = await openDatabase(file);
    expect([database.pragma('journal_mode', { simple: true }), database.pragma('synchronous', { simple: true })]).toEqual(['wal', 2]);
    database.close();
    const kit = await kitOn(file);
    await kit.create();
    expect(walCommits(file)).toBeGreaterThan(0);
  });

  it('syncs at each acknowledged commit, as SQLite itself reports it', async () => {
    const statements: string[] = [];
    const kit = await kitOn(await temporaryDatabase(), { onStatement: (sql) => statements.push(sql) });
    await kit.create();
    // No statement of the store weakens what opening has set.
    expect(statements.filter((sql) => /pragma synchronous/i.test(sql))).toEqual(['PRAGMA synchronous = FULL']);
    expect(statements.filter((sql) => /journal_mode/i.test(sql))).toEqual(['PRAGMA journal_mode = WAL']);
  });

  it('is refused under a SQLite that may corrupt it', () => {
    expect(sqliteVersionMin.join('.')).toBe('3.51.3');
    for (const version of ['3.51.2', '3.50.9', '3.7.17', '2.99.99', '', 'unknown']) {
      expect(() => requireVersion('SQLite', version, sqliteVersionMin), version).toThrow(expect.objectContaining({ name: 'StoreError', code: 'store_unsupported' }));
    }
    for (const version of ['3.51.3', '3.51.10', '3.52.0', '4.0.0']) expect(() => requireVersion('SQLite', version, sqliteVersionMin), version).not.toThrow();
  });

  it('goes on being used when a newer version of Holdfast has migrated it, until that asks for the newer one', async () => {
    const file = await temporaryDatabase();
    const kit = await kitOn(file);
    const session = await kit.create();
    await kit.store.registerWorker({ id: 'wrk_a', leaseMs: 60_000, agents: [] });
    connection(file).exec(`PRAGMA user_version = ${schemaVersionLatest + 1}; UPDATE requirement SET oldest_version = ${schemaVersionLatest}`);
    await kit.store.migrate();
    expect(await kit.store.readSession(keyOf(session))).toEqual(session);
    expect(await kit.store.renewWorker('wrk_a', 60_000)).toEqual({ held: [], outdated: false });
    connection(file).exec(`UPDATE requirement SET oldest_version = ${schemaVersionLatest + 1}`);
    expect(await kit.store.renewWorker('wrk_a', 60_000)).toEqual({ held: [], outdated: true });
  });

  it('is refused when it asks for a newer version of Holdfast, and left as it is', async () => {
    const file = await temporaryDatabase();
    const kit = await kitOn(file);
    const session = await kit.create();
    connection(file).exec(`PRAGMA user_version = ${schemaVersionLatest + 1}; UPDATE requirement SET oldest_version = ${schemaVersionLatest + 1}`);
    const store = await sqliteStore({ path: file, system: realSystem() });
    onTestFinished(() => store.close());
    await expect(store.migrate()).rejects.toMatchObject({ name: 'StoreError', code: 'store_unsupported' });
    expect(connection(file).pragma('user_version', { simple: true })).toBe(schemaVersionLatest + 1);
    expect(await kit.store.readSession(keyOf(session))).toEqual(session);
  });

  it('that cannot be opened, or is none, is a StoreError', async () => {
    const file = await temporaryDatabase();
    const folder = path.join(path.dirname(file), 'folder');
    mkdirSync(folder);
    await expect(openDatabase(folder)).rejects.toMatchObject({ name: 'StoreError', code: 'store_unavailable' });
    await expect(openDatabase(path.join(folder, 'missing', 'x.db'))).rejects.toMatchObject({ name: 'StoreError', code: 'store_unavailable' });
    writeFileSync(file, 'this is a letter and no database, whatever its name says'.repeat(100));
    await expect(openDatabase(file)).rejects.toMatchObject({ name: 'StoreError', code: 'store_unavailable' });
  });

  it('that fails under the store rejects reads and writes with a StoreError', async () => {
    const file = await temporaryDatabase();
    const kit = await kitOn(file);
    const session = await kit.create();
    connection(file).exec('DROP TABLE entry');
    await expect(kit.store.readEntries(keyOf(session), { limit: 1 })).rejects.toMatchObject({ name: 'StoreError', code: 'store_unavailable' });
    await expect(kit.touch(session, 'x')).rejects.toMatchObject({ name: 'StoreError', code: 'store_unavailable' });
    expect((await kit.store.readSession(keyOf(session)))?.title).toBe(null);
  });

  it('holds the commits of one moment in one transaction', async () => {
    const file = await temporaryDatabase();
    const kit = await kitOn(file);
    const sessions = await Promise.all(Array.from({ length: 30 }, () => kit.create()));
    const before = walCommits(file);
    await Promise.all(sessions.flatMap((session) => ['a', 'b', 'c'].map((title) => kit.touch(session, title))));
    expect(walCommits(file) - before).toBe(1);
    await kit.touch(sessions[0] ?? { tenant: '', id: '' }, 'alone');
    expect(walCommits(file) - before).toBe(2);
    await Promise.all(Array.from({ length: 600 }, (_, place) => kit.touch(sessions[place % 30] ?? { tenant: '', id: '' }, `many ${place}`)));
    // At most 256 writes share a transaction.
    expect(walCommits(file) - before).toBe(5);
  });

  it('holds nothing for what is refused or replayed', async () => {
    const file = await temporaryDatabase();
    const kit = await kitOn(file);
    await kit.createResult({ idempotency: [kit.key('create')] });
    const before = walCommits(file);
    await kit.createResult({ idempotency: [kit.key('create')] });
    await kit.store.update({ key: { tenant: 'acme', id: 'ses_unknown' }, transition: () => { throw new Error('not to be run'); } });
    await kit.store.sweep(kit.nowMs, 10);
    expect(walCommits(file)).toBe(before);
  });
});

describe('a SQLite file that another process has locked', () => {
  it('keeps writes waiting in their order, with the event loop free, and commits them once it can', async () => {
    const file = await temporaryDatabase();
    const system = fakeSystem();
    const kit = await kitOn(file, { system });
    const session = await kit.create();
    const other = connection(file);
    other.exec('BEGIN IMMEDIATE');
    const writes = [];
    for (let number = 0; number < 300; number += 1) {
      writes.push(kit.touch(session, `title ${number}`));
      // Some come while the first are waiting for the lock already.
      if (number % 70 === 69) await system.advance(50);
    }
    // Readers do not wait.
    expect((await kit.tail(session)).entries.length).toBe(1);
    other.exec('COMMIT');
    await system.advance(50);
    expect((await Promise.all(writes)).map(({ reply }) => reply)).toEqual(Array.from({ length: 300 }, (_, place) => place + 2));
    const titles = (await kit.tail(session)).entries.flatMap((entry) => (entry.kind === 'title-set' ? [entry.title] : []));
    expect(titles).toEqual(Array.from({ length: 300 }, (_, number) => `title ${number}`));
  });

  it('refuses a write after ten seconds, with nothing written, and takes it again later', async () => {
    const file = await temporaryDatabase();
    const { random, clock: real } = realSystem();
    const soon = (callback: () => void): void => real.soon(callback);
    let nowMs = 0;
    // Each look at the lock is a second later than the one before.
    const clock = { soon, nowMs: () => nowMs, monotonicMs: () => nowMs, after: (_delayMs: number, callback: () => void) => { nowMs += 1_000; soon(callback); return () => undefined; } };
    const kit = await kitOn(file, { system: { clock, random } });
    const session = await kit.create();
    const other = connection(file);
    other.exec('BEGIN IMMEDIATE');
    const results = await Promise.allSettled(['a', 'b'].map((title) => kit.touch(session, title)));
    expect(results).toMatchObject([{ reason: { name: 'StoreError', code: 'store_unavailable' } }, { reason: { name: 'StoreError', code: 'store_unavailable' } }]);
    expect(nowMs).toBe(10_000);
    other.exec('ROLLBACK');
    expect((await kit.store.readSession(keyOf(session)))?.title).toBe(null);
    expect((await kit.touch(session, 'again')).reply).toBe(2);
  });
});

describe('a SQLite store in memory', () => {
  it('leaves no file, no locks and no polling behind', async () => {
    const system = fakeSystem();
    const store = await sqliteStore({ path: ':memory:', system });
    await store.migrate();
    store.onChange(() => undefined);
    await store.registerWorker({ id: 'wrk_a', leaseMs: 1, agents: [] });
    expect([store.capabilities, system.waitingTimers, existsSync(':memory:-workers')]).toEqual([{ processLocks: false, durable: false, transactions: false, hintsOfOthers: false }, 0, false]);
    await store.close();
  });
});
