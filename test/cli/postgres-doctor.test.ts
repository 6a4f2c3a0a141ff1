import { describe, expect, it } from 'vitest';
import { examineStore, type Examination } from '../../src/cli/examine-store.ts';
import { examineWorkers } from '../../src/examine/examine-workers.ts';
import { postgresCli, type PostgresCli } from '../support/postgres-cli.ts';
import { runCli, runCliJson } from '../support/run-cli.ts';

const silent = { onSessions: () => undefined, onSession: () => undefined };

/** A store with a finished turn that called a tool, changed by hand. */
async function examined(change: (cli: PostgresCli, sessionId: string) => Promise<unknown>): Promise<Examination> {
  const cli = await postgresCli();
  const [turn] = (await runCliJson(['send', 'new', 'weather in Oslo'], cli.options)) as unknown as readonly [{ sessionId: string }];
  await change(cli, turn.sessionId);
  return examineStore(cli.store, silent);
}

const query = (text: string) => (cli: PostgresCli): Promise<unknown> => cli.query(text);
const setInBody = (table: string, field: string, value: unknown) => (cli: PostgresCli): Promise<unknown> =>
  cli.query(`UPDATE {schema}.${table} SET body = jsonb_set(body::jsonb, $1::text[], $2::jsonb)::text`, [field.split('.'), JSON.stringify(value)]);

describe('the doctor on Postgres', () => {
  it('finds nothing wrong with a store that is in order, and says what the server is like', async () => {
    const { findings, warnings, checks, sessions } = await examined(async () => undefined);
    expect({ findings, warnings, sessions }).toEqual({ findings: [], warnings: [], sessions: 1 });
    expect(checks.map(({ name, ok, warns }) => [name, ok, warns])).toEqual(['Node.js', 'Postgres', 'durability', 'hints', 'vacuum', 'schema', 'stray rows', 'workers', 'sessions', 'usage'].map((name) => [name, true, false]));
    const details = new Map(checks.map(({ name, detail }) => [name, detail]));
    expect(details.get('Postgres')).toMatch(/^\d+[\d.]*.*, transactions are read committed by default$/);
    expect(details.get('durability')).toBe('synchronous_commit is on');
    expect(details.get('hints')).toBe('NOTIFY comes back');
    expect(details.get('vacuum')).toMatch(/^oldest transaction \d+ s, its xmin \d+ transactions old; rows live\+dead: chunk .+ session \d+\+\d+$/);
  });

  it('reports to a person, and to a program', async () => {
    const cli = await postgresCli();
    await runCliJson(['send', 'new', 'hello'], cli.options);
    const { code, stdout } = await runCli(['doctor'], cli.options);
    expect([code, stdout.endsWith('ok   sessions    1 agree with their logs\nok   usage       the counters of 1 day agree with the logs\nnothing is wrong\n')]).toEqual([0, true]);
    expect(await runCliJson(['doctor'], cli.options)).toMatchObject([{ ok: true, findings: [], warnings: [], sessions: 1 }]);
    await cli.query('DELETE FROM {schema}.entry WHERE seq = 2');
    const damaged = await runCli(['doctor'], cli.options);
    expect([damaged.code, damaged.stdout.includes('entry 2 is followed by seq 3')]).toEqual([1, true]);
  });

  it.each<[string, readonly string[], string, (cli: PostgresCli, sessionId: string) => Promise<unknown>]>([
    ['a log that has lost its end', ['projection_mismatch'], 'lastSeq', query('DELETE FROM {schema}.entry WHERE seq = 8')],
    ['a row that counts other turns than its log', ['projection_mismatch'], 'turns is 5', setInBody('session', 'turns', 5)],
    ['a column that its session contradicts', ['row_mismatch'], 'column status is "running"', query("UPDATE {schema}.session SET status = 'running'")],
    ['a truth value that its session contradicts', ['row_mismatch'], 'column archived is 1', query('UPDATE {schema}.session SET archived = true')],
    ['rows of a session that is gone', ['stray_rows'], '8 rows of table entry', query('DELETE FROM {schema}.session')],
    ['live output of an attempt that is over', ['stray_rows'], 'of attempts that are over', (cli, id) => cli.query("INSERT INTO {schema}.chunk VALUES ('default', $1, 'att_1', 0, '[]')", [id])],
    ['an operation of a session that is gone', ['stray_rows'], '1 rows of table operation', query(`INSERT INTO {schema}.operation (tenant, id, session_id, owner, agent, status, fence, created_at_ms, commit_id, body)
      VALUES ('default', 'op_1', 'ses_gone', 'local', 'demo', 'succeeded', 1, 1, 'c', '{}')`)],
    ['a schema of the future', ['schema_newer'], 'update it', query('INSERT INTO {schema}.schema_version VALUES (999)')],
    ['a schema that nobody made', ['schema_older'], 'holdfast migrate', query('DROP SCHEMA {schema} CASCADE')],
  ])('finds %s', async (_what, codes, message, change) => {
    const { findings } = await examined(change);
    expect([...new Set(findings.map(({ code }) => code))]).toEqual(codes);
    expect(findings.map((finding) => finding.message).join('\n')).toContain(message);
  });

  it('warns that acknowledged commits may be lost', async () => {
    const cli = await postgresCli();
    await runCli(['migrate'], cli.options);
    const url = new URL(cli.store);
    url.searchParams.set('options', '-c synchronous_commit=off');
    const { findings, warnings } = await examineStore(url.href, silent);
    expect({ findings, warnings }).toEqual({ findings: [], warnings: [{ code: 'not_durable', message: expect.stringContaining('synchronous_commit is off: commits that were acknowledged may be lost') as string }] });
  });

  it.each<[{ readonly role?: string; readonly database?: string; readonly port?: string }, string, string]>([[{ role: 'nobody_here' }, 'store_unavailable', 'look at user and password'], [{ database: 'not_there' }, 'store_missing', 'make it first'], [{ port: '1' }, 'store_unavailable', 'look whether it runs']])('says in one sentence why nobody gets in: %j', async (wrong, code, hint) => {
    const cli = await postgresCli();
    const url = new URL(cli.store);
    if (wrong.role !== undefined) url.username = wrong.role;
    if (wrong.database !== undefined) url.pathname = `/${wrong.database}`;
    if (wrong.port !== undefined) url.port = wrong.port;
    const { findings, checks } = await examineStore(url.href, silent);
    expect(findings).toEqual([{ code, message: expect.stringContaining(hint) as string }]);
    expect(checks.map(({ name }) => name)).toEqual(['Node.js', 'store']);
    expect(JSON.stringify([findings, checks])).not.toContain(cli.password);
  });
});

