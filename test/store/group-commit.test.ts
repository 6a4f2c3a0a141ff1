import { describe, expect, it, onTestFinished } from 'vitest';
import { GroupCommit } from '../../src/store/sqlite/group-commit.ts';
import { openDatabase, type Database } from '../../src/store/sqlite/open-database.ts';
import { realSystem } from '../../src/system.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { walCommits } from '../support/wal-commits.ts';

async function open(): Promise<{ readonly file: string; readonly database: Database; readonly group: GroupCommit; readonly announced: () => number }> {
  const file = await temporaryDatabase();
  const database = await openDatabase(file);
  onTestFinished(() => void database.close());
  database.exec('CREATE TABLE note (text TEXT NOT NULL)');
  let announced = 0;
  const group = new GroupCommit(database, realSystem(), () => { announced += 1; });
  return { file, database, group, announced: () => announced };
}

function notes(database: Database): readonly string[] {
  return database.prepare('SELECT text FROM note ORDER BY rowid').pluck().all() as string[];
}

describe('a group commit', () => {
  it('acknowledges nothing before the commit of all', async () => {
    const { file, database, group } = await open();
    const commits = walCommits(file);
    const insert = database.prepare('INSERT INTO note VALUES (?)');
    const acknowledged: string[] = [];
    const writes = ['a', 'b', 'c'].map((text) => group.run(() => insert.run(text)).then(() => acknowledged.push(`${text} at ${walCommits(file) - commits}`)));
    expect(acknowledged).toEqual([]);
    await Promise.all(writes);
    expect(acknowledged).toEqual(['a at 1', 'b at 1', 'c at 1']);
    expect(notes(database)).toEqual(['a', 'b', 'c']);
  });

  it('that fails at its COMMIT is undone, and each write is tried alone', async () => {
    const { database, group, announced } = await open();
    // A deferred foreign key is looked at by COMMIT and by nothing before it.
    database.pragma('foreign_keys = ON');
    database.exec('CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)');
    const insert = database.prepare('INSERT INTO note VALUES (?)');
    const results = await Promise.allSettled([
      group.run(() => insert.run('before')),
      group.run(() => database.prepare('INSERT INTO child VALUES (99)').run()),
      group.run(() => insert.run('after')),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(results[1]).toMatchObject({ reason: { name: 'StoreError', code: 'store_unavailable' } });
    expect(notes(database)).toEqual(['before', 'after']);
    expect(database.prepare('SELECT count(*) FROM child').pluck().get()).toBe(0);
    expect(announced()).toBe(2);
  });

  it('on a full disk keeps nothing of what it refuses, and all of what it acknowledges', async () => {
    const { database, group } = await open();
    const insert = database.prepare('INSERT INTO note VALUES (?)');
    await group.run(() => insert.run('first'));
    const pages = Number(database.pragma('page_count', { simple: true }));
    database.pragma(`max_page_count = ${pages + 2}`);
    const large = 'x'.repeat(40_000);
    const results = await Promise.allSettled([
      group.run(() => insert.run('small')),
      group.run(() => {
        insert.run('half of it');
        return insert.run(large);
      }),
      group.run(() => insert.run('small too')),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(results[1]).toMatchObject({ reason: { name: 'StoreError', code: 'store_unavailable', message: expect.stringContaining('SQLITE_FULL') } });
    expect(notes(database)).toEqual(['first', 'small', 'small too']);
    database.pragma('max_page_count = 1000000');
    await group.run(() => insert.run(large));
    expect(notes(database).at(-1)).toBe(large);
    expect(database.pragma('integrity_check', { simple: true })).toBe('ok');
  });

  it('on a disk that is full for everybody refuses everything, and works again when there is room', async () => {
    const { database, group, announced } = await open();
    const insert = database.prepare('INSERT INTO note VALUES (?)');
    const large = 'x'.repeat(40_000);
    database.pragma(`max_page_count = ${Number(database.pragma('page_count', { simple: true }))}`);
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => group.run(() => insert.run(large))));
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected', 'rejected', 'rejected']);
    expect([notes(database), announced()]).toEqual([[], 0]);
    database.pragma('max_page_count = 1000000');
    await group.run(() => insert.run('at last'));
    expect(notes(database)).toEqual(['at last']);
  });

  it('leaves a broken invariant what it is', async () => {
    const { group, database } = await open();
    const broken = new Error('broken');
    const insert = database.prepare('INSERT INTO note VALUES (?)');
    const results = await Promise.allSettled([group.run(() => { insert.run('undone'); throw broken; }), group.run(() => insert.run('kept'))]);
    expect(results[0]).toEqual({ status: 'rejected', reason: broken });
    expect(notes(database)).toEqual(['kept']);
  });

  it('takes writes that come while it commits into the next one, in their order', async () => {
    const { database, group, file } = await open();
    const insert = database.prepare('INSERT INTO note VALUES (?)');
    const later: Promise<unknown>[] = [];
    const commits = walCommits(file);
    await group.run(() => {
      insert.run('a');
      later.push(group.run(() => insert.run('b')), group.run(() => insert.run('c')));
    });
    await Promise.all(later);
    expect([notes(database), walCommits(file) - commits]).toEqual([['a', 'b', 'c'], 2]);
  });

  it('is closed once it has committed what was asked for', async () => {
    const { database, group } = await open();
    const insert = database.prepare('INSERT INTO note VALUES (?)');
    const last = group.run(() => insert.run('last'));
    await group.close();
    await last;
    expect(notes(database)).toEqual(['last']);
    await expect(group.run(() => insert.run('too late'))).rejects.toMatchObject({ code: 'store_closed' });
    expect(notes(database)).toEqual(['last']);
  });
});
