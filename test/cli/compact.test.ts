import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TurnResult } from '../../src/index.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { runCli, runCliJson } from '../support/run-cli.ts';

describe('holdfast compact', () => {
  it('puts a summary in place of what the demo model sees, shows that, and says when there is nothing to do', async () => {
    const options = { cwd: path.dirname(await temporaryDatabase()) };
    const [sent] = (await runCliJson(['send', 'new', 'my name is Ada'], options)) as unknown as readonly [TurnResult];
    const id = sent.sessionId;
    const compacted = await runCli(['compact', id, '--instructions', 'Keep the name.'], options);
    expect([compacted.code, compacted.stdout]).toEqual([0, '']);
    expect(compacted.stderr).toMatch(/^\(compacted: from here on the model sees a summary of what came before; \d+ → about \d+ tokens\)\n/);
    expect(await runCli(['compact', id], options)).toMatchObject({ code: 1, stderr: 'error: nothing has been said since the history was last compacted (nothing_to_compact)\n' });
    expect((await runCli(['send', id, 'and now?'], options)).stdout).toBe('You said: and now?\n');
    const shown = (await runCli(['show', id], options)).stdout;
    expect(shown).toContain('my name is Ada');
    expect(shown).toMatch(/\(compacted: from here on/);
    expect((await runCli(['follow', id, '--until-idle'], options)).stdout).toMatch(/> my name is Ada\nYou said: my name is Ada\n—\n\(compacted: [^]*> and now\?/);
  });

  it('a message that only one side sees is sent with --visibility', async () => {
    const options = { cwd: path.dirname(await temporaryDatabase()) };
    const [sent] = (await runCliJson(['send', 'new', 'hello'], options)) as unknown as readonly [TurnResult];
    expect((await runCli(['send', sent.sessionId, 'a hint', '--visibility', 'model'], options)).stdout).toBe('You said: a hint\n');
    expect((await runCli(['send', sent.sessionId, 'a note', '--visibility', 'user'], options)).stdout).toBe('');
    const shown = (await runCli(['show', sent.sessionId], options)).stdout;
    expect(shown).toContain('\na note\n');
    expect(shown).not.toContain('\na hint\n');
  });
});
