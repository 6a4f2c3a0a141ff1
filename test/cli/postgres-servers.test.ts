import { describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { openEvents } from '../support/event-stream.ts';
import { postgresCli } from '../support/postgres-cli.ts';
import { runCli, startCli, type RunningCli } from '../support/run-cli.ts';

const numbersTo60 = Array.from({ length: 60 }, (_, place) => place + 1).join(' ');

async function listening(server: RunningCli): Promise<string> {
  return (await server.stdoutHas(/http:\/\/127\.0\.0\.1:\d+/))[0];
}

async function post<Reply>(url: string, body: object): Promise<Reply> {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return (await response.json()) as Reply;
}

// Processes start and die here, and a lease of 10 s passes, on machines that may be busy.
describe('processes on Postgres', { timeout: 60_000 }, () => {
  it('take requests in one and work in others: when one of those is killed in a turn, another one goes on with it', async () => {
    const { options } = await postgresCli();
    const api = startCli(['serve', '--no-worker', '--port', '0', '--connections', '4'], options);
    const url = await listening(api);
    const killed = startCli(['worker', '--connections', '5'], options);
    await killed.stdoutHas(/working on the sessions of demo/);
    const { session } = await post<{ session: { id: string } }>(`${url}/v1/sessions`, { agent: 'demo', message: { text: 'count to 60 every 50' } });
    const events = await openEvents(`${url}/v1/sessions/${session.id}/events`);
    await events.until(({ event }) => event === 'chunk');
    const other = startCli(['worker'], options);
    await other.stdoutHas(/working/);
    killed.process.kill('SIGKILL');
    await killed.ended;
    await events.until(({ data }) => data?.type === 'entry' && data.entry.kind === 'turn-ended');
    const kinds = events.frames.flatMap(({ data }) => (data?.type === 'entry' ? [data.entry.kind] : []));
    expect(kinds.slice(0, 5)).toEqual(['session-created', 'user-message', 'attempt-lost', 'assistant-step', 'turn-ended']);
    expect((await runCli(['show', session.id], options)).stdout).toContain(numbersTo60);
    for (const each of [api, other]) each.process.kill('SIGTERM');
    expect([(await api.ended).code, (await other.ended).code]).toEqual([0, 0]);
    const doctor = await runCli(['doctor'], options);
    expect([doctor.code, doctor.stdout]).toEqual([0, expect.stringContaining('nothing is wrong') as string]);
  });

  it('serve and work in one, say it as one line of JSON, and never say the password', async () => {
    const cli = await postgresCli();
    const { options, password } = cli;
    const server = startCli(['serve', '--port', '0', '--connections', '4', '--json'], options);
    const url = await listening(server);
    const { session } = await post<{ session: { id: string } }>(`${url}/v1/sessions`, { agent: 'demo', message: { text: 'hello' } });
    const events = await openEvents(`${url}/v1/sessions/${session.id}/events`);
    await events.until(({ data }) => data?.type === 'entry' && data.entry.kind === 'turn-ended');
    const [row] = await cli.query(`SELECT count(*)::integer AS connections FROM pg_stat_activity WHERE application_name = 'holdfast' AND query LIKE '%{schema}%'`);
    expect(row?.['connections']).toBeLessThanOrEqual(4);
    server.process.kill('SIGINT');
    const { code, stdout, stderr } = await server.ended;
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toEqual({ url, store: expect.stringMatching(/^postgres:\/\/[^:]+:\*\*\*@/) as string, agents: ['demo', 'desk'] });
    expect(stdout).not.toContain(password);
  });

  it('show in the banner where the data is, without the password', async () => {
    const { options, password } = await postgresCli();
    const dev = startCli(['dev', '--port', '0'], options);
    await dev.stdoutHas(/Data {4}postgres:\/\/[^:]+:\*\*\*@/);
    dev.process.kill('SIGTERM');
    expect((await dev.ended).stdout).not.toContain(password);
  });

  it('print commands for answering without the password', async () => {
    const { options, store, password } = await postgresCli();
    await runCli(['send', 'new', 'refund 20'], options);
    const elsewhere = { cwd: options.cwd };
    const { stdout: list } = await runCli(['sessions', '--store', store, '--json'], elsewhere);
    const [session] = (JSON.parse(list) as { items: readonly { id: string }[] }).items;
    const { stdout } = await runCli(['actions', session?.id ?? '', '--store', store], elsewhere);
    expect(stdout).toMatch(/holdfast approve ses_\w+ act_\w+ --store 'postgres:\/\/[^:]+:\*\*\*@.+'/);
    expect(stdout).not.toContain(password);
  });

  it('is told of by the doctor while they work, and what they do not define', async () => {
    const { options } = await postgresCli();
    const worker = startCli(['worker'], options);
    await worker.stdoutHas(/working/);
    expect((await runCli(['doctor'], options)).stdout).toMatch(/^ok {3}workers {5}1 at work$/m);
    worker.process.kill('SIGKILL');
    await worker.ended;
    await runCli(['send', 'new', 'hello', '--no-wait'], options);
    const said = await eventually('the end of its lease', async () => {
      const { stdout } = await runCli(['doctor'], options);
      return stdout.includes('0 at work') && stdout;
    });
    expect(said).toContain('warning: nobody_claims: 1 session of agent demo has something to do, and no worker lives');
  });
});
