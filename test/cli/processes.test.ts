import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeProcesses } from '../../src/cli/commands/simulate-processes.ts';
import { HistoryFile, verdictOf } from '../../src/cli/processes/client-history.ts';
import { runProcesses, type FaultTotals, type ProcessesOptions, type ProcessesReport, type ProcessesSummary } from '../../src/cli/processes/run-processes.ts';
import { newFolder } from '../support/observed-history.ts';
import { ownPostgresServer } from '../support/postgres-database.ts';
import { runCli } from '../support/run-cli.ts';
import { seedOf } from '../support/seed.ts';

const options = (wanted: Partial<FaultTotals>, more: Partial<ProcessesOptions>): ProcessesOptions => ({
  store: null, workers: 3, clients: 8, seed: seedOf('real processes'), wanted: { kills: 0, pauses: 0, terminations: 0, restarts: 0, ...wanted }, ...more,
});

function expectWhole(report: ProcessesReport, wanted: Partial<FaultTotals>): void {
  expect(report.passed, describeProcesses(report)).toBe(true);
  expect(report.summary).toMatchObject({ ...wanted, lost: 0, duplicated: 0, unordered: 0, atRest: report.summary.sessions });
}

const summaryKeys = ['store', 'kills', 'pauses', 'terminations', 'restarts', 'operations', 'acknowledged', 'lost', 'duplicated', 'unordered', 'unknown', 'sessions', 'atRest', 'integrityChecks', 'seconds'];

describe('real processes on one store', { timeout: 120_000 }, () => {
  it('lose nothing and do nothing twice on SQLite, whoever is killed or stopped: the file is sound after each kill', async () => {
    const wanted = { kills: 10, pauses: 1 };
    const keepIn = await newFolder();
    const report = await runProcesses(options(wanted, { keepIn }));
    expectWhole(report, wanted);
    expect(report.summary.integrityChecks).toBe(10);
    // The kills were felt: requests were cut, and answered when they were sent again with the same key.
    using history = new HistoryFile(path.join(keepIn, 'clients.jsonl'));
    expect(history.read().filter((call) => call.cuts.length > 0 && verdictOf(call) === 'acknowledged').length).toBeGreaterThan(0);
    expect(readdirSync(keepIn).length).toBeGreaterThan(10);
  });

  it('lose nothing and do nothing twice on Postgres, whoever is killed, whichever connection ends, and when the database crashes', async () => {
    const server = await ownPostgresServer();
    const wanted = { kills: 6, terminations: 10, restarts: 1 };
    const restart = async (): Promise<void> => {
      await server.crash();
      await server.start();
    };
    expectWhole(await runProcesses(options(wanted, { store: server.url, restart, restartEveryMs: 3_000 })), wanted);
  });

  it('end, and with the error of a restart that fails', async () => {
    const failed = new Error('pg_ctl: no server running');
    await expect(runProcesses(options({ restarts: 1 }, { workers: 2, clients: 1, restartEveryMs: 100, restart: () => Promise.reject(failed) }))).rejects.toBe(failed);
  });
});

describe('holdfast simulate-processes', () => {
  it('prints a summary as its last line, and the seed', async () => {
    const { code, stdout, stderr } = await runCli(['simulate', 'processes', '--kills', '1', '--workers', '2', '--clients', '2', '--seed', '5', '--json'], { cwd: await newFolder() });
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/^seed 5: 2 workers[^]*passed\n$/) as string });
    const summary = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as ProcessesSummary;
    expect(Object.keys(summary)).toEqual(summaryKeys);
    expect(summary).toMatchObject({ store: 'sqlite', kills: 1, integrityChecks: 1, lost: 0, duplicated: 0, unordered: 0 });
  }, 60_000);

  it.each<[string, readonly string[]]>([
    ['are of Postgres', ['--terminations', '1']],
    ['needs --restart-command', ['--restarts', '1', '--store', 'postgres://localhost/x']],
    ['a store in memory', ['--store', 'sqlite::memory:']],
  ])('refuses what makes no sense: %s', async (problem, args) => {
    const { code, stderr, stdout } = await runCli(['simulate', 'processes', ...args], { cwd: await newFolder() });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(problem);
  });
});
