import { readFileSync } from 'node:fs';
import Sqlite from 'better-sqlite3';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acceptRestore } from '../../src/core/accept/restore.ts';
import { acceptRedo, acceptRewind } from '../../src/core/accept/rewind.ts';
import { invariant } from '../../src/core/errors.ts';
import { historyMarks, markOf, turnBeginMark } from '../../src/core/history.ts';
import { emptySession } from '../../src/core/session.ts';
import { branchesOf, loaded, move, shown } from '../../src/store/conformance/branch-kit.ts';
import { Kit } from '../../src/store/conformance/kit.ts';
import { Database } from '../../src/store/postgres/open-database.ts';
import { migrateDatabase as migratePostgres } from '../../src/store/postgres/migrations.ts';
import { postgresStore } from '../../src/store/postgres/postgres-store.ts';
import { migrateDatabase } from '../../src/store/sqlite/migrations.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import { foldEntry } from '../support/log-fold.ts';
import { ofKind } from '../support/run-turn.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { uniqueSchema } from '../support/postgres-database.ts';

type Rows = Record<string, Record<string, string | number | null>[]>;

/**
 * Rows as Holdfast wrote them before entries had marks and branches rows: "Replaced" has said "two" and "two instead" and "three", each replaced while it ran; in "Operated" the model was given the result
 * of a detached operation.
 */
const rows = JSON.parse(readFileSync(new URL('version-3-rows.json', import.meta.url), 'utf8')) as Rows;

function insertText(table: string, row: object, placeholder: (place: number) => string): string {
  return `INSERT INTO ${table} (${Object.keys(row).join(', ')}) VALUES (${Object.keys(row).map((_key, place) => placeholder(place + 1)).join(', ')})`;
}

async function onSqlite(): Promise<Store> {
  const file = await temporaryDatabase();
  const database = new Sqlite(file);
  migrateDatabase(database, 3);
  for (const table of ['session', 'entry', 'operation']) {
    for (const row of rows[table] ?? []) database.prepare(insertText(table, row, () => '?')).run(...Object.values(row));
  }
  database.close();
  return sqliteStore({ path: file, system: realSystem(), outboxKinds: [] });
}

/** The first version of its schema had no marks either. */
async function onPostgres(): Promise<Store> {
  const { url, schema, drop } = await uniqueSchema();
  onTestFinished(drop);
  const database = await Database.open({ connection: url, schema, connectionsMax: 2, preparedStatements: false, system: realSystem() });
  await migratePostgres(database, schema, 1);
  for (const table of ['session', 'entry']) {
    for (const row of rows[table] ?? []) {
      const written = { ...row, commit_id: 'of version 1', ...('archived' in row ? { archived: row['archived'] === 1 } : {}) };
      await database.run({ text: insertText(`${schema}.${table}`, written, (place) => `$${place}`), values: Object.values(written) });
    }
  }
  await database.close();
  return postgresStore({ connection: url, schema, system: realSystem(), outboxKinds: [] });
}

async function migrated(open: () => Promise<Store>, title: string) {
  const store = await open();
  onTestFinished(() => store.close());
  await store.migrate();
  const kit = new Kit({ store, close: () => store.close() }, expect);
  kit.nowMs += 1_000_000;
  // The ids of that time are taken.
  for (let taken = 0; taken < 100; taken += 1) kit.mint('taken');
  const { items: [session] } = await store.listSessions({ tenant: 'acme', titleText: title, limit: 1, count: false });
  invariant(session !== undefined, `there is a session ${title}`);
  return { kit, store, ref: { tenant: 'acme', id: session.id } };
}

describe.each([['SQLite', onSqlite], ['Postgres', onPostgres]] as const)('a session that was written before there were marks, on %s', (_name, open) => {
  it.each(['Replaced', 'Operated'])('"%s" has them on its entries', async (title) => {
    const { kit, store, ref } = await migrated(open, title);
    const { entries } = await kit.tail(ref);
    const marks = entries.flatMap((entry) => (markOf(entry) === null ? [] : [{ seq: entry.seq, mark: markOf(entry) ?? '' }]));
    expect(marks.length).toBeGreaterThan(3);
    expect((await loaded(kit, ref, { marks: true })).marks).toEqual(marks.filter(({ mark }) => mark.startsWith(historyMarks.from)));
    for (const { seq, mark } of marks) expect((await store.readMarked(ref, mark))?.seq).toBe(seq);
  });

  it('has its replaced turns as branches that know what they followed on', async () => {
    const { kit, ref } = await migrated(open, 'Replaced');
    const { entries, session } = await kit.tail(ref);
    let folded = emptySession(session, session.createdAtMs);
    const expected = entries.flatMap((entry) => {
      folded = foldEntry(folded, entry);
      return entry.kind === 'branch-discarded' ? [{ id: entry.branchId, discardedAtMs: entry.atMs, fromTurnId: entry.fromTurnId, turns: entry.turns, before: folded.visible, intervals: entry.intervals }] : [];
    });
    expect(expected).toHaveLength(3);
    expect(await branchesOf(kit, ref)).toEqual(expected.toReversed());
    expect(session.branches).toBe(3);
  });

  it('has each of them restored as it was, also when the conversation has left what it followed on', async () => {
    const { kit, ref } = await migrated(open, 'Replaced');
    await kit.settle(await kit.claimed(ref, 'wrk_b', ['wrk_a']), [{ type: 'text', text: 'so be it' }]);
    const { entries } = await kit.tail(ref);
    const branchOf = (text: string): string => {
      const said = ofKind(entries, 'user-message').find(({ parts }) => parts.some((part) => part.type === 'text' && part.text === text));
      return ofKind(entries, 'branch-discarded').find(({ fromTurnId }) => fromTurnId === said?.turnId)?.branchId ?? '';
    };
    const present = ['one', 'two at last', 'three instead', 'steered'];
    expect(await shown(kit, ref)).toEqual(present);
    const turnId = ofKind(entries, 'turn-ended')[0]?.turnId ?? null;
    await move(kit, ref, acceptRewind({ turnId }));
    expect(await shown(kit, ref)).toEqual(['one']);
    await move(kit, ref, acceptRedo());
    expect(await shown(kit, ref)).toEqual(present);
    await move(kit, ref, acceptRewind({ turnId }));
    await kit.send(ref, 'elsewhere');
    await kit.answer(ref, 'there');
    for (const [text, expected] of [['three', ['one', 'two at last', 'three']], ['two', ['one', 'two']], ['two instead', ['one', 'two instead']]] as const) {
      await move(kit, ref, acceptRestore({ branchId: branchOf(text) }), branchOf(text));
      expect(await shown(kit, ref)).toEqual(expected);
    }
    const left = (await branchesOf(kit, ref)).map(({ turns }) => turns);
    expect(left).toHaveLength(4);
  });

  it('whose model was given an operation\'s result is not given it twice', async () => {
    const { kit, ref } = await migrated(open, 'Operated');
    const { entries } = await kit.tail(ref);
    const [said] = ofKind(entries, 'user-message');
    invariant(said !== undefined, 'the conversation begins with a message');
    expect((await kit.store.readMarked(ref, turnBeginMark(said.turnId)))?.seq).toBe(said.seq);
    await kit.send(ref, 'and?');
    await kit.answer(ref, 'that is all');
    const rewound = await move(kit, ref, acceptRewind({ turnId: said.turnId }));
    expect(rewound.deliveries).toEqual([]);
  });
});
