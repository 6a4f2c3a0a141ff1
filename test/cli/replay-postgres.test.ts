import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { describeReport } from '../../src/cli/commands/replay.ts';
import { examineStore } from '../../src/cli/examine-store.ts';
import { runReplay, type ReplayOptions, type ReplaySummary } from '../../src/cli/replay/run-replay.ts';
import { ownPostgresServer, temporaryPostgres } from '../support/postgres-database.ts';
import { postgresCli } from '../support/postgres-cli.ts';
import { runCli } from '../support/run-cli.ts';

const corpus = process.env['HOLDFAST_CORPUS'] ?? path.join(import.meta.dirname, '../../..', 'shared', 'data');
const airline = path.join(corpus, 'tau-airline.jsonl');
const seed = Math.floor(Math.random() * 2 ** 32);
const silent = { onSessions: () => undefined, onSession: () => undefined };

/** A database of its own: connections are ended whosever they are. */
async function newDatabase(): Promise<string> {
  const { url, drop } = await temporaryPostgres();
  onTestFinished(drop);
  return url;
}

const options = (store: string, faults: Partial<ReplayOptions>): ReplayOptions => ({
  source: { generate: 5, writeTo: null }, limit: null, seed, store, concurrency: 5, killEveryMs: null, workers: 3, thresholds: { kills: 2, killsInModel: 0, killsInTool: 0 },
  // Here deaths are seen as leases end. With one of 1 s, processes that live would lose theirs on a machine that is busy with other tests.
  leaseMs: 1_500, ...faults,
});

async function expectWhole(store: string, report: Awaited<ReturnType<typeof runReplay>>): Promise<void> {
  expect(report.passed, `seed ${seed}\n${describeReport(report)}`).toBe(true);
  expect(report.summary).toMatchObject({ conversations: 5, mismatches: 0, lost: 0, duplicated: 0 });
  expect((await examineStore(store, silent)).findings).toEqual([]);
}

describe('a replay on Postgres', { timeout: 60_000 }, () => {
  it('replays recorded conversations without a difference', async ({ skip }) => {
    skip(!existsSync(airline), `there is no ${airline}`);
    const cli = await postgresCli();
    const { code, stdout, stderr } = await runCli(['replay', airline, '--limit', '5', '--store', cli.store, '--json'], cli.options);
    expect([code, stderr]).toEqual([0, expect.stringContaining('passed') as string]);
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as ReplaySummary).toMatchObject({ conversations: 5, mismatches: 0, lost: 0, duplicated: 0, unknown: 0, kills: 0, pauses: 0, terminations: 0 });
    expect(stderr).not.toContain(cli.password);
  });

  it('goes on whichever worker is killed', async () => {
    const store = await newDatabase();
    const report = await runReplay(options(store, { killEveryMs: 500 }));
    await expectWhole(store, report);
    expect(report.summary.kills).toBeGreaterThanOrEqual(2);
  });

  it('goes on when workers come back after others have taken over from them', async () => {
    const store = await newDatabase();
    const notes: string[] = [];
    const report = await runReplay(options(store, { pauseEveryMs: 1_000, onNote: (text) => notes.push(text) }));
    await expectWhole(store, report);
    expect(report.summary).toMatchObject({ kills: 0, terminations: 0 });
    expect(report.summary.pauses).toBeGreaterThan(0);
    expect(notes.join('\n')).toContain('3 worker processes, lease 1500 ms, a pause every 1000 ms');
  });

  it('goes on whichever connections end, those of this process too', async () => {
    const store = await newDatabase();
    const report = await runReplay(options(store, { terminateEveryMs: 50, thresholds: { kills: 40, killsInModel: 0, killsInTool: 0 } }));
    await expectWhole(store, report);
    expect(report.summary).toMatchObject({ kills: 0, pauses: 0 });
    expect(report.summary.terminations).toBeGreaterThan(10);
  });

  it('goes on over five crashes of the database', async () => {
    const server = await ownPostgresServer();
    let turns = 0;
    let restarts = 0;
    let restarting = Promise.resolve();
    const restart = async (): Promise<void> => {
      await server.crash();
      await server.start();
      restarts += 1;
    };
    const report = await runReplay(options(server.url, {
      killEveryMs: 500,
      onProgress: (ofTurns) => {
        turns += 1;
        for (let crash = 1; crash <= 5; crash += 1) if (turns === Math.ceil((ofTurns * crash) / 6)) restarting = restarting.then(restart);
      },
    }));
    await restarting;
    expect(restarts).toBe(5);
    await expectWhole(server.url, report);
  });
});
