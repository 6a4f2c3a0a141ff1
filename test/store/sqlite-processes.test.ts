import { existsSync, readFileSync } from 'node:fs';
import Sqlite from 'better-sqlite3';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Kit, keyOf } from '../../src/store/conformance/kit.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { seededRandom } from '../../src/testing/fake-system.ts';
import { startChild } from '../support/child-process.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { seedOf } from '../support/seed.ts';

const script = 'test/store/children/store-process.ts';

async function kitOn(file: string): Promise<Kit> {
  const store = await sqliteStore({ path: file, system: realSystem(), pollMs: 5 });
  onTestFinished(() => store.close());
  await store.migrate();
  return new Kit({ store, close: () => store.close() }, expect);
}

describe('processes that share a SQLite file', () => {
  it('lose no update of one session', async () => {
    const path = await temporaryDatabase();
    const kit = await kitOn(path);
    const session = await kit.create();
    const children = [0, 1].map(() => startChild(script, { path, role: 'update', ref: keyOf(session), count: 60 }));
    for (const child of children) child.tell({ event: 'go' });
    const own = await Promise.all(Array.from({ length: 30 }, (_, place) => kit.touch(session, `own ${place}`)));
    const theirs = await Promise.all(children.map(async (child) => (await child.hears('done'))['seqs'] as number[]));
    const seqs = [...own.map(({ reply }) => reply), ...theirs.flat()].toSorted((left, right) => left - right);
    expect(seqs).toEqual(Array.from({ length: 150 }, (_, place) => place + 2));
    const { entries } = await kit.tail(session);
    expect(entries.map(({ seq }) => seq)).toEqual(Array.from({ length: 151 }, (_, place) => place + 1));
    expect(new Set(entries.map((entry) => (entry.kind === 'title-set' ? entry.title : entry.seq))).size).toBe(151);
  });

  it('hear of each other\'s commits', async () => {
    const path = await temporaryDatabase();
    const kit = await kitOn(path);
    const session = await kit.create();
    const child = startChild(script, { path, role: 'update', ref: keyOf(session), count: 1 });
    await child.hears('up');
    const hinted = new Promise<void>((resolve) => {
      const unsubscribe = kit.store.onChange(({ ref }) => {
        if (ref !== null) return;
        void kit.store.readSession(keyOf(session)).then((now) => {
          if (now?.title === null) return;
          unsubscribe();
          resolve();
        });
      });
    });
    child.tell({ event: 'go' });
    await hinted;
    expect((await kit.store.readSession(keyOf(session)))?.lastSeq).toBe(2);
  });

  it('may all be the first to open and migrate it', async () => {
    const path = await temporaryDatabase();
    const children = Array.from({ length: 5 }, () => startChild(script, { path, role: 'migrate' }));
    for (const child of children) await child.hears('up');
    for (const child of children) child.tell({ event: 'go' });
    const ids = await Promise.all(children.map(async (child) => (await child.hears('done'))['id']));
    const kit = await kitOn(path);
    const { items } = await kit.store.listSessions({ tenant: 'acme', limit: 10, count: false });
    expect(new Set(items.map(({ id }) => id))).toEqual(new Set(ids));
  });

  it('know at once that one of them was killed, long before its lease runs out, and not that one is slow', async () => {
    const path = await temporaryDatabase();
    const kit = await kitOn(path);
    const [killed, stopped] = ['wrk_killed', 'wrk_stopped'].map((worker) => startChild(script, { path, role: 'worker', worker }));
    if (killed === undefined || stopped === undefined) throw new Error('both are started');
    await Promise.all([killed.hears('registered'), stopped.hears('registered')]);
    expect((await kit.store.findDeadWorkers()).dead).toEqual([]);
    await stopped.signal('SIGSTOP');
    await killed.signal('SIGKILL');
    expect((await kit.store.findDeadWorkers()).dead).toEqual(['wrk_killed']);
    await kit.store.removeDeadWorkers(['wrk_killed']);
    expect([(await kit.store.findDeadWorkers()).dead, existsSync(`${path}-workers/wrk_killed.lock`), existsSync(`${path}-workers/wrk_stopped.lock`)]).toEqual([[], false, true]);
  });

  it('leave a whole file with every acknowledged write, wherever they are killed', async () => {
    const path = await temporaryDatabase();
    const journal = `${path}.journal`;
    const random = seededRandom(seedOf('killed writers'));
    const kit = await kitOn(path);
    const session = await kit.create();
    for (let kill = 1; kill <= 10; kill += 1) {
      const child = startChild(script, { path, role: 'write-until-killed', ref: keyOf(session), journal });
      const acknowledged = 1 + Math.floor(random() * 60);
      for (let count = 0; count < acknowledged; count += 1) await child.hears('acknowledged', (message) => child.said.indexOf(message) > count);
      await child.signal('SIGKILL');

      const database = new Sqlite(path, { readonly: true });
      expect(database.pragma('integrity_check', { simple: true })).toBe('ok');
      database.close();
      const { session: now, entries } = await kit.tail(session);
      expect(entries.map(({ seq }) => seq)).toEqual(Array.from({ length: now.lastSeq }, (_, place) => place + 1));
      const kept = new Set(entries.map((entry) => `${entry.seq} ${entry.kind === 'title-set' ? entry.title : ''}`));
      const lines = readFileSync(journal, 'utf8').split('\n').slice(0, -1);
      expect(lines.filter((line) => !kept.has(line))).toEqual([]);
      expect(lines.length).toBeGreaterThanOrEqual(acknowledged);
      expect(now.title).toBe(entries.findLast((entry) => entry.kind === 'title-set')?.title);
    }
  }, 60_000);
});
