import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { runCli, startCli } from '../support/run-cli.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const root = path.dirname(path.dirname(import.meta.dirname));

/** A folder with a module of agents, commands and a check that is violated at the first refund, unless it is said otherwise. */
async function folderWith(check = 'toolBegan: ({ callKey }) => violated(\'no refunds\', callKey)'): Promise<{ readonly cwd: string }> {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  const cwd = folder.path;
  await writeFile(path.join(cwd, 'refunds.ts'), [
    `import { sends } from '${root}/src/testing/index.ts';`,
    `import { refunding } from '${root}/test/support/refunding-agents.ts';`,
    'export const agents = refunding(\'report\');',
    'export const commands = [sends(\'refund 20\')];',
    `export const checks = [(violated) => ({ ${check} })];`,
  ].join('\n'));
  return { cwd };
}

vi.setConfig({ testTimeout: 60_000 });

describe('holdfast simulate', () => {
  it('ends with 0 when no seed fails, and its last line is JSON for a program', async () => {
    const { code, stdout, stderr } = await runCli(['simulate', '--agents', 'refunds.ts', '--seeds', '6', '--json'], await folderWith(''));
    expect([code, JSON.parse(stdout)]).toEqual([0, { seeds: 6, failed: 0, operations: expect.any(Number) as number, crashes: expect.any(Number) as number, seedsPerMinute: expect.any(Number) as number }]);
    expect(stderr).toMatch(/^seeds 1 to 6 on 2 threads, of refunds\.ts\nfaults:[^]*\ntools: refund \d+\n6 seeds, 0 failed; /);
  });

  it('ends with 1 when one does, and says how to see it again, which does', async () => {
    const options = await folderWith();
    const failed = await runCli(['simulate', '--agents', 'refunds.ts', '--seeds', '2', '--threads', '1'], options);
    expect([failed.code, failed.stdout]).toEqual([1, expect.stringMatching(/seed 1 failed:\n {2}no refunds: ses_/)]);
    const again = /again: npx holdfast (simulate --agents refunds\.ts --seed 1 --only \S+ --trace)\n/.exec(failed.stdout)?.[1] ?? '';
    const seen = await runCli(again.split(' '), options);
    expect([seen.code, seen.stdout]).toEqual([1, expect.stringMatching(/^ +0 p0\.1 starts\n[^]* runs refund ses_[^]*1 seeds, 1 failed; [^]*no refunds: ses_/)]);
  });

  it('ends with 1 when it cannot be run, with 2 when it is called wrongly', async () => {
    const options = await folderWith();
    await writeFile(path.join(options.cwd, 'broken.ts'), 'export const agents = () => { throw new Error(\'no such agent\'); };');
    expect(await runCli(['simulate', '--agents', 'broken.ts'], options)).toMatchObject({ code: 1, stderr: expect.stringContaining('no such agent') as string });
    expect(await runCli(['simulate', '--agents', 'missing.ts'], options)).toMatchObject({ code: 1, stderr: expect.stringContaining('agents_not_found') as string });
    expect(await runCli(['simulate', '--seed', '3', '--only', 'c999'], options)).toMatchObject({ code: 1, stderr: expect.stringContaining('only names c999') as string });
    expect(await runCli(['simulate', '--only', 'c0'], options)).toMatchObject({ code: 2, stderr: expect.stringContaining('say --seed') as string });
    expect(await runCli(['simulate', '--seeds', '0'], options)).toMatchObject({ code: 2 });
  });

  it('leaves at Ctrl-C', async () => {
    const running = startCli(['simulate', '--seeds', '100000'], await folderWith());
    await running.stdoutHas(/seeds 1 to 100000/);
    running.process.kill('SIGINT');
    expect(await running.ended).toMatchObject({ code: 130 });
  });
});
