import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createHoldfast } from '../../src/create-holdfast.ts';
import { openDatabase, type Database } from '../../src/store/sqlite/open-database.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { runCli, runCliJson, type CliResult } from '../support/run-cli.ts';

/** A store with a finished turn that called a tool, changed by hand. */
async function damaged(change: (database: Database, sessionId: string) => void): Promise<{ readonly cwd: string; readonly sessionId: string }> {
  const cwd = path.dirname(await temporaryDatabase());
  const [turn] = (await runCliJson(['send', 'new', 'weather in Oslo'], { cwd })) as unknown as readonly [{ sessionId: string }];
  const database = await openDatabase(path.join(cwd, 'holdfast.db'));
  change(database, turn.sessionId);
  database.close();
  return { cwd, sessionId: turn.sessionId };
}

async function examined(change: (database: Database, sessionId: string) => void): Promise<{ readonly code: CliResult['code']; readonly codes: readonly string[]; readonly messages: string }> {
  const { cwd } = await damaged(change);
  const { code, stdout } = await runCli(['doctor', '--json'], { cwd });
  const { findings } = JSON.parse(stdout) as { findings: readonly { code: string; message: string }[] };
  return { code, codes: [...new Set(findings.map((finding) => finding.code))], messages: findings.map(({ message }) => message).join('\n') };
}

const setInBody = (table: string, field: string, value: unknown) => (database: Database): void => {
  database.prepare(`UPDATE ${table} SET body = json_set(body, ?, json(?))`).run(`$.${field}`, JSON.stringify(value));
};

