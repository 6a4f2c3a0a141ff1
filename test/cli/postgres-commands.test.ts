import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { schemaVersionLatest } from '../../src/store/postgres/migrations.ts';
import { withoutPassword } from '../../src/store-url.ts';
import { postgresCli } from '../support/postgres-cli.ts';
import { runCli, runCliJson, startCli, type CliOptions } from '../support/run-cli.ts';

interface Sent {
  readonly sessionId: string;
  readonly text: string;
  readonly turnId: string;
  readonly actions: readonly { readonly id: string }[];
}

async function sent(options: CliOptions, words: readonly string[], session = 'new'): Promise<Sent> {
  const { stdout } = await runCli(['send', session, ...words, '--json'], options);
  return JSON.parse(stdout) as Sent;
}

describe('the commands on Postgres', { timeout: 60_000 }, () => {
  it('make a store, and leave one alone that is up to date', async () => {
    const { options, store } = await postgresCli();
    expect((await runCli(['migrate'], options)).stdout).toBe(`${withoutPassword(store)} is now at schema version ${schemaVersionLatest} (was 0)\n`);
    expect((await runCli(['migrate'], options)).stdout).toBe(`${withoutPassword(store)} is up to date (schema version ${schemaVersionLatest})\n`);
    expect(await runCliJson(['migrate'], options)).toEqual([{ store: withoutPassword(store), before: schemaVersionLatest, after: schemaVersionLatest }]);
  });

  it('talk, and show what was said', async () => {
    const { options } = await postgresCli();
    const { sessionId, text } = await sent(options, ['weather', 'in', 'Oslo']);
    expect(text).toMatch(/^The weather in Oslo: /);
    expect(await sent(options, ['again'], sessionId)).toMatchObject({ sessionId, text: 'You said: again' });
    expect((await runCli(['sessions'], options)).stdout).toMatch(new RegExp(`^${sessionId} +idle +Weather in Oslo +demo +2 `, 'm'));
    expect((await runCli(['show', sessionId], options)).stdout).toContain('You said: again\n');
    expect((await runCli(['follow', sessionId, '--until-idle'], options)).stdout).toMatch(/^> weather in Oslo\n[^]+> again\nYou said: again\n—\n$/);
  });

  it('decide what a turn waits for', async () => {
    const { options } = await postgresCli();
    const refund = await sent(options, ['refund', '20']);
    const { stdout } = await runCli(['actions', refund.sessionId], options);
    expect(stdout).toContain(`holdfast approve ${refund.sessionId} ${refund.actions[0]?.id}\n`);
    const approved = await runCli(['approve', refund.sessionId, refund.actions[0]?.id ?? ''], options);
    expect([approved.code, approved.stdout]).toEqual([0, expect.stringContaining('20') as string]);
    const second = await sent(options, ['refund', '30']);
    expect((await runCli(['deny', second.sessionId, second.actions[0]?.id ?? '', '--reason', 'no'], options)).code).toBe(0);
    const question = await sent(options, ['ask', 'me', 'anything', 'you', 'like']);
    const answered = await runCli(['answer', question.sessionId, question.actions[0]?.id ?? '', '--text', 'blue'], options);
    expect([answered.code, answered.stdout]).toEqual([0, expect.stringContaining('blue') as string]);
  });

  it('hold and change the queue, and stop a turn', async () => {
    const { options } = await postgresCli();
    const { sessionId } = await sent(options, ['refund', '20']);
    await runCli(['send', sessionId, 'next', '--no-wait', '--message-id', 'm1'], options);
    expect((await runCli(['queue', 'edit', sessionId, 'm1', 'changed'], options)).stderr).toBe('1 message waits\n');
    await runCli(['queue', 'hold', sessionId], options);
    expect((await runCli(['queue', 'list', sessionId], options)).stdout).toMatch(/^m1 +turn_\w+ +changed$/m);
    expect((await runCli(['stop', sessionId], options)).stderr).toMatch(/^turn turn_\w+ is over\n$/);
    expect((await runCli(['queue', 'delete', sessionId, 'm1'], options)).stderr).toBe('0 messages wait, held\n');
  });

  it('show operations and cancel one', async () => {
    const { options } = await postgresCli();
    const worker = startCli(['worker'], options);
    await worker.stdoutHas(/working on the sessions of demo/);
    const { sessionId } = await sent(options, ['index', '5000', 'in', 'the', 'background']);
    const [{ items: [operation] }] = (await runCliJson(['operations', sessionId], options)) as unknown as readonly [{ items: readonly [{ id: string; status: string }] }];
    expect((await runCli(['operation', 'cancel', operation.id], options)).stdout).toBe(`${operation.id} cancelled\n`);
    expect(await runCliJson(['operation', 'show', operation.id], options)).toMatchObject([{ id: operation.id, status: 'cancelled' }]);
  });

  it('import conversations and give them back as they were', async () => {
    const { options } = await postgresCli();
    const conversation = { id: 'c1', messages: [{ role: 'user', content: 'Hello' }, { role: 'assistant', content: 'Good day' }] };
    await writeFile(path.join(options.cwd, 'in.jsonl'), `${JSON.stringify(conversation)}\n`);
    expect((await runCli(['import', 'in.jsonl'], options)).stdout).toMatch(/^1 imported, 0 there already, 0 bad/);
    expect((await runCli(['import', 'in.jsonl'], options)).stdout).toMatch(/^0 imported, 1 there already, 0 bad/);
    expect(await runCliJson(['export'], options)).toEqual([conversation]);
  });

  it('leave the work to whoever works on the store already', async () => {
    const { options } = await postgresCli();
    const worker = startCli(['worker'], options);
    await worker.stdoutHas(/working/);
    // Nothing here could answer: the agents of this process are none of that session's.
    await writeFile(path.join(options.cwd, 'other.ts'), `
      import { agent } from ${JSON.stringify(path.join(import.meta.dirname, '../../src/agent/agent.ts'))};
      import { delay } from ${JSON.stringify(path.join(import.meta.dirname, '../../src/demo/delay.ts'))};
      import { ruleModel } from ${JSON.stringify(path.join(import.meta.dirname, '../../src/demo/rule-model.ts'))};
      export default agent({ name: 'other', model: ruleModel({ delay }) });
    `);
    const { sessionId } = await sent(options, ['hello']);
    expect(await runCli(['send', sessionId, 'again', '--agents', 'other.ts'], options)).toMatchObject({ code: 0, stdout: 'You said: again\n' });
  });
});

