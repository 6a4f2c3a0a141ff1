import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { limits } from '../../src/core/limits.ts';
import { eventually } from '../support/eventually.ts';
import { watch } from '../support/paused-sessions.ts';
import { startCli, type RunningCli } from '../support/run-cli.ts';
import { ofKind } from '../support/run-turn.ts';

const agents = path.join(import.meta.dirname, 'children/pause-agents.ts');

describe('`holdfast worker`, told to end by SIGTERM while operations run', () => {
  it('gives them back after its grace time and exits; another goes on with them at once, by their recovery', { timeout: 60_000 }, async () => {
    const watcher = await watch();
    const holdFile = `${watcher.path}.go`;
    const worker = async (): Promise<RunningCli> => {
      const started = startCli(['worker', '--agents', agents, '--store', `sqlite:${watcher.path}`], { cwd: path.dirname(watcher.path), env: { PAUSE_JOURNAL: `${watcher.path}.journal` } });
      await started.stdoutHas(/working on/);
      return started;
    };
    const first = await worker();
    const heeds = await watcher.ask(['rerun', { holdFile }]);
    const deaf = await watcher.ask(['keyed', { holdFile, deaf: true }]);
    const detached = await watcher.ask(['rerun', { holdFile, detached: true }]);
    const report = await watcher.ask(['report', { holdFile }]);
    const all = [heeds, deaf, detached, report];
    const again = [heeds, deaf, detached];
    const soon = await watcher.ask(['rerun', { forMs: 2_000 }]);
    await eventually('all to run', () => [...all, soon].every(({ session }) => watcher.begun(session).length === 1));
    const second = await worker();
    const toldAtMs = Date.now();
    first.process.kill('SIGTERM');
    // One that ends within the grace time ends where it is.
    expect(await soon.turn.result).toMatchObject({ reason: 'complete' });
    expect(watcher.begun(soon.session)).toHaveLength(1);
    const { code, stderr } = await first.ended;
    const tookMs = Date.now() - toldAtMs;
    console.log(`told to end, it exited after ${tookMs} ms; its grace time is ${limits.stopGraceMs} ms`);
    expect([code, stderr]).toEqual([0, expect.stringContaining('stopping; 5 running operations are brought to a safe point first') as string]);
    expect(tookMs).toBeLessThan(limits.stopGraceMs + 5_000);

    await eventually('the other one to go on', () => again.every(({ session }) => watcher.begun(session).length === 2));
    for (const { session } of again) expect(watcher.begun(session).map(({ pid }) => pid)).toEqual([first.process.pid, second.process.pid]);
    writeFileSync(holdFile, '');
    for (const { turn, operation, session } of again) {
      expect(await turn.result).toMatchObject({ reason: 'complete' });
      await eventually('its end', async () => (await operation()).status === 'succeeded');
      expect((await operation()).attempts).toBe(2);
      expect(ofKind(await session.entries(), 'operation-ended')).toHaveLength(1);
    }
    expect(await report.turn.result).toMatchObject({ reason: 'complete' });
    expect(await report.operation()).toMatchObject({ status: 'unknown', attempts: 1 });
    expect(watcher.begun(report.session)).toHaveLength(1);
  });
});
