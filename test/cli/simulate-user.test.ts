import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Simulation } from '../../src/index.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { runCli, runCliJson, startCli, type CliOptions } from '../support/run-cli.ts';

async function folder(): Promise<CliOptions & { readonly cwd: string }> {
  return { cwd: path.dirname(await temporaryDatabase()) };
}

async function simulated(args: readonly string[], options: CliOptions): Promise<Simulation> {
  const [simulation] = await runCliJson(['simulate-user', ...args], options);
  return simulation as unknown as Simulation;
}

describe('holdfast simulate-user', () => {
  it('plays a persona offline and shows the conversation as it goes; asked again, it is over', async () => {
    const options = await folder();
    const played = await runCli(['simulate-user', '--persona', 'hello; refund 5; count to 3'], options);
    expect(played).toMatchObject({ code: 0, stdout: expect.stringMatching(/^> hello\nYou said: hello\n—\n> refund 5\n→ refund \{"amount":5\}\n[^]*← refund denied: [^]*> count to 3\n1 2 3\n—\n$/) as string });
    expect(played.stderr).toMatch(/^session ses_\w+\nthe simulated user has ended the conversation \(session ses_\w+, 3 of its messages\)\n$/);
    const sessionId = /ses_\w+/.exec(played.stderr)?.[0] ?? '';
    expect(await runCli(['simulate-user', sessionId], options)).toMatchObject({ code: 0, stdout: '' });
    expect((await runCli(['doctor'], options)).code).toBe(0);
  });

  it('is JSON for a program, takes its persona from a file, and goes on from the number of messages it had', async () => {
    const options = await folder();
    await writeFile(path.join(options.cwd, 'persona.txt'), 'one\ntwo\nrefund 7\n');
    const first = await simulated(['--persona', '@persona.txt', '--max-turns', '1', '--json'], options);
    expect(first).toMatchObject({ turns: 1, reason: 'max_turns', error: null });
    expect(await simulated([first.sessionId, '--persona', '@persona.txt', '--max-turns', '9', '--approve', 'all', '--json'], options)).toMatchObject({ sessionId: first.sessionId, turns: 3, reason: 'persona', usage: { attempts: 8 } });
    expect((await runCli(['show', first.sessionId], options)).stdout).toMatch(/You said: two[^]*I refunded 7\.\n$/);
  });

  it('says by its exit code what did not go well', async () => {
    const options = await folder();
    const failed = await runCli(['simulate-user', '--persona', 'fail quota; hello'], options);
    expect([failed.code, failed.stderr]).toEqual([1, expect.stringMatching(/the agent's turn failed \(session ses_\w+, 1 of its messages\)\nerror: .*\(quota\)\n$/)]);
    expect(await runCli(['simulate-user'], options)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('(simulator_off)') as string });
    expect(await runCli(['simulate-user', 'ses_none', '--persona', 'x'], options)).toMatchObject({ code: 1, stderr: expect.stringContaining('(session_not_found)') as string });
    expect(await runCli(['simulate-user', '--persona', '@missing.txt'], options)).toMatchObject({ code: 1, stderr: expect.stringContaining('(file_not_found)') as string });
    expect(await runCli(['simulate-user', '--persona', 'x', '--max-turns', '0'], options)).toMatchObject({ code: 2 });
    expect(await runCli(['simulate-user', '--persona', 'x', '--model', 'nobody'], options)).toMatchObject({ code: 1, stderr: expect.stringContaining('(model_invalid)') as string });
  }, 20_000);

  it('leaves at Ctrl-C, and goes on when it is asked again', async () => {
    const options = await folder();
    const playing = startCli(['simulate-user', '--persona', 'hello; count to 40 every 50; bye'], options);
    await playing.stdoutHas(/> count to 40[^]*1 2/);
    playing.process.kill('SIGINT');
    const left = await playing.ended;
    expect([left.code, left.stderr]).toEqual([130, expect.stringContaining('left; asked again it goes on')]);
    const sessionId = /ses_\w+/.exec(left.stderr)?.[0] ?? '';
    expect(await simulated([sessionId, '--json'], options)).toMatchObject({ turns: 3, reason: 'persona' });
    expect((await runCli(['show', sessionId], options)).stdout.match(/count to 40/g)).toHaveLength(1);
  }, 20_000);
});
