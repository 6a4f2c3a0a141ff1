import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EffectPage } from '../../src/commands/effects.ts';
import type { MovedReply } from '../../src/commands/history.ts';
import type { SessionView, TurnResult } from '../../src/index.ts';
import type { BranchPage } from '../../src/store/store.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { runCli, runCliJson, type CliOptions } from '../support/run-cli.ts';

interface Conversation {
  readonly options: CliOptions;
  readonly id: string;
  /** Runs a command on the session; it must succeed. */
  readonly run: (command: string, ...args: readonly string[]) => Promise<{ readonly stdout: string; readonly stderr: string }>;
  readonly json: <Value>(command: string, ...args: readonly string[]) => Promise<Value>;
  /** What was said by either side in the visible history, as `show` prints it. */
  readonly shown: () => Promise<string>;
}

async function conversation(...texts: readonly string[]): Promise<Conversation & { readonly turnIds: readonly string[] }> {
  const options: CliOptions = { cwd: path.dirname(await temporaryDatabase()) };
  const turnIds: string[] = [];
  let id = 'new';
  for (const text of texts) {
    const [sent] = (await runCliJson(['send', id, text], options)) as unknown as readonly [TurnResult];
    id = sent.sessionId;
    turnIds.push(sent.id);
  }
  const run: Conversation['run'] = async (command, ...args) => {
    const result = await runCli([command, id, ...args], options);
    expect([result.code, result.stderr], `${command} ${args.join(' ')}`).toEqual([0, result.stderr]);
    return result;
  };
  return {
    options, id, turnIds, run,
    json: async <Value>(command: string, ...args: readonly string[]) => ((await runCliJson([command, id, ...args], options)) as unknown as readonly [Value])[0],
    shown: async () => (await run('show')).stdout,
  };
}

describe('moves through the history on the command line', () => {
  it('rewind and redo', async () => {
    const { run, json, shown, turnIds: [first = ''] } = await conversation('one', 'two', 'three');
    expect((await run('rewind', first)).stderr).toBe('2 turns cut off; holdfast redo brings back\n');
    expect(await shown()).not.toContain('two');
    expect((await run('branches')).stderr).toBe('2 turns cut off by rewinding: holdfast redo\n');
    expect((await run('redo')).stderr).toBe('2 turns visible again\n');
    expect(await shown()).toContain('three');
    expect((await run('redo')).stderr).toBe('nothing changed\n');
    expect(await json<MovedReply>('rewind', 'start')).toMatchObject({ turns: 3, effects: [], moreEffects: false });
    expect(await shown()).not.toContain('one');
  });

  it('edit and retry show the answer; branches and restore bring back what was left', async () => {
    const { run, json, shown, turnIds: [, second = ''] } = await conversation('one', 'two');
    expect((await run('edit', second, 'two', 'instead')).stdout).toBe('You said: two instead\n');
    expect(await json<TurnResult>('retry')).toMatchObject({ status: 'ended', reason: 'complete', text: 'You said: two instead' });
    const { items, redo } = await json<BranchPage & Pick<SessionView, 'redo'>>('branches');
    expect([items.map(({ turns }) => turns), items[1]?.fromTurnId, redo]).toEqual([[1, 1], second, null]);
    expect((await run('branches', '--limit', '1')).stdout).toMatch(new RegExp(`^BRANCH .*\n${items[0]?.id} +1 +turn_\\w+ +\\d{4}-.*Z\n$`));
    expect((await run('restore', items[1]?.id ?? '')).stderr).toBe('1 turn visible again\n');
    expect(await shown()).not.toContain('instead');
    expect((await run('follow', '--until-idle')).stdout).toMatch(/\(rewound: 1 turn no longer visible\)\n\(1 turn left as branch br_\w+\)\n> two instead[^]*\(branch br_\w+ restored: 1 turn visible again\)\n$/);
  });

  it('what was done outside is said, by each move and by effects', async () => {
    const { options, id, run, json, turnIds: [first = ''] } = await conversation('one', 'weather in Lisbon');
    expect((await runCli(['send', id, 'refund 25'], options)).code).toBe(3);
    await runCli(['approve', id, ((await json<{ items: readonly { id: string }[] }>('actions')).items[0]?.id ?? '')], options);
    expect((await run('rewind', first)).stderr).toBe('2 turns cut off; holdfast redo brings back\nnot undone: refund {"amount":25} done\n');
    expect(await json<EffectPage>('effects')).toMatchObject({ items: [{ toolName: 'refund', input: { amount: 25 }, outcome: 'done' }], nextCursor: null });
    expect((await run('effects')).stdout).toMatch(/^CALL .*\n\S+ +turn_\w+ +refund +done +\{"amount":25\}\n$/);
  });

  it('fork makes a session that goes on by itself', async () => {
    const { options, run, json, shown, turnIds: [first = ''] } = await conversation('one', 'two');
    const { stdout, stderr } = await run('fork', '--turn', first, '--title', 'A copy');
    expect(stderr).toBe('a copy with 1 turn\n');
    const id = stdout.trim();
    expect((await runCli(['send', id, 'elsewhere'], options)).stdout).toBe('You said: elsewhere\n');
    expect((await runCli(['show', id], options)).stdout).toMatch(/one[^]*elsewhere/);
    expect(await shown()).not.toContain('elsewhere');
    expect(await json<SessionView>('fork', '--empty', '--external-id', 'blank')).toMatchObject({ turns: 0, externalId: 'blank' });
  });

  it('a running turn is left only where that is asked for', async () => {
    const { options, id, run, json, turnIds: [first = ''] } = await conversation('one');
    expect((await runCli(['send', id, 'refund 25'], options)).code).toBe(3);
    for (const args of [['rewind', id, first], ['edit', id, first, 'no'], ['retry', id]]) expect(await runCli(args, options)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('(session_busy)') as string });
    expect(await json<MovedReply>('rewind', first, '--stop')).toMatchObject({ turns: 1, effects: [] });
    expect((await runCli(['rewind', id, 'turn_unknown'], options)).stderr).toContain('(turn_not_found)');
    expect((await run('redo')).stderr).toBe('1 turn visible again\n');
  });

  it('a rewind that only stops the running turn says so', async () => {
    const { options, id, run, turnIds: [first = ''] } = await conversation('one');
    const running = async () => /turn (turn_\w+)/.exec((await runCli(['send', id, 'refund 25', '--no-wait', '--worker'], options)).stderr)?.[1] ?? '';
    const second = await running();
    expect((await run('rewind', second, '--stop')).stderr).toBe(`turn ${second} stopped\n`);
    expect((await run('rewind', second, '--stop')).stderr).toBe('nothing changed\n');
    const third = await running();
    expect((await run('rewind', first, '--stop')).stderr).toBe(`turn ${third} stopped\n2 turns cut off; holdfast redo brings back\n`);
  });
});
