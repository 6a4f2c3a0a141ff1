import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { describeReport } from '../../src/cli/commands/replay.ts';
import { runReplay, type ReplayOptions, type ReplaySummary } from '../../src/cli/replay/run-replay.ts';
import { readRecordings } from '../../src/cli/replay/recording.ts';
import { eventually } from '../support/eventually.ts';
import { runCli, startCli } from '../support/run-cli.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
const corpus = process.env['HOLDFAST_CORPUS'] ?? path.join(root, '..', 'shared', 'data');
const airline = path.join(corpus, 'tau-airline.jsonl');
const seed = Math.floor(Math.random() * 2 ** 32);

async function newFolder(): Promise<string> {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  return folder.path;
}

function lastLine(stdout: string): ReplaySummary {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as ReplaySummary;
}

const summaryKeys = ['conversations', 'turns', 'toolCalls', 'mismatches', 'lost', 'duplicated', 'unknown', 'kills', 'killsInModel', 'killsInTool', 'seconds', 'turnsPerSecond', 'actions', 'operations', 'steered', 'late', 'attempts', 'attemptsLost', 'pauses', 'terminations'];

describe('holdfast replay', () => {
  it('replays recorded conversations without a difference', async ({ skip }) => {
    skip(!existsSync(airline), `there is no ${airline}`);
    const { code, stdout, stderr } = await runCli(['replay', airline, '--limit', '5', '--concurrency', '3', '--json'], { cwd: await newFolder() });
    const recordings = readRecordings(airline, 5);
    const turns = recordings.flatMap((recording) => recording.turns);
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('passed') as string });
    expect(Object.keys(lastLine(stdout))).toEqual(summaryKeys);
    expect(lastLine(stdout)).toMatchObject({
      conversations: 5, turns: turns.length, toolCalls: turns.reduce((sum, { steps }) => steps.reduce((calls, step) => calls + step.calls.length, sum), 0),
      mismatches: 0, lost: 0, duplicated: 0, unknown: 0, kills: 0, actions: 0, operations: 0, steered: 0, late: 0,
    });
  });

  it('replays generated conversations, saves them, and replays the saved ones again on the same store', async () => {
    const cwd = await newFolder();
    const generated = await runCli(['replay', '--generate', '10', '--seed', String(seed), '--write', 'a.jsonl', '--store', 'sqlite:a.db', '--json'], { cwd });
    expect({ code: generated.code, said: generated.stderr }).toMatchObject({ code: 0, said: expect.stringContaining(`seed ${seed}`) as string });
    const again = await runCli(['replay', 'a.jsonl', '--store', 'sqlite:a.db', '--journal', 'journals', '--json'], { cwd });
    expect({ code: again.code, said: again.stderr }).toMatchObject({ code: 0 });
    const { seconds: _seconds, turnsPerSecond: _turnsPerSecond, attempts, ...counts } = lastLine(generated.stdout);
    expect(lastLine(again.stdout)).toMatchObject(counts);
    // How many turns are opened by results that nobody waited for, and so how many generations there are, is the machine's matter.
    expect(attempts).toBeGreaterThan(counts.turns);
    expect(counts).toMatchObject({ conversations: 10, mismatches: 0, lost: 0, duplicated: 0 });
    const begun = readFileSync(path.join(cwd, 'journals', 'worker-0.journal.jsonl'), 'utf8').split('\n').filter((line) => line.includes('"tool"') && line.includes('"begin"'));
    const calls = readRecordings(path.join(cwd, 'a.jsonl')).flatMap(({ turns }) => turns.flatMap(({ steps }) => steps.flatMap((step) => step.calls)));
    expect(counts.toolCalls).toBe(calls.length);
    // What somebody else answers, and what is denied, never runs.
    expect(begun).toHaveLength(calls.filter(({ answer }) => answer === undefined || answer.type === 'approve').length);
    expect(counts).toMatchObject({ actions: calls.filter(({ answer }) => answer !== undefined).length, late: 0 });
    const sessions = await runCli(['sessions', '--store', 'sqlite:a.db', '--json'], { cwd });
    expect(sessions.stdout.match(/"externalId":"replay-/g)).toHaveLength(20);
  });

  it('reports to a person', async () => {
    const { code, stdout } = await runCli(['replay', '--generate', '2', '--seed', '1'], { cwd: await newFolder() });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^run \w+, seed 1: 2 conversations, 8 side by side\n2 conversations, \d+ turns, \d+ tool calls in [\d.]+ s: [\d.]+ turns\/s\n\d+ answers from outside, \d+ operations, \d+ steered messages\n\d+ generations recorded\n0 mismatches, 0 lost, 0 duplicated\npassed\n$/);
  });

  it.each<[string, readonly string[], number]>([
    ['a file or --generate COUNT', [], 2],
    ['a file or --generate COUNT', ['a.jsonl', '--generate', '1'], 2],
    ['--write saves', ['a.jsonl', '--write', 'b.jsonl'], 2],
    ['at least 3 workers', ['a.jsonl', '--kill-every', '100', '--workers', '2'], 2],
    ['at least 3 workers', ['a.jsonl', '--pause-every', '100', '--workers', '2'], 2],
    ['say --store postgres', ['a.jsonl', '--terminate-every', '100', '--store', 'sqlite:a.db'], 2],
    ['whole number', ['--generate', 'many'], 2],
    ['recording_invalid', ['gone.jsonl'], 1],
  ])('refuses what makes no sense: %s', async (problem, args, exitCode) => {
    const { code, stderr, stdout } = await runCli(['replay', ...args], { cwd: await newFolder() });
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toContain(problem);
  });
});

