import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import type { FeedEvent } from '../../src/core/feed-event.ts';
import type { SessionUsage, UsageReport } from '../../src/feed/usage-view.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { runCli, runCliJson, startCli } from '../support/run-cli.ts';

async function folder(): Promise<string> {
  return path.dirname(await temporaryDatabase());
}

interface Sent {
  readonly sessionId: string;
  readonly id: string;
  readonly text: string;
  readonly reason: string;
}

async function sent(cwd: string, text: string, session = 'new'): Promise<Sent> {
  const [turn] = await runCliJson(['send', session, text], { cwd });
  return turn as unknown as Sent;
}

describe('the command line', () => {
  it('shows what there is, and its version', async () => {
    const cwd = await folder();
    const help = await runCli(['--help'], { cwd });
    expect(help.code).toBe(0);
    for (const name of ['dev', 'serve', 'worker', 'sessions', 'send', 'actions', 'approve', 'deny', 'answer', 'stop', 'queue', 'rewind', 'redo', 'edit', 'retry', 'fork', 'branches', 'restore', 'effects', 'operations', 'operation', 'usage', 'follow', 'show', 'export', 'import', 'migrate', 'doctor']) expect(help.stdout).toContain(`  ${name} `);
    const manifest = JSON.parse(await readFile(path.join(import.meta.dirname, '../../package.json'), 'utf8')) as { version: string };
    expect(await runCli(['--version'], { cwd })).toMatchObject({ code: 0, stdout: `${manifest.version}\n` });
  });

  it.each<[string, readonly string[]]>([
    ['no command', []],
    ['an unknown command', ['walk']],
    ['an unknown option', ['sessions', '--walk']],
    ['a missing argument', ['show']],
    ['a number out of bounds', ['sessions', '--limit', '101']],
    ['a status that there is not', ['sessions', '--status', 'asleep']],
    ['a format that there is not', ['export', '--format', 'xml']],
    ['a port that there is not', ['serve', '--port', '65536']],
    ['an agent name that cannot be', ['import', 'x.jsonl', '--agent', 'a b']],
  ])('exits with 2 and leaves stdout alone for %s', async (_what, args) => {
    const { code, stdout, stderr } = await runCli(args, { cwd: await folder() });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).not.toBe('');
  });

  it.each<[string, readonly string[], string]>([
    ['a store that does not exist', ['sessions', '--store', 'sqlite:nowhere.db'], 'store_unavailable'],
    ['a store in a folder that does not exist', ['migrate', '--store', 'sqlite:no/where.db'], 'store_unavailable'],
    ['a file that is no database', ['sessions', '--store', 'sqlite:text.db'], 'store_unavailable'],
    ['a store of an unknown kind', ['sessions', '--store', 'paper:pad'], 'options_invalid'],
    ['a file to import that does not exist', ['import', 'nowhere.jsonl'], 'file_not_found'],
    ['agents that do not exist', ['serve', '--agents', 'nowhere.js'], 'agents_not_found'],
    ['a module that exports no agents', ['serve', '--agents', 'empty.js'], 'agents_invalid'],
    ['a module that cannot be loaded', ['serve', '--agents', 'broken.js'], 'agents_not_loaded'],
    ['other machines, without authentication', ['serve', '--host', '0.0.0.0', '--port', '0'], 'listen_refused'],
    ['an agent that there is not', ['send', 'new', 'hello', '--agent', 'nobody'], 'agent_not_found'],
  ])('exits with 1 and names the code for %s', async (_what, args, refusal) => {
    const cwd = await folder();
    await writeFile(path.join(cwd, 'text.db'), 'This is no database. '.repeat(100));
    await writeFile(path.join(cwd, 'empty.js'), 'export const agents = [];');
    await writeFile(path.join(cwd, 'broken.js'), 'throw new Error("broken");');
    const { code, stdout, stderr } = await runCli(args, { cwd });
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(new RegExp(`^error: .+ \\(${refusal}\\)$`, 'm'));
  });

  it('says that an old Node is too old, before anything can crash on it', async () => {
    const nodeOptions = ['--import', 'data:text/javascript,Object.defineProperty(process.versions,"node",{value:"22.11.0"})'];
    expect(await runCli(['doctor'], { cwd: await folder(), nodeOptions })).toEqual({
      code: 1, stdout: '', stderr: 'error: Holdfast needs Node.js 22.12 or newer, and this is 22.11.0: install a newer one from https://nodejs.org (node_too_old)\n',
    });
  });

  it('takes the store from the environment, and the option before it', async () => {
    const cwd = await folder();
    const env = { HOLDFAST_STORE: 'sqlite:a.db' };
    expect((await runCli(['migrate'], { cwd, env })).stdout).toContain('sqlite:a.db');
    expect((await runCli(['migrate', '--store', 'sqlite:b.db'], { cwd, env })).stdout).toContain('sqlite:b.db');
  });

  it('ends quietly when nobody reads on', async () => {
    const cwd = await folder();
    await sent(cwd, 'count to 2000 every 0');
    const exporting = startCli(['export', '--format', 'session'], { cwd });
    exporting.process.stdout?.destroy();
    expect(await exporting.ended).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('send', () => {
  it('answers in a new session: the answer on stdout, the rest on stderr', async () => {
    const cwd = await folder();
    const { code, stdout, stderr } = await runCli(['send', 'new', 'weather', 'in', 'Oslo'], { cwd });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^The weather in Oslo: [a-z ]+, -?\d+ °C\.\n$/);
    expect(stderr).toMatch(/^session ses_\w+\n→ weather \{"city":"Oslo"\}\n← weather done: \{.+\}\n$/);
  });

  it('goes on in a session, and gives the result as one line of JSON', async () => {
    const cwd = await folder();
    const first = await sent(cwd, 'hello');
    expect(first).toMatchObject({ text: 'You said: hello', reason: 'complete', status: 'ended', steps: 1 });
    expect(await sent(cwd, 'again', first.sessionId)).toMatchObject({ sessionId: first.sessionId, text: 'You said: again' });
  });

  it('reads the message from stdin', async () => {
    expect((await runCli(['send', 'new', '-'], { cwd: await folder(), input: 'from a pipe\n' })).stdout).toBe('You said: from a pipe\n');
  });

  it('has one effect for one idempotency key, and refuses the key with another message', async () => {
    const cwd = await folder();
    const args = ['send', 'new', 'once', '--idempotency-key', 'k1'];
    const [first, second] = [await runCliJson(args, { cwd }), await runCliJson(args, { cwd })];
    expect(second).toEqual(first);
    const { code, stderr } = await runCli(['send', 'new', 'twice', '--idempotency-key', 'k1'], { cwd });
    expect([code, stderr.endsWith('(idempotency_mismatch)\n')]).toEqual([1, true]);
  });

  it('has used what `usage` shows: of the session attempt by attempt, of everybody day by day', async () => {
    const cwd = await folder();
    const { sessionId } = await sent(cwd, 'weather in Oslo');
    const [used] = (await runCliJson(['usage', sessionId], { cwd })) as unknown as readonly [SessionUsage];
    expect(used).toMatchObject({ sessionId, total: { attempts: 2, attemptsWithoutUsage: 0, attemptsWithoutCost: 2 }, models: [{ model: 'demo-rules' }], purposes: [{ purpose: 'step' }] });
    const [report] = (await runCliJson(['usage'], { cwd })) as unknown as readonly [UsageReport];
    expect([report.owner, report.total, report.days.length]).toEqual([null, used.total, 1]);
    expect(await runCliJson(['usage', '--owner', 'nobody', '--from', '2026-01-01', '--to', '2026-01-31'], { cwd })).toMatchObject([{ owner: 'nobody', from: '2026-01-01', to: '2026-01-31', days: [] }]);
    const table = await runCli(['usage', sessionId], { cwd });
    expect([table.code, table.stdout]).toEqual([0, expect.stringMatching(new RegExp(`done +step +demo-rules[^]*total +2 +${used.total.inputTokens} +0 +${used.total.outputTokens} +0 +0\\.000000 +cost of 2`)) as string]);
    expect((await runCli(['usage'], { cwd })).stdout).toMatch(/^DAY +ATTEMPTS[^]*\n\d{4}-\d\d-\d\d +2 [^]*\ntotal +2 /);
    expect((await runCli(['usage', '--from', 'yesterday'], { cwd })).code).toBe(2);
  });

  it('keeps to the budgets of the module that has the agents', async () => {
    const cwd = await folder();
    const source = (name: string): string => JSON.stringify(path.join(import.meta.dirname, '../../src', name));
    await writeFile(path.join(cwd, 'budgeted.ts'), `import { agent } from ${source('index.ts')};
      import { scriptedModel } from ${source('testing/scripted-model.ts')};
      export const agents = [agent({ name: 'budgeted', model: scriptedModel([], { otherwise: 'said' }) })];
      export const budgets = [{ per: 'owner', unit: 'tokens', period: 'month', limit: 10 }];`);
    const args = ['send', 'new', 'go', '--agents', 'budgeted.ts', '--agent', 'budgeted'];
    expect(await runCli(args, { cwd })).toMatchObject({ code: 0, stdout: 'said\n' });
    const second = await runCli(args, { cwd });
    expect([second.code, second.stderr]).toEqual([1, expect.stringContaining('the budget of the owner is used up: 15 tokens of 10 tokens this month') as string]);
  });

  it('fails when the turn fails, and says why', async () => {
    const { code, stdout, stderr } = await runCli(['send', 'new', 'fail quota', '--json'], { cwd: await folder() });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ reason: 'failed', error: { code: 'quota' } });
    expect(stderr).toMatch(/^error: .+ \(quota\)$/m);
  });

  it('says that an answer is taken back', async () => {
    const { stdout, stderr } = await runCli(['send', 'new', 'fail truncated 1'], { cwd: await folder() });
    expect(stderr).toMatch(/taken back[^]*attempt 2 in \d+ ms/);
    expect(stdout.endsWith('Recovered after 1 failure.\n')).toBe(true);
  });

  it('refuses a session that there is not', async () => {
    const cwd = await folder();
    await sent(cwd, 'hello');
    expect(await runCli(['send', 'ses_none', 'hello'], { cwd })).toMatchObject({ code: 1, stdout: '', stderr: 'error: there is no session ses_none (session_not_found)\n' });
  });

  it('leaves the work to others when it does not wait; a worker does it', async () => {
    const cwd = await folder();
    const [turn] = (await runCliJson(['send', 'new', 'hello', '--no-wait'], { cwd })) as unknown as readonly { sessionId: string; queued: boolean }[];
    expect(turn).toMatchObject({ queued: false });
    const sessionId = turn?.sessionId ?? '';
    expect((await runCli(['sessions', '--status', 'ready'], { cwd })).stdout).toContain(sessionId);
    const worker = startCli(['worker'], { cwd });
    const { stdout } = await runCli(['follow', sessionId, '--until-idle'], { cwd });
    expect(stdout).toBe('> hello\nYou said: hello\n—\n');
    worker.process.kill('SIGTERM');
    expect((await worker.ended).code).toBe(0);
  });

  it('leaves on Ctrl-C, and the turn goes on elsewhere', async () => {
    const cwd = await folder();
    const sending = startCli(['send', 'new', 'sleep 600000'], { cwd });
    const [, sessionId = ''] = await sending.stderrHas(/session (ses_\w+)\n→ sleep/);
    sending.process.kill('SIGINT');
    const { code, stderr } = await sending.ended;
    expect([code, stderr.includes('goes on with the next worker')]).toEqual([130, true]);
    expect((await runCli(['sessions', '--status', 'ready'], { cwd })).stdout).toContain(sessionId);
  });
});

