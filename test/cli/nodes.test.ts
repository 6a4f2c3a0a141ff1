import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EnterNodeReply, TurnResult } from '../../src/index.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { runCli, runCliJson } from '../support/run-cli.ts';

describe('nodes on the command line', () => {
  it('are entered with their greeting, shown, followed and refused', async () => {
    const options = { cwd: path.dirname(await temporaryDatabase()) };
    const [sent] = (await runCliJson(['send', 'new', 'weather in Lisbon', '--agent', 'desk'], options)) as unknown as readonly [TurnResult];
    const id = sent.sessionId;
    expect(await runCli(['node', id, 'memory', '--reason', 'a click'], options)).toEqual({ code: 0, stdout: 'This is the memory desk. What shall I remember?\n', stderr: 'in memory, coming from weather\n' });
    expect((await runCli(['node', id, 'memory'], options)).stderr).toBe('the conversation is in memory already\n');
    expect(await runCli(['node', id, 'attic'], options)).toMatchObject({ code: 1, stderr: expect.stringContaining('(node_unknown)') as string });
    const shown = (await runCli(['show', id], options)).stdout;
    expect(shown).toMatch(new RegExp(`^${id}  idle  agent desk  owner local  node memory\n`));
    expect(shown).toContain('(in weather, from door)');
    const [entered] = (await runCliJson(['node', id, 'goodbye', '--force'], options)) as unknown as readonly [EnterNodeReply];
    expect(entered).toMatchObject({ node: 'goodbye', from: 'memory', status: 'ended' });
    const followed = (await runCli(['follow', id, '--until-idle'], options)).stdout;
    expect(followed).toContain('(in door)\n');
    expect(followed).toContain('(in memory, from weather: a click)\n');
    expect(followed).toContain('— the session has ended\n');
    expect((await runCli(['doctor'], options)).code).toBe(0);
  });
});
