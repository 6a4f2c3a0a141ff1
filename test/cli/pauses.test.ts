import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { actionLines } from '../../src/cli/action-lines.ts';
import { OperationLines } from '../../src/cli/operation-progress.ts';
import type { OperationView } from '../../src/core/operation.ts';
import type { ActionView, TurnResult } from '../../src/index.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { runCli, runCliJson, startCli, type CliOptions } from '../support/run-cli.ts';

async function folder(): Promise<CliOptions> {
  return { cwd: path.dirname(await temporaryDatabase()) };
}

/** The commands that somebody was told to give, as arguments. */
function commandsIn(text: string): readonly (readonly string[])[] {
  return [...text.matchAll(/^ {2}holdfast (.+?)(?: {3}\(.*\))?$/gm)].map(([, line = '']) => [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? ''));
}

async function jsonOf<Value>(args: readonly string[], options: CliOptions): Promise<Value> {
  const [value] = await runCliJson(args, options);
  return value as unknown as Value;
}

describe('a turn that needs an action, on the command line', () => {
  it('ends the send with code 3 and the exact commands that answer it, which do', async () => {
    const options = await folder();
    const asked = await runCli(['send', 'new', 'refund 50', '--store', 'sqlite:other store.db'], options);
    expect([asked.code, asked.stdout]).toEqual([3, '']);
    expect(asked.stderr).toMatch(/waits until somebody approves or denies refund \{"amount":50\} \(act_3_0\)/);
    const commands = commandsIn(asked.stderr);
    expect(commands.map(([name]) => name)).toEqual(['approve', 'deny']);
    const [approve = [], deny = []] = commands;
    expect((await runCli(['actions', approve[1] ?? '', '--store', 'sqlite:other store.db'], options)).stdout).toContain(`holdfast ${approve.slice(0, 3).join(' ')} --store 'sqlite:other store.db'`);
    const approved = await runCli(approve, options);
    expect(approved).toMatchObject({ code: 0, stdout: 'I refunded 50.\n' });
    expect(approved.stderr).toMatch(/^act_3_0 approved\n← refund done/);
    // The same again is harmless, another is refused.
    expect(await runCli(approve, options)).toMatchObject({ code: 0, stdout: '', stderr: 'act_3_0 approved\n' });
    expect((await runCli(deny, options))).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/\(action_decided\)\n$/) as string });
  });

  it('is JSON for a program, and goes on with the next action until there is none', async () => {
    const options = await folder();
    const sent = await runCli(['send', 'new', 'refund 500', '--json'], options);
    const paused = JSON.parse(sent.stdout) as TurnResult;
    expect([sent.code, sent.stderr]).toEqual([3, '']);
    expect(paused).toMatchObject({ status: 'requires_action', actions: [{ id: 'act_3_0', type: 'approval', input: { amount: 500 } }] });
    const { sessionId } = paused;
    expect((await jsonOf<{ items: readonly ActionView[] }>(['actions', sessionId], options)).items).toEqual(paused.actions);
    expect((await runCli(['sessions', '--status', 'requires_action'], options)).stdout).toContain(sessionId);
    const following = await runCli(['follow', sessionId, '--until-idle'], options);
    expect(following.code).toBe(3);
    expect(commandsIn(following.stdout)).toEqual([['approve', sessionId, 'act_3_0'], ['deny', sessionId, 'act_3_0']]);
    // Left to another process, it is decided and nothing more.
    expect(await jsonOf(['approve', sessionId, 'act_3_0', '--input', '{"amount": 5}', '--no-wait'], options)).toMatchObject({ sessionId, actions: [{ actionId: 'act_3_0', resolution: 'approved' }] });
    expect((await runCli(['send', sessionId, 'refund 7'], options)).code).toBe(3);
    expect((await runCli(['show', sessionId], options)).stdout).toMatch(/→ refund \{"amount":500\}\n← \{"refunded":5\}[^]*→ refund \{"amount":7\}\n\(waits: approval act_\d+_0\)/);
    const [action] = (await jsonOf<{ items: readonly ActionView[] }>(['actions', sessionId], options)).items;
    const denied = await runCli(['deny', sessionId, action?.id ?? '', '--reason', 'too dear'], options);
    expect([denied.code, denied.stderr]).toEqual([0, expect.stringContaining('too dear')]);
    expect(await runCli(['actions', sessionId], options)).toMatchObject({ code: 0, stdout: '', stderr: 'the session waits for nobody\n' });
  });

  it('takes the result of a client tool, its failure, and the answer to a question', async () => {
    const options = await folder();
    const located = await runCli(['send', 'new', 'locate me', '--json'], options);
    const { sessionId, actions: [location] } = JSON.parse(located.stdout) as TurnResult;
    expect(location).toMatchObject({ type: 'client-tool', toolName: 'location' });
    expect(actionLines({ ...location as ActionView }, { sessionId, store: 'sqlite:holdfast.db' }).at(-2)).toBe(`  holdfast answer ${sessionId} ${location?.id} --output 'JSON'`);
    const answer = ['answer', sessionId, location?.id ?? ''];
    expect(await runCli(answer, options)).toMatchObject({ code: 1, stderr: expect.stringContaining('(options_invalid)') as string });
    expect((await runCli([...answer, '--output', '{'], options)).code).toBe(2);
    expect(await runCli([...answer, '--output', '{"place":"Oslo"}'], options)).toMatchObject({ code: 0, stdout: expect.stringContaining('Oslo') as string });
    const asked = await runCli(['send', sessionId, 'ask me which one', '--json'], options);
    const [question] = (JSON.parse(asked.stdout) as TurnResult).actions;
    expect([asked.code, question?.type]).toEqual([3, 'question']);
    expect(await runCli(['answer', sessionId, question?.id ?? '', '--text', 'the left one'], options)).toMatchObject({ code: 0, stdout: expect.stringContaining('the left one') as string });
    expect(await runCli(['answer', sessionId, question?.id ?? '', '--text', 'the left one'], options)).toMatchObject({ code: 0, stdout: '' });
  });

  it('brings tools of its own, from a file', async () => {
    const options = await folder();
    const file = path.join(options.cwd, 'tools.json');
    await writeFile(file, JSON.stringify([{ name: 'paint', inputSchema: { type: 'object' } }]));
    const { sessionId } = await jsonOf<TurnResult>(['send', 'new', 'hello', '--client-tools', file], options);
    const [message] = (await runCliJson(['show', sessionId, '--entries'], options)).filter(({ kind }: { kind: string }) => kind === 'user-message');
    expect(message).toMatchObject({ clientTools: [{ name: 'paint' }] });
    await writeFile(file, '[{"name": "refund", "inputSchema": {}}]');
    expect((await runCli(['send', sessionId, 'hello', '--client-tools', file], options)).stderr).toMatch(/\(client_tool_taken\)\n$/);
    await writeFile(file, 'no JSON');
    expect((await runCli(['send', sessionId, 'hello', '--client-tools', file], options)).stderr).toMatch(/is not JSON: .+ \(file_invalid\)\n$/);
    expect((await runCli(['send', sessionId, 'hello', '--client-tools', 'nowhere.json'], options)).stderr).toMatch(/\(file_not_found\)\n$/);
  });
});

