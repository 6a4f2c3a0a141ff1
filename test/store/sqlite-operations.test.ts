import Sqlite from 'better-sqlite3';
import { describe, expect, it, onTestFinished } from 'vitest';
import { deleteTransition } from '../../src/core/accept/end.ts';
import { acceptStop } from '../../src/core/accept/stop.ts';
import { reportProgress } from '../../src/core/operation-transitions.ts';
import { callPart, Kit } from '../../src/store/conformance/kit.ts';
import { changeOperation, externalOperation, finishOperation, runOperation, startOperation } from '../../src/store/conformance/operation-kit.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { walCommits } from '../support/wal-commits.ts';

/** A migrated store on a file, every statement that it runs, and a connection of the test's own to the same file. */
async function open(): Promise<{ readonly file: string; readonly kit: Kit; readonly statements: string[]; readonly probe: Sqlite.Database }> {
  const file = await temporaryDatabase();
  const statements: string[] = [];
  const store = await sqliteStore({ path: file, system: realSystem(), outboxKinds: ['operation-ended'], onStatement: (sql) => statements.push(sql) });
  onTestFinished(() => store.close());
  await store.migrate();
  const probe = new Sqlite(file);
  onTestFinished(() => void probe.close());
  statements.length = 0;
  return { file, kit: new Kit({ store, close: () => store.close() }, expect), statements, probe };
}

/** The statements on operations that a piece of work runs: `select`, `insert` and so on. */
async function onOperations(statements: string[], work: () => Promise<unknown>): Promise<readonly string[]> {
  statements.length = 0;
  await work();
  return statements.filter((sql) => /\b(FROM|INTO|UPDATE) operation\b/.test(sql)).map((sql) => sql.trim().split(/\s/)[0] ?? '');
}

describe('operations in a SQLite file', () => {
  it('are read and written by index, however many there are', async () => {
    const { kit, statements, probe } = await open();
    const { store } = kit;
    const started = await startOperation(kit, { key: 'index' });
    const { lease } = await runOperation(kit, started.operation);
    await changeOperation(kit, started.operation, reportProgress(lease, { fraction: 0.5, atMs: kit.nowMs }));
    await externalOperation(kit);
    await kit.tail(started.work.ref);
    await store.findHeldOperations('wrk_o');
    await store.findClaimableOperations({ nowMs: kit.nowMs, deadWorkers: ['wrk_o'], agents: ['suite'], limit: 10 });
    await startOperation(kit, { tenant: 'other' });
    // One place only, so that it is looked for what one tenant hides of another.
    expect((await store.findClaimableOperations({ nowMs: kit.nowMs, deadWorkers: [], agents: ['suite'], limit: 1 })).length).toBe(1);
    await startOperation(kit);
    expect((await store.findClaimableOperations({ nowMs: kit.nowMs, deadWorkers: [], agents: ['suite'], limit: 2 })).length).toBe(2);
    for (const status of [undefined, 'queued'] as const) await store.listOperations(started.work.ref, { limit: 10, status, before: started.operation.id });
    await store.findDeadWorkers();
    await store.removeDeadWorkers(['wrk_o']);
    await store.storeWholeResult({ ref: started.work.ref, id: 'res_1', body: '1' });
    await store.readWholeResult(started.work.ref, 'res_1');
    await kit.command(started.work.ref, acceptStop({}), { reads: { outcomes: true } });
    await finishOperation(kit, (await startOperation(kit)).operation);
    await kit.update(started.work.ref, deleteTransition(kit.nowMs));
    const touching = [...new Set(statements.filter((sql) => /\b(operation|whole_result)\b/.test(sql)))];
    expect(touching.length).toBeGreaterThan(15);
    const plans = touching.flatMap((sql) => (probe.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]).map(({ detail }) => detail));
    // Those who look for stray workers go through the workers that are named, by an index that holds nothing else.
    const scans = plans.filter((detail) => /^SCAN (operation|session|whole_result)/.test(detail) && !/COVERING INDEX (operation|session)_worker/.test(detail));
    expect(scans).toEqual([]);
    // Of a tenant's operations none is looked at in vain.
    expect(plans.filter((detail) => / \(tenant=\?\)/.test(detail))).toEqual([]);
    expect(plans.filter((detail) => /TEMP B-TREE/.test(detail))).toEqual([]);
  });

  it('leave no row behind when their session is deleted', async () => {
    const { kit, probe } = await open();
    const { work, operation } = await startOperation(kit, { mode: 'detach' });
    await finishOperation(kit, operation);
    await kit.store.storeWholeResult({ ref: work.ref, id: 'res_1', body: '1' });
    await kit.update(work.ref, deleteTransition(kit.nowMs));
    const tables = probe.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all() as string[];
    expect(tables).toEqual(expect.arrayContaining(['operation', 'whole_result', 'outcome']));
    // What it used stays, and says nothing of what was said.
    const ofSessions = tables.filter((table) => !['requirement', 'usage_counter', 'usage_kept'].includes(table));
    expect(probe.prepare('SELECT body FROM usage_kept').pluck().all().join().includes('hello')).toBe(false);
    for (const table of ofSessions) expect([table, probe.prepare(`SELECT count(*) FROM "${table}"`).pluck().get()]).toEqual([table, 0]);
  });

  it('cost a session that has none nothing', async () => {
    const { kit, statements } = await open();
    const work = await kit.inWork();
    const run = async (): Promise<void> => {
      const session = await kit.settle(work, [callPart(0, 'pay')], 'tool-calls');
      await kit.settleCalls(work, session.turn?.lastStep?.seq ?? 0, [{ index: 0, toolCallId: 'call_0', toolName: 'pay', outcome: 'done', output: 1 }]);
      await kit.tail(work.ref);
    };
    expect(await onOperations(statements, run)).toEqual([]);
    expect(statements.length).toBeGreaterThan(5);
  });

  it('take one read and one write when they report progress', async () => {
    const { file, kit, statements } = await open();
    const { operation } = await startOperation(kit);
    const { lease } = await runOperation(kit, operation);
    const before = walCommits(file);
    const progress = reportProgress(lease, { fraction: 0.5, atMs: kit.nowMs });
    expect(await onOperations(statements, () => changeOperation(kit, operation, progress))).toEqual(['SELECT', 'UPDATE']);
    expect(statements.length).toBe(4);
    expect(walCommits(file) - before).toBe(1);
  });

  it('hold no transaction open for a change that is refused or changes nothing', async () => {
    const { file, kit } = await open();
    const { operation } = await startOperation(kit);
    const before = walCommits(file);
    await kit.store.updateOperation({ key: { tenant: 'acme', id: operation.id }, transition: (loaded) => ({ operation: loaded.operation, session: null, reply: null }) });
    await kit.store.updateOperation({ key: { tenant: 'acme', id: operation.id, owner: 'bob' }, transition: () => { throw new Error('not to be run'); } });
    expect(walCommits(file)).toBe(before);
  });
});
