import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import type { WaitingMemory } from './measure-waiting.ts';

/**
 * `npm run bench -- waiting-sessions`: what a session that waits costs the memory of the process that ran it. To be 0: what waits is in the store, and what a process keeps of it lies
 * in caches that are bounded, which the sessions made first fill.
 */
export function waitingSessionsCommand(): Command {
  return new Command('waiting-sessions')
    .description('measure the memory of sessions that wait for an approval or an operation')
    .option('--sessions <count>', 'how many more sessions are made between two looks at the heap', '1000')
    .option('--json', 'print one JSON value')
    .action(async ({ sessions, json }: { sessions: string; json?: boolean }) => {
      const measured = await measure(Number(sessions));
      process.stdout.write(json === true ? `${JSON.stringify(measured)}\n` : measured.map(describe).join(''));
    });
}

/** In a process of its own, whose garbage collector can be told to run. */
async function measure(sessions: number): Promise<readonly WaitingMemory[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-bench-'));
  try {
    const child = fork(path.join(import.meta.dirname, 'measure-waiting.ts'), [path.join(folder, 'bench.db'), String(sessions)], { execArgv: ['--expose-gc'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const told = once(child, 'message');
    const ended = once(child, 'exit').then(([code]) => { throw new Error(`the measuring process ended early, with ${String(code)}`); });
    const [measured] = (await Promise.race([told, ended])) as [readonly WaitingMemory[]];
    ended.catch(() => undefined); // now it may
    return measured;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function describe({ waitsFor, sessions, firstHeapBytes, heapBytes, externalBytes, runs }: WaitingMemory): string {
  return `${sessions} more sessions that wait for ${waitsFor}: ${(heapBytes / sessions).toFixed(0)} bytes of heap each, ${(externalBytes / sessions).toFixed(0)} outside of it, ${runs} of them run; `
    + `the first ${sessions} filled the bounded caches with ${(firstHeapBytes / 1e6).toFixed(1)} MB\n`;
}