describe('the doctor on either store', () => {
  const due = [{ agent: 'a', sessions: 1, operations: 0 }, { agent: 'b', sessions: 2, operations: 1 }];
  const worker = (agents: readonly string[], { isDead = false, schemaVersion = 2 } = {}) => ({ id: `wrk_${agents.join('')}`, agents, isDead, schemaVersion });
  const look = (workers: readonly ReturnType<typeof worker>[]) => examineWorkers({ workers: () => Promise.resolve(workers), waitingWork: () => Promise.resolve(due) }, 2);

  it('has nothing to say of work that a worker can claim', async () => {
    expect(await look([worker(['a']), worker(['b'])])).toEqual({ detail: '2 at work', warnings: [] });
  });

  it('warns of work whose agent no worker that lives defines', async () => {
    const { detail, warnings } = await look([worker(['a']), worker(['b'], { isDead: true })]);
    expect(detail).toBe('1 at work, 1 dead');
    expect(warnings).toEqual([{ code: 'nobody_claims', message: '2 sessions and 1 operation of agent b have something to do, and no worker that lives defines that agent: start one that does' }]);
    expect((await look([])).warnings.map(({ message }) => message)).toContain('1 session of agent a has something to do, and no worker lives: start one with "holdfast worker" or "holdfast serve"');
  });

  it('warns of workers that are older than the schema', async () => {
    expect((await look([worker(['a', 'b'], { schemaVersion: 1 })])).warnings).toEqual([{ code: 'worker_outdated', message: expect.stringContaining('wrk_ab was made for schema version 1') as string }]);
  });

  it.each([['sqlite'], ['postgres']])('says on %s who is at work and what nobody claims', async (engine) => {
    const { options } = await postgresCli();
    const store = engine === 'postgres' ? options.env.HOLDFAST_STORE : 'sqlite:waiting.db';
    const at = { ...options, env: { HOLDFAST_STORE: store } };
    await runCli(['send', 'new', 'hello', '--no-wait'], at);
    const { code, stdout } = await runCli(['doctor'], at);
    expect([code, stdout]).toEqual([0, expect.stringContaining('warning: nobody_claims: 1 session of agent demo has something to do, and no worker lives') as string]);
    expect(stdout).toMatch(/^\?\? {3}workers {5}0 at work; 1 warning$/m);
    expect(stdout.endsWith('nothing is broken; see the warning above\n')).toBe(true);
  });
});