describe('reading commands', () => {
  it('list sessions with their filters, page by page', async () => {
    const cwd = await folder();
    const first = await sent(cwd, 'hello');
    await runCli(['send', 'new', 'fail quota', '--owner', 'ada'], { cwd });
    const { stdout } = await runCli(['sessions'], { cwd });
    expect(stdout.split('\n')[0]).toMatch(/^ID +STATUS +TITLE +AGENT +TURNS +LAST ACTIVE$/);
    expect(stdout).toMatch(new RegExp(`^${first.sessionId} +idle +Hello +demo +1 +\\d{4}-`, 'm'));
    const ids = async (...args: string[]): Promise<readonly string[]> =>
      ((await runCliJson(['sessions', ...args], { cwd })) as unknown as readonly [{ items: readonly { id: string }[] }])[0].items.map(({ id }) => id);
    expect(await ids('--status', 'idle')).toEqual([first.sessionId]);
    expect(await ids('--agent', 'nobody')).toEqual([]);
    expect(await ids('--owner', 'ada')).toHaveLength(1);
    const [page] = (await runCliJson(['sessions', '--limit', '1'], { cwd })) as unknown as readonly [{ nextCursor: string }];
    expect(await ids('--limit', '1', '--cursor', page.nextCursor)).toEqual([first.sessionId]);
  });

  it('show a conversation and its log', async () => {
    const cwd = await folder();
    const { sessionId } = await sent(cwd, 'weather in Oslo');
    const { stdout } = await runCli(['show', sessionId], { cwd });
    expect(stdout).toMatch(/^ses_\w+ {2}idle {2}agent demo {2}owner local {2}"Weather in Oslo"\n\nyou {2}.+\nweather in Oslo\n\ndemo {2}.+\n→ weather \{"city":"Oslo"\}\n← \{.+\}\nThe weather in Oslo: .+\n$/);
    expect(await runCliJson(['show', sessionId], { cwd })).toMatchObject([{ session: { id: sessionId }, messages: [{ role: 'user' }, { role: 'assistant' }] }]);
    const kinds = ['session-created', 'user-message', 'assistant-step', 'tool-results', 'assistant-step', 'turn-ended', 'labels-wanted', 'title-set'];
    const log = (await runCliJson(['show', sessionId, '--entries'], { cwd })) as unknown as readonly Entry[];
    expect(log.map(({ kind }) => kind)).toEqual(kinds);
    expect((await runCli(['show', sessionId, '--entries'], { cwd })).stdout.split('\n').slice(0, -1).map((line) => line.trim().split(/ {2,}/)[2])).toEqual(kinds);
  });

  it('follow a session from any position to its rest', async () => {
    const cwd = await folder();
    const { sessionId } = await sent(cwd, 'hello');
    const events = (await runCliJson(['follow', sessionId, '--until-idle'], { cwd })) as unknown as readonly FeedEvent[];
    expect(events.map((event) => (event.type === 'entry' ? event.entry.kind : event.type))).toEqual(['session-created', 'user-message', 'assistant-step', 'turn-ended', 'labels-wanted', 'title-set', 'queue', 'status']);
    const after = events[1]?.position ?? '';
    const rest = (await runCliJson(['follow', sessionId, '--until-idle', '--after', after], { cwd })) as unknown as readonly FeedEvent[];
    // Who comes later is also told that nothing waits and no operation lives.
    expect(rest.filter(({ type }) => type !== 'action' && type !== 'operation')).toEqual(events.slice(2));
    expect(rest).toMatchObject([...events.slice(2, -1), { type: 'operation', operations: [] }, { type: 'action', actions: [] }, events.at(-1)]);
    expect(await runCli(['follow', sessionId, '--after', 'nowhere'], { cwd })).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('(bad_position)') as string });
  });

  it('follow until Ctrl-C', async () => {
    const cwd = await folder();
    const { sessionId } = await sent(cwd, 'hello');
    const following = startCli(['follow', sessionId], { cwd });
    await following.stdoutHas(/—\n/);
    following.process.kill('SIGINT');
    expect(await following.ended).toMatchObject({ code: 0, stderr: '' });
  });

  it('never hand a terminal what a user wrote to steer it', async () => {
    const cwd = await folder();
    const { sessionId } = await sent(cwd, 'x');
    expect((await runCli(['show', `${sessionId}\u001b[2J`], { cwd })).stderr).toBe(`error: there is no session ${sessionId}\u241b[2J (session_not_found)\n`);
  });
});

describe('migrate', () => {
  it('makes a store, and leaves one alone that is up to date', async () => {
    const cwd = await folder();
    expect((await runCli(['migrate'], { cwd })).stdout).toMatch(/is now at schema version \d+ \(was 0\)/);
    expect((await runCli(['migrate'], { cwd })).stdout).toMatch(/is up to date/);
    const [result] = (await runCliJson(['migrate'], { cwd })) as unknown as readonly [{ before: number; after: number }];
    expect(result.before).toBe(result.after);
  });

  it('is safe from several processes at once', async () => {
    const cwd = await folder();
    const results = await Promise.all([1, 2, 3].map(() => runCli(['migrate'], { cwd })));
    expect(results.map(({ code, stderr }) => [code, stderr])).toEqual([[0, ''], [0, ''], [0, '']]);
  });
});
