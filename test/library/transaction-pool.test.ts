import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, createHoldfast, postgres, tool, type Holdfast } from '../../src/index.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { userDatabase, type UserDatabase } from '../support/user-database.ts';

/** An agent that looks something up and says it. */
function looker() {
  const model = scriptedModel([], { otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'tool' ? 'clear' : [{ call: 'look', input: { city: 'Oslo' } }]) });
  return agent({ name: 'looker', model, tools: { look: tool({ inputSchema: z.object({ city: z.string() }), execute: ({ city }) => ({ city, sky: 'clear' }) }) } });
}

async function turnOf(holdfast: Holdfast): Promise<string> {
  const session = await holdfast.sessions.create({ agent: 'looker' });
  const { reason, text } = await (await session.send('what is it like?', { idempotencyKey: 'once' })).result;
  return `${reason}: ${text}`;
}

async function tables({ pool }: UserDatabase): Promise<readonly string[]> {
  const { rows } = await pool.query<{ readonly name: string }>("SELECT DISTINCT table_schema::text AS name FROM information_schema.tables WHERE table_name IN ('session', 'orders') ORDER BY 1");
  return rows.map(({ name }) => name);
}

describe('on the user\'s own pool', () => {
  it('Holdfast keeps to its schema, beside the user\'s tables', async () => {
    const user = await userDatabase();
    const holdfast = await openHoldfast({ agents: [looker()], store: postgres({ pool: user.pool }) });
    expect(await turnOf(holdfast)).toBe('complete: clear');
    expect(await tables(user)).toEqual(['holdfast', 'public']);
    const { rows } = await user.pool.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'");
    expect(rows).toEqual([{ table_name: 'orders' }]);
  });

  it('two Holdfasts in two schemas of one database do not see each other', async () => {
    const user = await userDatabase();
    const first = await openHoldfast({ agents: [looker()], store: postgres({ pool: user.pool, schema: 'one' }), worker: { pollMs: 20 } });
    const second = await openHoldfast({ agents: [looker()], store: postgres({ pool: user.pool, schema: 'two' }), worker: false });
    expect(await tables(user)).toEqual(['one', 'public', 'two']);
    const theirs = await second.sessions.create({ agent: 'looker', externalId: 'order-1' });
    await theirs.send('hello');
    const ours = await first.sessions.create({ agent: 'looker', externalId: 'order-1' });
    expect(await turnOf(first)).toBe('complete: clear');
    expect(ours.id).not.toBe(theirs.id);
    await expect(first.sessions.get(theirs.id)).rejects.toMatchObject({ code: 'session_not_found' });
    // The worker of the one has done a turn of its own, and has left the other's alone.
    expect([(await theirs.get()).status, (await second.store.listWorkers()).length, (await first.store.listWorkers()).length]).toEqual(['ready', 0, 1]);
    expect((await first.sessions.list()).items.some(({ id }) => id === theirs.id)).toBe(false);
  });

  it('the pool stays open and whole after close', async () => {
    const user = await userDatabase();
    const before = user.pool.listenerCount('error');
    const holdfast = await createHoldfast({ agents: [looker()], store: postgres({ pool: user.pool }) });
    await eventually('the store to listen', () => holdfast.store.hearsOthers);
    expect(await turnOf(holdfast)).toBe('complete: clear');
    await holdfast.close();
    await holdfast.close();
    expect([user.pool.listenerCount('error'), user.pool.waitingCount, user.pool.totalCount - user.pool.idleCount]).toEqual([before, 0, 0]);
    const clients = await Promise.all(Array.from({ length: 8 }, () => user.connect()));
    for (const client of clients) {
      // pg-pool has one of its own only while a connection is idle.
      expect((['error', 'end', 'notification'] as const).map((event) => client.listenerCount(event))).toEqual([0, 0, 0]);
      expect((await client.query('SELECT count(*)::int AS channels FROM pg_listening_channels()')).rows).toEqual([{ channels: 0 }]);
      client.release();
    }
  });

  it('a pool that is too small is refused at once, with what to do', async () => {
    const user = await userDatabase({ max: 2 });
    await expect(createHoldfast({ agents: [looker()], store: postgres({ pool: user.pool }) })).rejects.toMatchObject({ code: 'options_invalid', message: expect.stringMatching(/has 2 connections, and Holdfast needs at least 3: one listens/) as string });
    await expect(createHoldfast({ agents: [looker()], store: postgres({ url: user.url, connectionsMax: 1 }) })).rejects.toMatchObject({ code: 'options_invalid', message: expect.stringContaining('has 1 connection,') as string });
    expect([user.pool.totalCount, await tables(user)]).toEqual([0, ['public']]);
  });

  it('the smallest pool is enough for turns, for a transaction, and for more of them than it has connections', async () => {
    const user = await userDatabase({ max: 3 });
    const holdfast = await openHoldfast({ agents: [looker()], store: postgres({ pool: user.pool }) });
    expect(await Promise.all(Array.from({ length: 6 }, () => turnOf(holdfast)))).toEqual(Array(6).fill('complete: clear'));
    const sessions = await Promise.all(Array.from({ length: 4 }, () => holdfast.sessions.create({ agent: 'looker' })));
    const turns = await Promise.all(sessions.map((session, place) => holdfast.transaction(async (transaction) => {
      await transaction.query('INSERT INTO public.orders (id) VALUES ($1)', [`order-${place}`]);
      // A read of the store's, while the transaction has its connection.
      await session.get();
      return session.send('hello', { transaction });
    })));
    expect((await Promise.all(turns.map(({ result }) => result))).map(({ reason }) => reason)).toEqual(Array(4).fill('complete'));
    expect(await user.orders()).toHaveLength(4);
  });

  it.each(['serializable', 'repeatable read'])('type parsers that the user has changed, and %s as their default, do no harm', async (isolation) => {
    const types = { getTypeParser: () => (value: string) => ({ wrapped: value }) };
    const user = await userDatabase({ types: types as unknown as pg.CustomTypesConfig, options: `-c default_transaction_isolation=${isolation.replace(' ', '\\ ')} -c search_path=pg_catalog` });
    const holdfast = await openHoldfast({ agents: [looker()], store: postgres({ pool: user.pool }) });
    expect(await Promise.all(Array.from({ length: 8 }, () => turnOf(holdfast)))).toEqual(Array(8).fill('complete: clear'));
    const session = await holdfast.sessions.create({ agent: 'looker' });
    const turn = await holdfast.transaction(async (transaction) => {
      const { rows } = await transaction.query("SELECT current_setting('transaction_isolation') AS isolation");
      expect(rows).toEqual([{ isolation: { wrapped: isolation } }]);
      return session.send('hello', { transaction });
    });
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'clear' });
  });
});
