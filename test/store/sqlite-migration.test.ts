import { readFileSync } from 'node:fs';
import Sqlite from 'better-sqlite3';
import { describe, expect, it, onTestFinished } from 'vitest';
import { markOf } from '../../src/core/history.ts';
import { statusOf } from '../../src/core/session.ts';
import { callPart, Kit } from '../../src/store/conformance/kit.ts';
import { finishOperation, operationOf } from '../../src/store/conformance/operation-kit.ts';
import { migrateDatabase, schemaVersionLatest } from '../../src/store/sqlite/migrations.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';

/** Every row of a database as version 1 of the schema had it, written by Holdfast of that time. */
const versionOneRows = JSON.parse(readFileSync(new URL('version-1-rows.json', import.meta.url), 'utf8')) as Record<string, Record<string, string | number | null>[]>;

/** When the rows were written, in milliseconds since 1970. */
const writtenAtMs = 1_750_000_000_000;

/** A file as version 1 left it. */
async function versionOneFile(): Promise<string> {
  const file = await temporaryDatabase();
  const database = new Sqlite(file);
  migrateDatabase(database, 1);
  for (const [table, rows] of Object.entries(versionOneRows)) {
    for (const row of rows) database.prepare(`INSERT INTO ${table} (${Object.keys(row).join(', ')}) VALUES (${Object.keys(row).map(() => '?').join(', ')})`).run(...Object.values(row));
  }
  expect(database.pragma('user_version', { simple: true })).toBe(1);
  database.close();
  return file;
}

/** The file, brought up to date by the present store. */
async function migrated(): Promise<Kit> {
  const store = await sqliteStore({ path: await versionOneFile(), system: realSystem(), outboxKinds: ['turn-ended'] });
  onTestFinished(() => store.close());
  await store.migrate();
  const kit = new Kit({ store, close: () => store.close() }, expect);
  kit.nowMs = writtenAtMs + 1_000;
  return kit;
}

async function sessionTitled(kit: Kit, title: string) {
  const { items: [session] } = await kit.store.listSessions({ tenant: 'acme', titleText: title, limit: 1, count: false });
  if (session === undefined) throw new Error(`there is a session ${title}`);
  return session;
}

describe('a SQLite file of schema version 1', () => {
  it('keeps every session, with the fields that it did not know of', async () => {
    const kit = await migrated();
    const { items, count } = await kit.store.listSessions({ tenant: 'acme', limit: 100, count: true });
    expect(count).toBe(versionOneRows['session']?.length);
    for (const session of items) {
      expect(session).toMatchObject({ operations: [], deliveries: [] });
      if (session.turn !== null) expect(session.turn).toMatchObject({ actions: [], clientToolsSeq: null });
      const tail = await kit.tail(session);
      expect([tail.session, tail.operations]).toEqual([session, []]);
      expect(tail.entries.map(({ seq }) => seq)).toEqual(Array.from({ length: session.lastSeq }, (_, place) => place + 1));
      expect(await kit.store.listOperations(session, { limit: 10 })).toEqual({ items: [], nextCursor: null });
      for (const entry of tail.entries) if (markOf(entry) !== null) expect(await kit.store.readMarked(session, markOf(entry) ?? '')).toEqual(entry);
      const columns = versionOneRows['session']?.find(({ id }) => id === session.id);
      expect(statusOf(session)).toBe(columns?.['status']);
    }
    expect((await kit.store.readSession({ tenant: 'acme', id: 'crm-1' }))?.title).toBe('At rest');
  });

  it('is at the latest version then, and a second migration changes nothing', async () => {
    const file = await versionOneFile();
    const database = new Sqlite(file);
    onTestFinished(() => void database.close());
    const schema = () => database.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all();
    migrateDatabase(database);
    const once = schema();
    migrateDatabase(database);
    expect([database.pragma('user_version', { simple: true }), schema()]).toEqual([schemaVersionLatest, once]);
    const fresh = new Sqlite(':memory:');
    onTestFinished(() => void fresh.close());
    migrateDatabase(fresh);
    expect(fresh.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all()).toEqual(once);
  });

  it('has its open turn taken over: calls in flight end by their outcome, their recovery or their own run, and what waited goes on', async () => {
    const kit = await migrated();
    const { store } = kit;
    expect((await store.findDeadWorkers()).dead).toEqual(['wrk_old']);
    const paying = await sessionTitled(kit, 'Paying twice');
    const stepSeq = paying.turn?.lastStep?.seq ?? 0;
    const { reply, session } = await kit.claim(paying, 'wrk_new', ['wrk_old']);
    // Of the calls of `pay` one has its outcome and one was cut off; `look` runs again.
    expect(reply.work?.kind === 'run-calls' && reply.work.run.map(({ index }) => index)).toEqual([2]);
    const work = { ref: { tenant: 'acme', id: paying.id }, lease: { worker: 'wrk_new', fence: reply.fence }, attempt: { id: '', number: 1, startedAtMs: 0 }, session };
    const answered = await kit.settleCalls(work, stepSeq, [{ index: 2, toolCallId: 'call_2', toolName: 'look', outcome: 'done', output: 'seen' }]);
    const results = (await kit.tail(paying)).entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results : []));
    expect(results.map(({ outcome, output }) => [outcome, output])).toEqual([['unknown', undefined], ['done', 'paid'], ['done', 'seen']]);
    const last = await kit.settle(kit.next(work, answered), [{ type: 'text', text: 'paid' }]);
    const next = (await kit.tail(paying)).entries.find(({ seq }) => seq === last.turn?.startedSeq);
    expect(next).toMatchObject({ kind: 'user-message', parts: [{ type: 'text', text: 'and then?' }], metadata: { from: 'v1' } });
  });

  it('has its live output, its retry, its keys and its events', async () => {
    const kit = await migrated();
    const { store } = kit;
    const talking = await kit.tail(await sessionTitled(kit, 'Talking'));
    expect([talking.chunks.map(({ text }) => text), talking.session.owner]).toEqual([['Hel'], 'bob']);
    const retrying = await sessionTitled(kit, 'Trying again');
    const ready = await sessionTitled(kit, 'Ready');
    const due = async (nowMs: number) => (await store.findClaimable({ nowMs, deadWorkers: [], agents: ['suite'], limit: 10 })).map(({ id }) => id);
    expect([await due(kit.nowMs), new Set(await due(retrying.turn?.retry?.atMs ?? 0))]).toEqual([[ready.id], new Set([ready.id, retrying.id])]);
    const paying = await sessionTitled(kit, 'Paying twice');
    const again = await store.update({ key: { tenant: 'acme', id: paying.id }, idempotency: [kit.key('k')], transition: () => { throw new Error('not to be run'); } });
    expect(again.kind).toBe('replayed');
    expect((await store.readOutbox({ limit: 10, olderThanMs: kit.nowMs })).map(({ kind }) => kind)).toEqual(['turn-ended']);
  });

  it('takes operations in a session of that time', async () => {
    const kit = await migrated();
    const ready = await sessionTitled(kit, 'Ready');
    const work = await kit.claimed({ tenant: 'acme', id: ready.id }, 'wrk_new');
    const session = await kit.settle(work, [callPart(0, 'look', { operation: { mode: 'await', key: 'index' } })], 'tool-calls');
    const operation = await operationOf(kit, { tenant: 'acme', id: session.operations[0]?.id ?? '' });
    expect([statusOf(session), (await kit.tail(ready)).operations]).toEqual(['waiting', [operation]]);
    const ended = await finishOperation(kit, operation);
    expect(ended.session === null ? null : statusOf(ended.session)).toBe('ready');
  });
});
