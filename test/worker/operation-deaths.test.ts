import { describe, expect, it } from 'vitest';
import type { OperationView } from '../../src/core/operation.ts';
import type { Child } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { watch, type AskedSession, type Watcher } from '../support/paused-sessions.ts';
import { ofKind } from '../support/run-turn.ts';
import { stores, type TestStore } from '../support/stores.ts';

/** On SQLite a death is seen before the lease ends; elsewhere the lease is all there is. */
const leasesMs: Readonly<Record<TestStore['name'], number>> = { sqlite: 4_000, postgres: 3_000 };
/** What a death may cost besides; generous where it is short, for machines that do much else. */
const besidesMs: Readonly<Record<TestStore['name'], number>> = { sqlite: 1_000, postgres: 15_000 };

/** When the operation has this many attempts and says how far it is. */
async function reported({ operation }: AskedSession, attempt: number, child: Child): Promise<OperationView> {
  return eventually(`progress of attempt ${attempt}`, async () => {
    const now = await operation();
    return now.attempts === attempt && now.progress?.text === `begun by ${child.pid}` ? now : null;
  });
}

/** Kills the worker, and waits until the next one has begun the calls of these sessions anew; says how long that took. */
async function deathCostMs(killed: Child, next: Child, watcher: Watcher, asked: readonly AskedSession[]): Promise<number> {
  const killedAtMs = Date.now();
  await killed.signal('SIGKILL');
  await eventually('the next worker to go on', () => asked.every(({ session }) => watcher.begun(session).at(-1)?.pid === next.pid));
  return Date.now() - killedAtMs;
}

describe.each(stores)('an operation whose worker is killed three times ($name)', (kind) => {
  it('says how far it is each time and ends once, if its tool may run again; one that may not is unknown at the first death', { timeout: 60_000 }, async () => {
    const watcher = await watch(kind);
    const leaseMs = leasesMs[kind.name];
    let worker = watcher.worker({ leaseMs, holds: true });
    const rerun = await watcher.ask(['rerun', { hold: 'end' }]);
    const keyed = await watcher.ask(['keyed', { hold: 'end' }]);
    const probed = await watcher.ask(['probe', { hold: 'end', finding: 'not' }]);
    const report = await watcher.ask(['report', { hold: 'end' }]);
    const runAgain = [rerun, keyed, probed];
    const pids: number[] = [];
    const costsMs: number[] = [];
    let atMs = 0;
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      pids.push(worker.pid);
      for (const asked of runAgain) {
        const { progress, status } = await reported(asked, attempt, worker);
        expect(status).toBe('running');
        expect(progress?.atMs).toBeGreaterThan(atMs);
      }
      atMs = Math.max(...(await Promise.all(runAgain.map(async ({ operation }) => (await operation()).progress?.atMs ?? 0))));
      if (attempt === 1) await reported(report, 1, worker);
      if (attempt === 4) break;
      const next = watcher.worker({ leaseMs, holds: true });
      await next.hears('ready');
      costsMs.push(await deathCostMs(worker, next, watcher, runAgain));
      worker = next;
    }
    console.log(`each death cost ${costsMs.map((ms) => `${ms} ms`).join(', ')}, with a lease of ${leaseMs} ms`);
    expect(Math.max(...costsMs)).toBeLessThanOrEqual(leaseMs + besidesMs[kind.name]);
    worker.tell({ event: 'release', name: 'end' });

    for (const { session, turn, operation } of runAgain) {
      expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
      expect(await operation()).toMatchObject({ status: 'succeeded', attempts: 4 });
      const entries = await session.entries();
      expect(ofKind(entries, 'operation-started')).toHaveLength(1);
      expect(ofKind(entries, 'operation-ended')).toMatchObject([{ status: 'succeeded' }]);
      expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'done' }] }]);
      const runs = watcher.begun(session);
      expect(runs.map(({ pid }) => pid)).toEqual(pids);
      expect(new Set(runs.map(({ callKey }) => callKey)).size).toBe(1);
    }
    expect(await report.turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(await report.operation()).toMatchObject({ status: 'unknown', attempts: 1 });
    expect(watcher.begun(report.session).map(({ pid }) => pid)).toEqual([pids[0]]);
    expect(ofKind(await report.session.entries(), 'operation-ended')).toMatchObject([{ status: 'unknown' }]);
    expect(ofKind(await report.session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'unknown', code: 'interrupted' }] }]);
  });

  it('leaves as many as it had to the next worker at one look', { timeout: 60_000 }, async () => {
    const watcher = await watch(kind);
    const leaseMs = leasesMs[kind.name];
    const first = watcher.worker({ leaseMs, holds: true });
    const asked = await Promise.all(Array.from({ length: 40 }, () => watcher.ask(['rerun', { hold: 'end' }])));
    await eventually('all to run', () => asked.every(({ session }) => watcher.begun(session).length === 1));
    const next = watcher.worker({ leaseMs });
    await next.hears('ready');
    const costMs = await deathCostMs(first, next, watcher, asked);
    console.log(`40 operations went on ${costMs} ms after the death of their worker, with a lease of ${leaseMs} ms`);
    expect(costMs).toBeLessThanOrEqual(leaseMs + besidesMs[kind.name]);
    for (const { turn } of asked) expect(await turn.result).toMatchObject({ reason: 'complete' });
    for (const { session } of asked) expect(watcher.begun(session)).toHaveLength(2);
  });
});
