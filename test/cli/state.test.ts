import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { StateListing, StateView } from '../../src/commands/state.ts';
import type { TurnResult } from '../../src/index.ts';
import type { StateSnapshot } from '../../src/store/state-reader.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { runCli, runCliJson, type CliOptions, type CliResult } from '../support/run-cli.ts';

async function remembered(): Promise<{ readonly run: (...args: readonly string[]) => Promise<CliResult>; readonly json: <Value>(...args: readonly string[]) => Promise<Value>; readonly say: (text: string) => Promise<TurnResult> }> {
  const options: CliOptions = { cwd: path.dirname(await temporaryDatabase()) };
  const [sent] = (await runCliJson(['send', 'new', 'remember city=Lisbon'], options)) as unknown as readonly [TurnResult];
  return {
    run: (...args) => runCli(['state', sent.sessionId, ...args], options),
    json: async <Value>(...args: readonly string[]) => ((await runCliJson(['state', sent.sessionId, ...args], options)) as unknown as readonly [Value])[0],
    say: async (text) => ((await runCliJson(['send', sent.sessionId, text], options)) as unknown as readonly [TurnResult])[0],
  };
}

describe('holdfast state', () => {
  it('shows what tools have kept: all scopes, one scope, one value', async () => {
    const { run, json } = await remembered();
    expect((await run()).stdout).toMatch(/^SCOPE +KEY +VALUE\nconversation +external\.conversation_id +"ses_\w+"\nconversation +city +"Lisbon"\n$/);
    expect(await json<StateSnapshot>()).toMatchObject({ conversation: { city: 'Lisbon' }, actor: {}, subject: {}, agent: {}, complete: true });
    expect((await run('conversation', '--prefix', 'ci')).stdout).toMatch(/^KEY +VERSION +VALUE\ncity +\d+ +"Lisbon"\n$/);
    expect(await run('conversation', 'city')).toMatchObject({ code: 0, stdout: '"Lisbon"\n', stderr: expect.stringMatching(/^version \d+, written by tool\n$/) });
  });

  it('writes on a condition, counts, deletes and clears; the agent reads what was written', async () => {
    const { run, json, say } = await remembered();
    const { version } = await json<StateView>('conversation', 'city');
    expect(await json<StateView>('conversation', 'city', '--set', '"Porto"', '--if-version', String(version), '--ttl-ms', '60000')).toMatchObject({ value: 'Porto', provenance: { by: 'api' } });
    expect(await run('conversation', 'city', '--set', '"Faro"', '--if-version', String(version))).toMatchObject({ code: 1, stderr: expect.stringContaining('(state_version_conflict)') });
    expect((await say('recall city')).text).toContain('Porto');
    expect([(await run('actor', 'visits', '--increment', '2')).stdout, (await run('actor', 'visits', '--increment', '-5')).stdout]).toEqual(['2\n', '-3\n']);
    expect([(await run('conversation', 'city', '--delete')).stderr, (await run('conversation', 'city', '--delete')).stderr]).toEqual(['deleted\n', 'there was none\n']);
    expect(await run('conversation', 'city')).toMatchObject({ code: 1, stderr: expect.stringContaining('(state_not_found)') });
    expect([await json('actor', '--clear'), (await json<StateListing>('actor')).items]).toEqual([{ deleted: 1 }, []]);
  });

  it.each([
    [['conversation', '--set', '1'], 1, '--set, --increment and --delete are of one value'],
    [['conversation', 'k', '--set', '1', '--increment', '1'], 1, 'two writes'],
    [['--clear'], 1, '--clear is of one scope'],
    [['conversation', 'k', '--ttl-ms', '5'], 1, '--ttl-ms goes with --set'],
    [['conversation', 'k', '--set', 'Lisbon'], 2, 'It must be JSON'],
    [['conversation', 'k', '--increment', 'much'], 2, 'It must be a number'],
    [['everywhere', 'k'], 1, '(state_scope_unknown)'],
  ])('refuses %j and says why', async (args, code, said) => {
    const { run } = await remembered();
    const result = await run(...args);
    expect([result.code, result.stdout]).toEqual([code, '']);
    expect(result.stderr).toContain(said);
  });
});
