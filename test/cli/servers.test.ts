import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Entry, EntryKind, EntryOf } from '../../src/core/entry.ts';
import { eventually } from '../support/eventually.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { runCli, runCliJson, startCli, type RunningCli } from '../support/run-cli.ts';

const numbersTo200 = Array.from({ length: 200 }, (_, place) => place + 1).join(' ');

async function folder(): Promise<string> {
  return path.dirname(await temporaryDatabase());
}

async function listening(server: RunningCli): Promise<string> {
  return (await server.stdoutHas(/http:\/\/127\.0\.0\.1:\d+/))[0];
}

async function sendWithoutWaiting(cwd: string, text: string): Promise<string> {
  const [turn] = (await runCliJson(['send', 'new', text, '--no-wait'], { cwd })) as unknown as readonly [{ sessionId: string }];
  return turn.sessionId;
}

async function logOf(cwd: string, sessionId: string): Promise<readonly Entry[]> {
  return (await runCliJson(['show', sessionId, '--entries'], { cwd })) as unknown as readonly Entry[];
}

function ofKind<Kind extends EntryKind>(entries: readonly Entry[], kind: Kind): readonly EntryOf<Kind>[] {
  return entries.filter((entry): entry is EntryOf<Kind> => entry.kind === kind);
}

// Processes start, die and start again here, on machines that may be busy.
const timeout = 60_000;

describe('dev', { timeout }, () => {
  it('says where it is, answers HTTP there, says what ends, and stops in order', async () => {
    const cwd = await folder();
    const server = startCli(['dev', '--port', '0'], { cwd });
    const url = await listening(server);
    await server.stdoutHas(/count to 100[^]+holdfast\.db[^]+Ctrl-C/);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const sessionId = await sendWithoutWaiting(cwd, 'hello');
    await server.stdoutHas(/^turn_\w+ complete \d+ ms$/m);
    await sendWithoutWaiting(cwd, 'fail quota');
    await server.stdoutHas(/^turn_\w+ failed \d+ ms quota: .+$/m);
    server.process.kill('SIGTERM');
    expect(await server.ended).toMatchObject({ code: 0, stderr: '' });
    expect((await runCli(['show', sessionId], { cwd })).stdout).toContain('You said: hello');
  });

  it('prints one line of JSON and nothing else when asked to', async () => {
    const cwd = await folder();
    const server = startCli(['dev', '--port', '0', '--json'], { cwd });
    await listening(server);
    server.process.kill('SIGINT');
    const { code, stdout } = await server.ended;
    expect([code, stdout.split('\n').length]).toEqual([0, 2]);
    expect(JSON.parse(stdout)).toEqual({ url: expect.stringMatching(/^http/) as string, store: 'sqlite:holdfast.db', agents: ['demo', 'desk'] });
  });

  it('finishes a turn in whose middle it was killed, by itself, and the answer is whole', async () => {
    const cwd = await folder();
    const killed = startCli(['dev', '--port', '0'], { cwd });
    await listening(killed);
    const sessionId = await sendWithoutWaiting(cwd, 'count to 200 every 30');
    const following = startCli(['follow', sessionId, '--until-idle'], { cwd });
    await following.stdoutHas(/> count to 200 every 30\n1 2 3/);
    killed.process.kill('SIGKILL');
    await killed.ended;
    const restarted = startCli(['dev', '--port', '0'], { cwd });
    await restarted.stdoutHas(/^turn_\w+ complete \d+ ms$/m);
    const { code, stdout } = await following.ended;
    expect([code, stdout.endsWith(`(the answer so far is taken back)\n(attempt 1 was lost with its worker)\n${numbersTo200}\n—\n`)]).toEqual([0, true]);
    const entries = await logOf(cwd, sessionId);
    // The title comes when it comes.
    expect(entries.map(({ kind }) => kind).slice(0, 6)).toEqual(['session-created', 'user-message', 'attempt-lost', 'assistant-step', 'turn-ended', 'labels-wanted']);
    expect(ofKind(entries, 'assistant-step')[0]?.parts).toEqual([{ type: 'text', text: numbersTo200 }]);
    expect(await runCli(['doctor'], { cwd })).toMatchObject({ code: 0 });
  });

  it('never runs a call again that must not run twice: killed within it, its outcome is unknown', async () => {
    const cwd = await folder();
    const env = { HOLDFAST_DEMO_JOURNAL: path.join(cwd, 'journal') };
    const journal = (): Promise<string> => readFile(env.HOLDFAST_DEMO_JOURNAL, 'utf8').catch(() => '');
    const killed = startCli(['dev', '--port', '0'], { cwd, env });
    await listening(killed);
    const sessionId = await sendWithoutWaiting(cwd, 'sleep 2000 once');
    await eventually('the call to begin', async () => (await journal()) !== '');
    killed.process.kill('SIGKILL');
    await killed.ended;
    const restarted = startCli(['dev', '--port', '0'], { cwd, env });
    await restarted.stdoutHas(/^turn_\w+ complete \d+ ms$/m);
    const entries = await logOf(cwd, sessionId);
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ toolName: 'sleep_once', outcome: 'unknown' }]);
    expect(await journal()).toBe(`sleep_once ${sessionId}/${ofKind(entries, 'assistant-step')[0]?.seq}/0\n`);
  });

  it('runs a call again that may run twice, under the same key', async () => {
    const cwd = await folder();
    const env = { HOLDFAST_DEMO_JOURNAL: path.join(cwd, 'journal') };
    const lines = (): Promise<readonly string[]> => readFile(env.HOLDFAST_DEMO_JOURNAL, 'utf8').then((text) => text.split('\n').filter((line) => line !== ''), () => []);
    const killed = startCli(['dev', '--port', '0'], { cwd, env });
    await listening(killed);
    const sessionId = await sendWithoutWaiting(cwd, 'sleep 1500');
    await eventually('the call to begin', async () => (await lines()).length === 1);
    killed.process.kill('SIGKILL');
    await killed.ended;
    const restarted = startCli(['dev', '--port', '0'], { cwd, env });
    await restarted.stdoutHas(/^turn_\w+ complete \d+ ms$/m);
    const [first, second, ...more] = await lines();
    expect([first, more]).toEqual([second, []]);
    expect(ofKind(await logOf(cwd, sessionId), 'tool-results')[0]?.results).toMatchObject([{ toolName: 'sleep', outcome: 'done', output: { sleptMs: 1500 } }]);
  });

  it('says which form a model has to have', async () => {
    const { code, stderr } = await runCli(['dev', '--port', '0'], { cwd: await folder(), env: { HOLDFAST_MODEL: 'gpt-5.1' } });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: HOLDFAST_MODEL is "gpt-5\.1"; .+openai\/NAME.+ \(model_invalid\)$/m)]);
  });
});

