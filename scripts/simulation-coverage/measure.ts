import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { FileCoverage, type V8Script } from './v8-coverage.ts';

export const root = path.join(import.meta.dirname, '..', '..');

/** What must be reached. The conformance suite is a test itself. */
export const rooms = ['src/core', 'src/store/*.ts', 'src/store/sqlite', 'src/store/postgres', 'src/worker'] as const;
export type Room = (typeof rooms)[number];

export interface Runs {
  readonly seeds: number;
  readonly threads: number;
  /** Failpoints run on it, too; null: only on SQLite. */
  readonly postgres: string | null;
  /** Reports of an earlier run, in place of running anything; null: there is none. */
  readonly reports: string | null;
}

/** Runs seeds and failpoints, and tells what ran, by file. Rejects when one of them cannot be run; what they find wrong is not of interest here. */
export async function measure({ seeds, threads, postgres, reports }: Runs): Promise<ReadonlyMap<string, FileCoverage>> {
  const files = filesOf(rooms.filter((room) => room !== 'src/store/postgres' || postgres !== null));
  if (reports !== null) return merge(reports, files);
  const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-coverage-'));
  try {
    await run(folder, ['src/cli/main.ts', 'simulate', '--seeds', String(seeds), '--threads', String(threads), '--failures', '1000000']);
    for (const store of ['sqlite::memory:', ...(postgres === null ? [] : [postgres])]) await run(folder, ['scripts/simulation-coverage/run-failpoints.ts', store]);
    return merge(folder, files);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function run(folder: string, script: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, script, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, NODE_V8_COVERAGE: folder } });
  const [code] = (await once(child, 'exit')) as [number | null];
  // 1: a seed has failed, which is for `simulate` to tell.
  if (code !== 0 && code !== 1) throw new Error(`${script.join(' ')} ended with code ${String(code)}`);
}

function filesOf(wanted: readonly Room[]): readonly string[] {
  return wanted.flatMap((room) => globSync(room.endsWith('.ts') ? room : `${room}/**/*.ts`, { cwd: root }).sort());
}

/** The room that a file is in. */
export function roomOf(file: string): Room | undefined {
  return rooms.find((room) => (room.endsWith('*.ts') ? path.dirname(file) === path.dirname(room) : file.startsWith(`${room}/`)));
}

/** A file that no run has loaded has nothing but types, or was never needed: then it is left out. */
export function merge(folder: string, files: readonly string[]): ReadonlyMap<string, FileCoverage> {
  const covered = new Map<string, FileCoverage>();
  const wanted = new Map(files.map((file) => [pathToFileURL(path.join(root, file)).href, file]));
  for (const report of readdirSync(folder)) {
    const { result } = JSON.parse(readFileSync(path.join(folder, report), 'utf8')) as { readonly result: readonly V8Script[] };
    for (const script of result) {
      const file = wanted.get(script.url);
      if (file === undefined) continue;
      const coverage = covered.get(file) ?? new FileCoverage(readFileSync(fileURLToPath(script.url), 'utf8'));
      covered.set(file, coverage);
      coverage.add(script);
    }
  }
  return covered;
}
