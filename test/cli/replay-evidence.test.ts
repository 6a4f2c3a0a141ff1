import { describe, expect, it } from 'vitest';
import { RunEvidence } from '../../src/cli/replay/evidence.ts';
import type { NoteLine } from '../../src/cli/replay/execution-journal.ts';

const loss = (worker: number, atMs: number): NoteLine => ({ kind: 'note', worker, pid: 1, level: 'warn', event: 'lease-lost', detail: '', atMs });
const did = (worker: number, atMs: number) => ({ worker, atMs });

describe('what cut a process off from its work', () => {
  it('is its kill, from when it was sent to when it was gone', () => {
    const run = new RunEvidence([], [{ worker: 1, killedAtMs: 100, goneAtMs: 110 }]);
    expect([run.isCutOff(did(1, 105), 100), run.isCutOff(did(1, 111), 200), run.isCutOff(did(1, 50), 99), run.isCutOff(did(2, 50), 200)]).toEqual([true, false, false, false]);
    expect([run.isByPaused(did(1, 105)), run.anyCutOffBetween(0, 99), run.anyCutOffBetween(90, 105)]).toEqual([false, false, true]);
  });

  it('is the loss of its lease, as it says', () => {
    const run = new RunEvidence([loss(1, 100)], []);
    expect([run.isCutOff(did(1, 99), 100), run.isCutOffLater(did(1, 100)), run.isCutOffLater(did(1, 101)), run.isCutOffLater(did(2, 99))]).toEqual([true, true, false, false]);
  });

  it('is a pause, until the process that goes on finds out that its lease is over', () => {
    const run = new RunEvidence([loss(1, 2_150)], [], [{ worker: 1, pausedAtMs: 500, resumedAtMs: 2_100 }]);
    expect([600, 2_120, 2_151, 499].map((atMs) => run.isByPaused(did(1, atMs)))).toEqual([true, true, false, false]);
    expect([run.isCutOff(did(1, 400), 1_600), run.isCutOff(did(1, 400), 450), run.isCutOffLater(did(1, 2_140))]).toEqual([true, false, true]);
  });

  it('is a pause to its end where the process says nothing any more', () => {
    const run = new RunEvidence([], [], [{ worker: 1, pausedAtMs: 500, resumedAtMs: 2_100 }]);
    expect([2_100, 2_101].map((atMs) => run.isByPaused(did(1, atMs)))).toEqual([true, false]);
  });
});