describe('operations, the queue and stops, on the command line', () => {
  it('shows how far an operation is in lines where nobody looks at a terminal, and cancels one that another process runs', async () => {
    const options = await folder();
    const sent = await runCli(['send', 'new', 'index 8'], options);
    expect([sent.code, sent.stdout]).toEqual([0, 'I indexed 8 documents.\n']);
    expect(sent.stderr).toMatch(/… index_documents \d+% document \d+ of 8 \(op_\w+\)/);
    const worker = startCli(['worker'], options);
    await worker.stdoutHas(/./);
    const { sessionId } = await jsonOf<{ sessionId: string }>(['send', 'new', 'index 6000', '--no-wait'], options);
    const following = startCli(['follow', sessionId], options);
    const [, id = ''] = await following.stdoutHas(/… index_documents \d+% document \d+ of 6000 \((op_\w+)\)/);
    expect((await runCli(['operations', sessionId], options)).stdout).toMatch(new RegExp(`^ID +STATUS +TOOL +MODE +PROGRESS +STARTED\\n${id} +running +index_documents +await +\\d+% document \\d+`));
    expect(await runCli(['operation', 'cancel', id], options)).toMatchObject({ code: 0, stdout: `${id} cancelled\n` });
    await following.stdoutHas(/operation op_\w+ cancelled[^]*← index_documents stopped[^]*—\n/);
    expect(await jsonOf(['operation', 'cancel', id], options)).toEqual({ operationId: id, status: 'cancelled' });
    expect(await jsonOf(['operations', sessionId, '--status', 'cancelled'], options)).toMatchObject({ items: [{ id, attempts: 1 }], nextCursor: null });
    expect(await jsonOf(['operation', 'show', id], options)).toMatchObject({ id, sessionId, status: 'cancelled' });
    expect((await runCli(['operation', 'cancel', 'op_none'], options)).stderr).toMatch(/\(operation_not_found\)\n$/);
    following.process.kill('SIGINT');
    worker.process.kill('SIGTERM');
    await Promise.all([following.ended, worker.ended]);
  });

  it('steers, queues, changes what waits, and stops', async () => {
    const options = await folder();
    const worker = startCli(['worker'], options);
    await worker.stdoutHas(/./);
    const { sessionId, turnId } = await jsonOf<{ sessionId: string; turnId: string }>(['send', 'new', 'index 6000', '--no-wait'], options);
    expect(await jsonOf(['send', sessionId, 'and quickly', '--steer', '--message-id', 'm1', '--no-wait'], options)).toMatchObject({ queued: true, steers: { turnId } });
    expect((await runCli(['send', sessionId, 'x', '--steer', '--when-busy', 'queue'], options)).code).toBe(2);
    for (const messageId of ['m2', 'm3']) await runCli(['send', sessionId, 'hello', '--message-id', messageId, '--no-wait'], options);
    expect(await runCli(['queue', 'hold', sessionId], options)).toMatchObject({ code: 0, stderr: '3 messages wait, held\n' });
    await runCli(['queue', 'edit', sessionId, 'm3', 'hello', 'you'], options);
    expect(await jsonOf(['queue', 'promote', sessionId, 'm3'], options)).toMatchObject({ held: true, messageIds: ['m3', 'm1', 'm2'] });
    expect(await runCli(['queue', 'delete', sessionId, 'm2'], options)).toMatchObject({ code: 0, stderr: '2 messages wait, held\n' });
    expect((await runCli(['queue', 'list', sessionId], options)).stdout).toMatch(/^MESSAGE +TURN +TEXT\nm3 +turn_\w+ +hello you\nm1 +turn_\w+ +\(joins the turn\) and quickly\n$/);
    expect((await runCli(['queue', 'delete', sessionId, 'm2'], options)).stderr).toMatch(/\(message_not_found\)\n$/);
    expect(await runCli(['stop', sessionId, '--keep-operations'], options)).toMatchObject({ code: 0, stderr: `turn ${turnId} is over\n` });
    const { items: [kept] } = await jsonOf<{ items: readonly OperationView[] }>(['operations', sessionId], options);
    expect(kept?.status).toBe('running');
    await runCli(['operation', 'cancel', kept?.id ?? ''], options);
    expect(await jsonOf(['stop', sessionId], options)).toMatchObject({ stopped: false });
    await runCli(['queue', 'release', sessionId], options);
    const { stdout } = await runCli(['follow', sessionId, '--until-idle'], options);
    expect(stdout).toMatch(/You said: hello you[^]*You said: and quickly/);
    worker.process.kill('SIGTERM');
    await worker.ended;
  });
});