describe('serve', { timeout }, () => {
  it("serves a module's agents, and says one line", async () => {
    const cwd = await folder();
    const source = path.join(import.meta.dirname, '../../src');
    await writeFile(path.join(cwd, 'agents.ts'), `
      import { agent } from ${JSON.stringify(path.join(source, 'agent/agent.ts'))};
      import { delay } from ${JSON.stringify(path.join(source, 'demo/delay.ts'))};
      import { ruleModel } from ${JSON.stringify(path.join(source, 'demo/rule-model.ts'))};
      export default agent({ name: 'mine', model: ruleModel({ delay }) });
    `);
    const server = startCli(['serve', '--agents', 'agents.ts', '--port', '0'], { cwd });
    await listening(server);
    const { stdout } = await runCli(['send', 'new', 'hello', '--agent', 'mine', '--agents', './agents.ts'], { cwd });
    expect(stdout).toBe('You said: hello\n');
    server.process.kill('SIGTERM');
    const ended = await server.ended;
    expect([ended.code, ended.stdout]).toEqual([0, expect.stringMatching(/^listening on http:\/\/127\.0\.0\.1:\d+\n$/)]);
  });

  it('leaves the work to others with --no-worker', async () => {
    const cwd = await folder();
    const server = startCli(['serve', '--no-worker', '--port', '0'], { cwd });
    const url = await listening(server);
    const sessionId = await sendWithoutWaiting(cwd, 'hello');
    expect((await fetch(`${url}/v1/sessions/${sessionId}`).then((response) => response.json())) as object).toMatchObject({ status: 'ready' });
  });

  it('says what to do when the port is taken', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => new Promise<void>((resolve) => taken.close(() => resolve())));
    const { port } = taken.address() as AddressInfo;
    const { code, stdout, stderr } = await runCli(['serve', '--port', String(port)], { cwd: await folder() });
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(new RegExp(`^error: port ${port} .+ is taken.+--port \\(port_taken\\)$`, 'm'));
  });

  it('takes two signals that come together for one, and lets the running call end', async () => {
    const cwd = await folder();
    const server = startCli(['serve', '--port', '0'], { cwd });
    await listening(server);
    const sessionId = await sendWithoutWaiting(cwd, 'sleep 4000');
    const following = startCli(['follow', sessionId], { cwd });
    await following.stdoutHas(/→ sleep/);
    server.process.kill('SIGINT');
    server.process.kill('SIGTERM');
    const { code, stderr } = await server.ended;
    expect([code, stderr.match(/1 running turn/g)]).toEqual([0, ['1 running turn']]);
    await following.stdoutHas(/← sleep done/);
  });

  it('ends at once at a second signal that comes later', async () => {
    const cwd = await folder();
    const server = startCli(['serve', '--port', '0'], { cwd });
    await listening(server);
    const sessionId = await sendWithoutWaiting(cwd, 'sleep 600000');
    await startCli(['follow', sessionId], { cwd }).stdoutHas(/→ sleep/);
    server.process.kill('SIGTERM');
    await server.stderrHas(/1 running turn/);
    // Signals within half a second are one: they are sent until one of them counts.
    const sending = setInterval(() => server.process.kill('SIGTERM'), 100);
    const { code } = await server.ended;
    clearInterval(sending);
    expect(code).toBe(143);
  });
});