describe('the doctor', () => {
  it('finds nothing wrong with a store that is in order', async () => {
    const { cwd } = await damaged(() => undefined);
    const { code, stdout } = await runCli(['doctor'], { cwd });
    expect([code, stdout.endsWith('nothing is wrong\n')]).toEqual([0, true]);
    expect(await runCliJson(['doctor'], { cwd })).toMatchObject([{ ok: true, findings: [], sessions: 1 }]);
  });

  it('names the session and the fault for a person', async () => {
    const { cwd, sessionId } = await damaged((database) => database.exec('DELETE FROM entry WHERE seq = 3'));
    const { code, stdout } = await runCli(['doctor'], { cwd });
    expect([code, stdout.includes(`log_gap: ${sessionId}: entry 3 is followed by seq 4`)]).toEqual([1, true]);
  });

  it.each<[string, readonly string[], string, (database: Database, sessionId: string) => void]>([
    ['a log that has lost its end', ['projection_mismatch'], 'lastSeq', (database) => database.exec('DELETE FROM entry WHERE seq = 8')],
    ['a row that counts other turns than its log', ['projection_mismatch'], 'turns is 5', setInBody('session', 'turns', 5)],
    ['a row that shows another history than its log', ['projection_mismatch'], 'visible', setInBody('session', 'visible', [{ fromSeq: 1, toSeq: 2 }])],
    ['a column that its session contradicts', ['row_mismatch'], 'column status is "running"', (database) => database.exec("UPDATE session SET status = 'running'")],
    ['a call with two results', ['call_results'], 'entry 4 answers 0, 0', (database) =>
      database.exec("UPDATE entry SET body = json_insert(body, '$.results[#]', json_extract(body, '$.results[0]')) WHERE seq = 4")],
    ['a call without a result', ['call_results'], 'the calls 0 of step 3 have no result', (database) =>
      database.exec(`UPDATE entry SET body = '{"kind":"title-set","title":null,"by":"generated","seq":4,"v":1,"atMs":1}' WHERE seq = 4`)],
    ['a branch that its log does not know', ['branch_mismatch'], 'by the log there is no such branch', (database, id) =>
      database.prepare(`INSERT INTO branch VALUES ('default', ?, 'br_1', '{"id":"br_1","discardedAtMs":1,"fromTurnId":"turn_1","turns":1,"before":[],"intervals":[]}')`).run(id)],
    ['rows of a session that is gone', ['stray_rows'], '8 rows of table entry', (database) => database.exec('DELETE FROM session')],
    ['live output of an attempt that is over', ['stray_rows'], 'of attempts that are over', (database, id) =>
      database.prepare("INSERT INTO chunk VALUES ('default', ?, 'att_1', 0, '[]')").run(id)],
    ['a schema of the future', ['schema_newer'], 'update it', (database) => database.pragma('user_version = 999')],
    ['a schema of the past', ['schema_older'], 'holdfast migrate', (database) => database.pragma('user_version = 0')],
  ])('finds %s', async (_what, codes, message, change) => {
    const found = await examined(change);
    expect(found).toEqual({ code: 1, codes, messages: expect.stringContaining(message) as string });
  });

  it('warns of counters of usage that are not what the logs say, and of nothing where sessions were deleted', async () => {
    const { cwd } = await damaged(() => undefined);
    await using holdfast = await createHoldfast({ agents: [], store: `sqlite:${path.join(cwd, 'holdfast.db')}`, worker: false });
    const { items: [session] } = await holdfast.sessions.list();
    const warnings = async () => ((await runCliJson(['doctor'], { cwd })) as unknown as readonly { ok: boolean; warnings: readonly { code: string; message: string }[] }[])[0]?.warnings.filter(({ code }) => code === 'usage_differs');
    await (await holdfast.sessions.get(session?.id ?? '')).delete();
    expect(await warnings()).toEqual([]);
    const database = await openDatabase(path.join(cwd, 'holdfast.db'));
    database.exec('UPDATE usage_counter SET attempts = attempts + 1');
    database.close();
    expect(await warnings()).toEqual([{ code: 'usage_differs', message: expect.stringMatching(/^the counters of tenant default on \d{4}-\d\d-\d\d have attempts 3; the logs have 2$/) as string }]);
  });

  it('finds work that nobody will ever look at', async () => {
    const cwd = path.dirname(await temporaryDatabase());
    await runCli(['send', 'new', 'hello', '--no-wait'], { cwd });
    expect((await runCli(['doctor'], { cwd })).code).toBe(0);
    const database = await openDatabase(path.join(cwd, 'holdfast.db'));
    database.exec('UPDATE session SET due_at_ms = NULL');
    database.close();
    const { code, stdout } = await runCli(['doctor'], { cwd });
    expect([code, stdout.includes('it is ready, and has no time at which a worker looks at it')]).toEqual([1, true]);
  });

  it.each<[string, string, (database: Database) => void]>([
    ['is gone', 'has no row', (database) => database.exec('DELETE FROM branch')],
    ['is another', '"turns":7', setInBody('branch', 'turns', 7)],
  ])('finds a branch whose row %s', async (_what, message, change) => {
    const cwd = path.dirname(await temporaryDatabase());
    const [{ sessionId }] = (await runCliJson(['send', 'new', 'hello'], { cwd })) as unknown as readonly [{ sessionId: string }];
    await runCli(['retry', sessionId], { cwd });
    expect((await runCli(['doctor'], { cwd })).code).toBe(0);
    const database = await openDatabase(path.join(cwd, 'holdfast.db'));
    change(database);
    database.close();
    const { code, stdout } = await runCli(['doctor', '--json'], { cwd });
    expect([code, JSON.parse(stdout)]).toMatchObject([1, { ok: false, findings: [{ code: 'branch_mismatch', sessionId, message: expect.stringContaining(message) as string }] }]);
  });

  it('finds that there is no store, and makes none', async () => {
    const cwd = path.dirname(await temporaryDatabase());
    const result = await runCli(['doctor', '--json'], { cwd });
    expect([result.code, JSON.parse(result.stdout)]).toEqual([1, expect.objectContaining({ ok: false, findings: [{ code: 'store_missing', message: 'there is no file holdfast.db' }] })]);
    expect((await runCli(['doctor'], { cwd })).stdout).toContain('there is no file holdfast.db');
  });
});
