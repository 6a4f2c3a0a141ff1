import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterAll, expect, test } from 'vitest';
import { benchAgent, userText } from '../../src/cli/bench/bench-agent.ts';
import { createHoldfast, type SessionHandle } from '../../src/index.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-cost-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Cost {
  readonly statements: number;
  readonly commits: number;
  readonly rows: number;
  readonly walBytes: number;
}

const windowTurns = 20;

test('turn 2,000 of a session costs the statements, commits, rows and bytes of turn 2 (G11)', async () => {
  const path = join(folder, 'cost.db');
  const statements: string[] = [];
  const store = await sqliteStore({ path, system: realSystem(), onStatement: (sql) => statements.push(sql) });
  // Two processes' worth of connections: this one only looks.
  const probe = new Sqlite(path);
  try {
    await using holdfast = await createHoldfast({ agents: [benchAgent()], store });
    const session = await holdfast.sessions.create({ agent: 'bench' });
    await turn(session);
    const early = await measure(session, probe, statements, path);
    for (let count = windowTurns + 1; count < 500; count += 1) await turn(session);
    const middle = await measure(session, probe, statements, path);
    for (let count = 500 + windowTurns; count < 2_000; count += 1) await turn(session);
    const late = await measure(session, probe, statements, path);
    console.log(`cost of a turn with one tool call, in the ${windowTurns} turns from the 2nd, the 500th and the 2,000th on: ${JSON.stringify({ early, middle, late })}`);
    expect(late.statements).toBe(early.statements);
    // Approvals and operations cost a turn without them one read, of outcomes kept ahead of its step's results.
    expect(early.statements).toBeLessThanOrEqual(28);
    expect(late.commits).toBe(early.commits);
    expect(late.commits).toBe(4);
    expect(late.rows).toBe(early.rows);
    // A log of one page has no neighbours to balance with; once it has some, and seqs of more digits, it stays as it is.
    expect(late.walBytes / early.walBytes).toBeLessThan(1.15);
    expect(late.walBytes / middle.walBytes).toBeGreaterThan(0.95);
    expect(late.walBytes / middle.walBytes).toBeLessThan(1.05);
  } finally {
    probe.close();
    await store.close();
  }
}, 60_000);

async function turn(session: SessionHandle): Promise<void> {
  const { reason } = await (await session.send(userText)).result;
  expect(reason).toBe('complete');
}

/** Per turn, over a window of turns that begins with an empty WAL. Of statements and commits the median turn counts: a lease renewed in the middle comes with time, not with turns. */
async function measure(session: SessionHandle, probe: Sqlite.Database, statements: string[], path: string): Promise<Cost> {
  probe.pragma('wal_checkpoint(TRUNCATE)');
  const rowsBefore = countRows(probe);
  const perTurn: string[][] = [];
  for (let count = 0; count < windowTurns; count += 1) {
    statements.length = 0;
    await turn(session);
    // Looking for other processes' commits comes with time too.
    perTurn.push(statements.filter((sql) => !sql.includes('data_version')));
  }
  return {
    statements: median(perTurn.map((run) => run.length)),
    commits: median(perTurn.map((run) => run.filter((sql) => sql === 'COMMIT').length)),
    rows: (countRows(probe) - rowsBefore) / windowTurns,
    walBytes: Math.round(statSync(`${path}-wal`).size / windowTurns),
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function countRows(probe: Sqlite.Database): number {
  const tables = probe.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all() as string[];
  return tables.reduce((rows, table) => rows + Number(probe.prepare(`SELECT count(*) FROM "${table}"`).pluck().get()), 0);
}