describe('a kill run', () => {
  const options = (thresholds: NonNullable<ReplayOptions['thresholds']>): ReplayOptions => ({
    source: { generate: 10, writeTo: null }, limit: null, seed, store: null, concurrency: 10, killEveryMs: 250, workers: 3, thresholds,
    // Deaths are seen by locks. On a machine that is busy with other tests, a lease of 1 s may be lost by a process that lives.
    leaseMs: 20_000,
  });

  it('goes on whoever is killed, also with calls that wait and operations: nothing is lost, nothing done twice', async () => {
    const notes: string[] = [];
    const report = await runReplay({ ...options({ kills: 4, killsInModel: 0, killsInTool: 0 }), onNote: (text) => notes.push(text) });
    expect(report.passed, `seed ${seed}\n${describeReport(report)}`).toBe(true);
    expect(report.summary).toMatchObject({ conversations: 10, mismatches: 0, lost: 0, duplicated: 0 });
    expect(report.summary.actions).toBeGreaterThan(0);
    expect(report.summary.operations).toBeGreaterThan(0);
    expect(notes.join('\n')).toContain('3 worker processes, lease 20000 ms, a kill every 250 ms');
  }, 60_000);

  it('that kills too little fails and says so', async () => {
    const report = await runReplay(options({ kills: 1, killsInModel: 1_000, killsInTool: 0 }));
    expect(report).toMatchObject({ passed: false, differences: [], shortfalls: [expect.stringContaining('kills in a generation, and 1000 are needed')] });
    expect(describeReport(report)).toContain('failed');
  }, 60_000);

  it.each<['SIGINT' | 'SIGKILL', number | null]>([['SIGINT', 130], ['SIGKILL', null]])('leaves no process behind after %s', async (signal, exitCode) => {
    const cwd = await newFolder();
    const cli = startCli(['replay', '--generate', '10', '--seed', String(seed), '--kill-every', '300', '--journal', 'journals'], { cwd, env: { TMPDIR: cwd } });
    await cli.stdoutHas(/a kill every 300 ms/);
    const pids = await workerPids(path.join(cwd, 'journals'));
    cli.process.kill(signal);
    const { code } = await cli.ended;
    expect(code).toBe(exitCode);
    await Promise.all(pids.map(ended));
    if (signal === 'SIGINT') expect(readdirSync(cwd).filter((name) => name.startsWith('holdfast-replay-'))).toEqual([]);
  }, 60_000);
});

/** The ids of the first three workers' processes, once each is ready. */
async function workerPids(folder: string): Promise<readonly number[]> {
  const lines = await eventually('three workers that are ready', () => {
    const names = existsSync(folder) ? readdirSync(folder).filter((name) => !name.startsWith('worker-0')) : [];
    const begun = names.map((name) => readFileSync(path.join(folder, name), 'utf8').split('\n')[0] ?? '').filter((line) => line !== '');
    return begun.length >= 3 && begun;
  });
  return lines.map((line) => (JSON.parse(line) as { pid: number }).pid);
}

async function ended(pid: number): Promise<void> {
  await eventually(`the end of process ${pid}`, () => {
    try {
      process.kill(pid, 0);
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ESRCH';
    }
  });
}