describe('lines of progress', () => {
  const operation = (id: string, fraction: number | null, text?: string): OperationView => ({
    id, sessionId: 's', turnId: 't', stepSeq: 3, index: 0, toolCallId: 'c', toolName: 'index', mode: 'await', status: 'running', attempts: 1,
    progress: fraction === null ? null : { fraction, atMs: 1, ...(text === undefined ? {} : { text }) }, external: false, result: null, timeoutAtMs: 9, createdAtMs: 1, startedAtMs: 1, endedAtMs: null,
  });

  it('come when an operation begins, says something new, is a tenth further, or done', () => {
    const lines = new OperationLines();
    const after = (...operations: readonly OperationView[]) => lines.linesOf(operations);
    expect(after(operation('op_1', null))).toEqual(['… index running (op_1)']);
    expect(after(operation('op_1', 0.1))).toEqual(['… index 10% (op_1)']);
    expect(after(operation('op_1', 0.19))).toEqual([]);
    expect(after(operation('op_1', 0.19, 'slow'), operation('op_2', 0))).toEqual(['… index 19% slow (op_1)', '… index 0% (op_2)']);
    expect(after(operation('op_1', 0.95, 'slow'))).toHaveLength(1);
    expect(after(operation('op_1', 1, 'slow'))).toEqual(['… index 100% slow (op_1)']);
    expect(after(operation('op_1', 1, 'slow'))).toEqual([]);
  });
});