describe('a Postgres store that cannot be used', { timeout: 60_000 }, () => {
  const reading = [['sessions'], ['show', 'ses_1'], ['follow', 'ses_1'], ['actions', 'ses_1'], ['operations', 'ses_1'], ['queue', 'list', 'ses_1'], ['stop', 'ses_1'], ['export'], ['send', 'ses_1', 'x'], ['approve', 'ses_1', 'act_1_0']];

  it.each(reading)('is not made by a command that reads: %s', async (...args) => {
    const { options, schema } = await postgresCli();
    const { code, stdout, stderr } = await runCli(args, options);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(new RegExp(`^error: there is no Holdfast store in the schema ${schema} of .+ yet: .+holdfast migrate.+ \\(store_unavailable\\)\n$`));
  });

  const all = [['sessions'], ['send', 'new', 'hello'], ['migrate'], ['serve', '--port', '0'], ['worker'], ['dev', '--port', '0'], ['import', 'in.jsonl'], ['replay', '--generate', '1']];

  it.each(all)('is said in one sentence, without the password: %s', async (...args) => {
    const { options, password, store } = await postgresCli();
    await writeFile(path.join(options.cwd, 'in.jsonl'), '');
    const url = new URL(store);
    url.username = 'nobody_here';
    const { code, stdout, stderr } = await runCli([...args, '--store', url.href], options);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^error: postgres:\/\/nobody_here:\*\*\*@.+: the server lets nobody in like this .+ \(store_unavailable\)\n$/);
    expect(stderr).not.toContain(password);
  });

  it.each<[string, (url: URL) => void, string]>([
    ['a database that is not there', (url) => { url.pathname = '/not_there'; }, 'make it first'],
    ['a server that does not run', (url) => { url.port = '1'; }, 'the database cannot be reached'],
    ['a schema that is no name', (url) => { url.searchParams.set('schema', 'Not a name'); }, 'is no plain name'],
  ])('is said: %s', async (_what, change, said) => {
    const { options, store, password } = await postgresCli();
    const url = new URL(store);
    change(url);
    const { code, stdout, stderr } = await runCli(['sessions', '--store', url.href], options);
    expect([code, stdout, stderr]).toEqual([1, '', expect.stringContaining(said) as string]);
    expect(stderr).not.toContain(password);
  });

  it('has no connections to be counted where it is SQLite', async () => {
    const { options } = await postgresCli();
    expect(await runCli(['worker', '--store', 'sqlite:a.db', '--connections', '5'], options)).toMatchObject({ code: 1, stderr: expect.stringContaining('(options_invalid)') as string });
  });
});

describe('what is said of a store', () => {
  it.each([
    ['postgres://ada:secret@host:5432/db?schema=s', 'postgres://ada:***@host:5432/db?schema=s'],
    ['postgresql+psycopg://ada:secret@host/db', 'postgresql+psycopg://ada:***@host/db'],
    ['Postgres://ada:secret@host/db', 'Postgres://ada:***@host/db'],
    ['postgresql://ada:se:cr@e/t@host/db', 'postgresql://ada:***@host/db'],
    ['postgres://host/db?user=ada&password=secret&schema=s', 'postgres://host/db?user=ada&password=***&schema=s'],
    ['postgres://ada@host:5432/db', 'postgres://ada@host:5432/db'],
    ['sqlite:some/where.db', 'sqlite:some/where.db'],
  ])('has no password: %s', (url, said) => {
    expect(withoutPassword(url)).toBe(said);
  });
});
