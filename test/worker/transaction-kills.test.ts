import { describe, expect, it } from 'vitest';
import { createHoldfast, agent, postgres } from '../../src/index.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { startChild, type Child } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { userDatabase, type UserDatabase } from '../support/user-database.ts';

function worker({ url }: UserDatabase, stopsAt: string | null): Child {
  return startChild('test/worker/children/transaction-worker.ts', { url, stopsAt });
}

/** This process takes no work: it sends and reads. */
async function watch() {
  const user = await userDatabase();
  const shop = agent({ name: 'shop', model: scriptedModel([]) });
  const holdfast = await openHoldfast({ agents: [shop], store: postgres({ pool: user.pool }), worker: false });
  return { user, shop, session: await holdfast.sessions.create({ agent: 'shop' }) };
}

describe('after kill -9 of the worker in a call with transaction', () => {
  it.each(['before execute', 'after the insert', 'before COMMIT', 'after COMMIT'])('%s, the user\'s table has one row for each call, and each ends as done', async (point) => {
    const { user, session } = await watch();
    const first = worker(user, point);
    await first.hears('ready');
    const turn = await session.send('two, please');
    await first.hears(point);
    // What another process has not committed, nobody sees.
    expect(await user.orders()).toHaveLength(point === 'after COMMIT' ? 1 : 0);
    await first.signal('SIGKILL');
    const second = worker(user, null);

    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'ordered' });
    const entries = await session.entries();
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'placed' }, { outcome: 'done', output: 'placed' }] }]);
    const stepSeq = ofKind(entries, 'assistant-step')[0]?.seq;
    expect(await user.orders()).toEqual([0, 1].map((index) => `${session.id}/${stepSeq}/${index}`));
    expect(second.said.filter(({ event }) => event === 'after the insert')).toHaveLength(point === 'after COMMIT' ? 1 : 2);
    expect(ofKind(entries, 'late-result')).toEqual([]);
  });

  it('a worker that was only stopped, and taken over from, comes back and writes nothing', async () => {
    const { user, session } = await watch();
    const first = worker(user, null);
    await first.hears('ready');
    // Its insert waits, so that it can be stopped in it.
    const client = await user.connect();
    await client.query('BEGIN');
    await client.query('LOCK TABLE public.orders IN SHARE MODE');
    const turn = await session.send('two, please');
    await eventually('the insert to wait', async () => (await user.pool.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")).rows.length > 0);
    await first.signal('SIGSTOP');
    await client.query('COMMIT');
    worker(user, null);
    expect(await turn.result).toMatchObject({ reason: 'complete' });
    await first.signal('SIGCONT');
    await eventually('the first one\'s transaction to end', async () => (await user.pool.query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'")).rows.length === 0);
    expect(await user.orders()).toHaveLength(2);
  });

  it('a stop that waited for its commit finds neither row nor outcome', async () => {
    const { user, shop, session } = await watch();
    const first = worker(user, 'before COMMIT');
    await first.hears('ready');
    const turn = await session.send('two, please');
    await first.hears('before COMMIT');
    const other = await createHoldfast({ agents: [shop], store: postgres({ url: user.url }), worker: false });
    const stopping = (await other.sessions.get(session.id)).stop();
    await eventually('the stop to wait', async () => (await user.pool.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")).rows.length > 0);
    // Killed, it commits nothing; the stop goes on.
    await first.signal('SIGKILL');
    expect((await stopping).stopped).toBe(true);
    await other.close();
    expect(await turn.result).toMatchObject({ reason: 'stopped' });
    const results = ofKind(await session.entries(), 'tool-results')[0]?.results;
    expect([results?.map(({ outcome }) => outcome), await user.orders()]).toEqual([['stopped', 'stopped'], []]);
  });
});
