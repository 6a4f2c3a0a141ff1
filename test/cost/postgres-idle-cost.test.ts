import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { expect, test } from 'vitest';
import { benchAgent, userText } from '../../src/cli/bench/bench-agent.ts';
import { createHoldfast } from '../../src/create-holdfast.ts';
import { agent, tool } from '../../src/index.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ownPostgresServer } from '../support/postgres-database.ts';
import { PostgresProbe } from './postgres-probe.ts';

const sessionsAtRest = 10_000;
const workers = 3;
const watchedMs = 12_000;

/** Its sessions rest as well, and are due one day: when their approval expires. */
const askingAgent = agent({
  name: 'asking',
  model: scriptedModel([], { otherwise: [{ call: 'approved', input: {} }] }),
  tools: { approved: tool({ inputSchema: z.object({}), needsApproval: true, execute: () => 'done' }) },
});
const agents = [benchAgent(), askingAgent];

/** Some sessions as the engine leaves them, after a turn and before an approval; then so many copies of them, in the way the engine has written them. */
async function putToRest(url: string, probe: PostgresProbe): Promise<void> {
  await using holdfast = await createHoldfast({ agents, store: url });
  for (const text of ['one', 'two', 'three']) {
    const session = await holdfast.sessions.create({ agent: 'bench', title: text });
    expect((await (await session.send(userText)).result).reason).toBe('complete');
  }
  const asking = await holdfast.sessions.create({ agent: 'asking' });
  expect((await (await asking.send('may it?')).result).status).toBe('requires_action');
  await probe.query(`CREATE TEMPORARY TABLE copied AS SELECT tenant, id AS from_id, overlay(id placing lpad(number::text, 6, '0') from length(id) - 5) AS id
    FROM holdfast.session, generate_series(1, $1::integer) AS number`, [Math.ceil(sessionsAtRest / 4)]);
  for (const [table, key] of [['session', 'id'], ['entry', 'session_id']] as const) {
    const columns = (await probe.query("SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped", [`holdfast.${table}`])).map(({ name }) => String(name));
    const values = columns.map((name) => (name === key ? 'copied.id' : name === 'body' ? 'replace(body, from_id, copied.id)' : `original.${name}`));
    await probe.query(`INSERT INTO holdfast.${table} (${columns.join(', ')}) SELECT ${values.join(', ')} FROM holdfast.${table} AS original JOIN copied ON copied.from_id = original.${key}`);
  }
  await probe.query('ANALYZE holdfast.session, holdfast.entry');
}

test('10,000 sessions at rest and three idle workers cost the database at most five statements a second', async () => {
  const { url } = await ownPostgresServer();
  await using probe = await PostgresProbe.open(url);
  await putToRest(url, probe);
  const [{ sessions = 0 } = {}] = await probe.query('SELECT count(*)::integer AS sessions FROM holdfast.session');
  expect(sessions).toBeGreaterThanOrEqual(sessionsAtRest);
  for (let count = 0; count < workers; count += 1) await openHoldfast({ agents, store: url });
  // What they do to begin is not what they do at rest.
  await pause(2_000);
  await probe.forgetStatements();
  const startedAtMs = performance.now();
  await pause(watchedMs);
  const seconds = (performance.now() - startedAtMs) / 1000;
  const statements = await probe.statements();
  const perSecond = statements.reduce((calls, statement) => calls + statement.calls, 0) / seconds;
  console.log(`${String(sessions)} sessions at rest, ${workers} idle workers: ${perSecond.toFixed(2)} statements a second in ${seconds.toFixed(1)} s\n`
    + statements.map(({ text, calls }) => `  ${(calls / seconds).toFixed(2)} × ${text.slice(0, 140)}`).join('\n'));
  expect(perSecond).toBeLessThanOrEqual(5);
  expect(statements.filter(({ text }) => /^(INSERT|DELETE)|SET commit_id/.test(text))).toEqual([]);
}, 60_000);
