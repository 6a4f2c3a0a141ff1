import { describe, expect, it } from 'vitest';
import { agent, postgres, type Holdfast } from '../../src/index.ts';
import type { TurnPart } from '../../src/library/turn-parts.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedModelOptions } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { insertOrder, userDatabase, type UserDatabase } from '../support/user-database.ts';

/** Without a hint nothing is looked for in a test's time. */
const unhinted = { pollMs: 300_000, leaseMs: 900_000 };

function clerk(otherwise: ScriptedModelOptions['otherwise'] = 'noted') {
  return agent({ name: 'clerk', model: scriptedModel([], { otherwise }) });
}

async function shop(options: { readonly own?: boolean; readonly otherwise?: ScriptedModelOptions['otherwise']; readonly worker?: Parameters<typeof openHoldfast>[0]['worker'] } = {}) {
  const user = await userDatabase();
  const holdfast = await openHoldfast({ agents: [clerk(options.otherwise)], store: options.own === true ? user.url : postgres({ pool: user.pool }), worker: options.worker ?? unhinted });
  await eventually('the store to listen', () => holdfast.store.hearsOthers);
  return { user, holdfast, session: await holdfast.sessions.create({ agent: 'clerk' }) };
}

async function begun(user: UserDatabase) {
  const client = await user.connect();
  await client.query('BEGIN');
  return client;
}

/** Resolves when a connection of the database waits for a lock. */
async function lockWait({ pool }: UserDatabase, count = 1): Promise<void> {
  await eventually('a wait for a lock', async () => (await pool.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")).rows.length >= count);
}

describe('a message sent in the user\'s own transaction', () => {
  it.each([['the user\'s pool', false], ['a pool of its own', true]])('lands with the user\'s row, and nobody works on it before the commit: the store with %s', async (_whose, own) => {
    const { user, holdfast, session } = await shop({ own });
    const client = await begun(user);
    await client.query(insertOrder, ['order-1']);
    const turn = await session.send('I ordered', { transaction: client });
    holdfast.wake();
    expect([(await session.get()).status, await user.orders(), holdfast.worker?.runs]).toEqual(['idle', [], 0]);
    await client.query('COMMIT');
    expect([await user.orders(), await turn.result]).toMatchObject([['order-1'], { reason: 'complete', text: 'noted' }]);
  });

  it('is gone with the user\'s row when the transaction is rolled back', async () => {
    const { user, holdfast, session } = await shop();
    const client = await begun(user);
    await client.query(insertOrder, ['order-1']);
    const turn = await session.send('I ordered', { transaction: client, idempotencyKey: 'order-1' });
    const { created, id, firstTurn } = await holdfast.sessions.create({ agent: 'clerk', externalId: 'new', message: { text: 'hello' } }, { transaction: client });
    expect([created, firstTurn?.queued]).toEqual([true, false]);
    await client.query('ROLLBACK');
    expect(await user.orders()).toEqual([]);
    expect((await session.entries()).map(({ kind }) => kind)).toEqual(['session-created']);
    await expect(turn.result).rejects.toMatchObject({ code: 'turn_not_found' });
    await expect(holdfast.sessions.get(id)).rejects.toMatchObject({ code: 'session_not_found' });
    // The key is free again.
    expect(await (await session.send('I ordered', { idempotencyKey: 'order-1' })).result).toMatchObject({ reason: 'complete' });
  });

  it('begins at once when its result, or its stream, is asked for', async () => {
    const { user, session } = await shop();
    for (const text of ['one', 'two']) {
      const client = await begun(user);
      const turn = await session.send(text, { transaction: client });
      // Before the commit there is no such turn; asked again after it, there is.
      await expect(turn.result).rejects.toMatchObject({ code: 'turn_not_found' });
      await client.query('COMMIT');
      client.release();
      if (text === 'one') {
        expect(await turn.result).toMatchObject({ text: 'noted' });
      } else {
        const parts: TurnPart[] = [];
        for await (const part of turn.stream) parts.push(part);
        expect(parts.at(-1)).toMatchObject({ type: 'end', reason: 'complete' });
      }
    }
  });

  it('begins at once after holdfast.wake(), here or in another process', async () => {
    const { user, holdfast, session } = await shop({ worker: false });
    const worker = await openHoldfast({ agents: [clerk()], store: postgres({ url: user.url }), worker: unhinted });
    await eventually('the worker to listen', () => worker.store.hearsOthers);
    const [first, second] = [await begun(user), await begun(user)];
    const other = await holdfast.sessions.create({ agent: 'clerk' });
    await session.send('first', { transaction: first });
    await other.send('second', { transaction: second });
    await first.query('COMMIT');
    holdfast.wake();
    await eventually('the first turn to end', async () => (await session.entries()).some(({ kind }) => kind === 'turn-ended'));
    expect((await other.entries()).map(({ kind }) => kind)).toEqual(['session-created']);
    // The other transaction is not forgotten because the first one's end was told of.
    await second.query('COMMIT');
    second.release();
    holdfast.wake();
    await eventually('the second turn to end', async () => (await other.entries()).some(({ kind }) => kind === 'turn-ended'));
  });

  it('is told to followers, and ends work that it interrupts, after the commit and not before', async () => {
    const held = gate();
    const { user, holdfast, session } = await shop({ otherwise: ({ number }) => (number === 0 ? [{ text: 'half' }, { gate: held }] : 'whole') });
    const running = await session.send('begin');
    await eventually('the model to speak', () => holdfast.worker?.runs === 1);
    const client = await begun(user);
    const turn = await session.send({ text: 'no, this', whenBusy: 'interrupt' }, { transaction: client });
    expect((await session.get()).status).toBe('running');
    await client.query('COMMIT');
    holdfast.wake();
    expect(await running.result).toMatchObject({ reason: 'stopped' });
    expect(await turn.result).toMatchObject({ text: 'whole' });
  });
});

describe('in one transaction', () => {
  it('two messages are two turns, also when they are sent at the same time', async () => {
    const { user, holdfast, session } = await shop();
    const turns = await holdfast.transaction(async (transaction) => {
      await transaction.query(insertOrder, ['order-1']);
      return Promise.all(['one', 'two', 'three'].map((text) => session.send(text, { transaction })));
    });
    expect(turns.map(({ queued }) => queued)).toEqual([false, true, true]);
    expect((await Promise.all(turns.map(({ result }) => result))).map(({ reason }) => reason)).toEqual(Array(3).fill('complete'));
    expect(await user.orders()).toEqual(['order-1']);
  });

  it('a refusal writes nothing, and leaves the transaction usable', async () => {
    const { user, holdfast, session } = await shop();
    const client = await begun(user);
    await expect(session.send('late', { transaction: client, expectedRevision: 99 })).rejects.toMatchObject({ code: 'revision_conflict' });
    await expect(holdfast.sessions.create({ agent: 'nobody' }, { transaction: client })).rejects.toMatchObject({ code: 'agent_not_found' });
    await client.query(insertOrder, ['order-1']);
    const turn = await session.send('in time', { transaction: client });
    await client.query('COMMIT');
    expect([await user.orders(), (await turn.result).text]).toEqual([['order-1'], 'noted']);
    expect((await session.entries()).filter(({ kind }) => kind === 'user-message')).toHaveLength(1);
  });

  it('an idempotency key works as ever', async () => {
    const { user, session } = await shop();
    const send = async () => {
      const client = await begun(user);
      const { id } = await session.send('pay', { transaction: client, idempotencyKey: 'pay-1' });
      const { id: again } = await session.send('pay', { transaction: client, idempotencyKey: 'pay-1' });
      await expect(session.send('pay more', { transaction: client, idempotencyKey: 'pay-1' })).rejects.toMatchObject({ code: 'idempotency_mismatch' });
      await client.query('COMMIT');
      client.release();
      return [id, again];
    };
    // Also between transactions that are open at the same time.
    const ids = (await Promise.all([send(), send(), send()])).flat();
    expect(new Set(ids).size).toBe(1);
    expect((await session.entries()).filter(({ kind }) => kind === 'user-message')).toHaveLength(1);
  });

  it('the same external id gives one session; the transaction that comes second is told to run again', async () => {
    const { user, holdfast } = await shop();
    const [first, second] = [await begun(user), await begun(user)];
    const create = (transaction: typeof first) => holdfast.sessions.create({ agent: 'clerk', externalId: 'crm-1', message: { text: 'hello' } }, { transaction });
    const made = await create(first);
    const found = await create(first);
    expect([found.id, found.created, found.firstTurn?.queued]).toEqual([made.id, false, true]);
    const late = create(second).then(() => null, (error: unknown) => error);
    await lockWait(user);
    await first.query('COMMIT');
    expect(await late).toMatchObject({ code: 'transaction_failed', message: expect.stringContaining('run it again') as string });
    await second.query('ROLLBACK');
    await second.query('BEGIN');
    expect((await create(second)).id).toBe(made.id);
  });
});

describe('while the transaction is open', () => {
  it('a send waits for whoever has the session locked', async () => {
    const { user, session } = await shop();
    const [first, second] = [await begun(user), await begun(user)];
    await session.send('first', { transaction: first });
    const waiting = session.send('second', { transaction: second });
    await lockWait(user);
    await first.query('COMMIT');
    expect((await waiting).queued).toBe(true);
    await second.query('COMMIT');
  });

  it.each(['COMMIT', 'ROLLBACK'])('a stop waits for its %s, and then sees the truth', async (ending) => {
    const { user, session } = await shop({ worker: false });
    const client = await begun(user);
    await session.send('first', { transaction: client });
    const stopped = session.stop();
    await lockWait(user);
    await client.query(ending);
    expect((await stopped).stopped).toBe(ending === 'COMMIT');
    expect((await session.entries()).map(({ kind }) => kind)).toEqual(['session-created', ...(ending === 'COMMIT' ? ['user-message', 'turn-ended'] : [])]);
  });

  it('a claim waits, and then goes on with what was committed', async () => {
    const { user, holdfast, session } = await shop({ worker: false });
    await session.send('first');
    const client = await begun(user);
    await session.send('second', { transaction: client });
    const worker = await openHoldfast({ agents: [clerk()], store: postgres({ url: user.url }), worker: unhinted });
    await lockWait(user);
    await client.query('COMMIT');
    await eventually('both turns to end', async () => (await session.entries()).filter(({ kind }) => kind === 'turn-ended').length === 2);
    expect([worker.worker?.runs, (await holdfast.store.readSession({ tenant: 'default', id: session.id }))?.crashes]).toEqual([0, 0]);
  });
});

describe('holdfast.transaction', () => {
  it('commits, begins the work by itself, and returns what its callback returns', async () => {
    const { user, holdfast, session } = await shop();
    expect(await holdfast.transaction(async (transaction) => {
      const { rowCount } = await transaction.query({ text: insertOrder, values: ['order-1'] });
      const { rows } = await transaction.query<{ readonly id: string }>('SELECT id FROM public.orders');
      await session.send('go', { transaction });
      return [rowCount, rows];
    })).toEqual([1, [{ id: 'order-1' }]]);
    await eventually('the turn to end', async () => (await session.entries()).some(({ kind }) => kind === 'turn-ended'));
    expect(await user.orders()).toEqual(['order-1']);
  });

  it.each([[8, 20], [3, 20]])('rolls back when its callback throws, with a pool of %d and %d times, and leaves the connection whole', async (max, times) => {
    const user = await userDatabase({ max });
    const holdfast = await openHoldfast({ agents: [clerk()], store: postgres({ pool: user.pool }), worker: false });
    const session = await holdfast.sessions.create({ agent: 'clerk' });
    const failing = () => holdfast.transaction(async (transaction) => {
      await transaction.query(insertOrder, ['order-1']);
      await session.send('go', { transaction });
      throw new TypeError('no');
    });
    const results = await Promise.allSettled(Array.from({ length: times }, failing));
    expect(new Set(results.map((result) => result.status === 'rejected' && (result.reason as Error).name))).toEqual(new Set(['TypeError']));
    expect([await user.orders(), (await session.entries()).length]).toEqual([[], 1]);
    await eventually('only the listening connection to be out', () => user.pool.totalCount - user.pool.idleCount === 1);
  });

  it('says that nothing was committed when a statement had failed and the callback did not mind', async () => {
    const { user, holdfast, session } = await shop();
    await expect(holdfast.transaction(async (transaction) => {
      await session.send('go', { transaction });
      await transaction.query(insertOrder, [null]).catch((error: unknown) => error);
    })).rejects.toMatchObject({ code: 'transaction_failed' });
    expect([await user.orders(), (await session.entries()).length]).toEqual([[], 1]);
  });

  it('rejects with the database\'s error when that refuses the commit', async () => {
    const { user, holdfast, session } = await shop();
    await user.pool.query('CREATE TABLE public.paid (id text UNIQUE DEFERRABLE INITIALLY DEFERRED)');
    await expect(holdfast.transaction(async (transaction) => {
      await session.send('go', { transaction });
      await transaction.query("INSERT INTO public.paid VALUES ('a'), ('a')");
    })).rejects.toMatchObject({ code: '23505' });
    expect((await session.entries()).length).toBe(1);
  });

  it.each(['40001', '40P01'])('rejects with transaction_conflict when it lost against another one (%s), also where an error of the callback says that as its cause', async (state) => {
    const { user, holdfast, session } = await shop();
    const losing = (wraps: boolean) => holdfast.transaction(async (transaction) => {
      await transaction.query(insertOrder, ['order-1']);
      await session.send('go', { transaction });
      await transaction.query(`DO $$ BEGIN RAISE EXCEPTION SQLSTATE '${state}'; END $$`).catch((error: unknown) => {
        throw wraps ? new Error('the query builder says so', { cause: error }) : error;
      });
    });
    await expect(losing(false)).rejects.toMatchObject({ code: 'transaction_conflict', cause: { code: state } });
    await expect(losing(true)).rejects.toMatchObject({ code: 'transaction_conflict', cause: { message: 'the query builder says so' } });
    expect([await user.orders(), (await session.entries()).length]).toEqual([[], 1]);
  });

  it('cannot be ended from inside, nor used after its end', async () => {
    const { user, holdfast } = await shop();
    const kept = await holdfast.transaction(async (transaction) => {
      for (const text of ['COMMIT', ' rollback', 'END;', 'begin', 'ABORT', 'START TRANSACTION']) await expect(transaction.query(text)).rejects.toMatchObject({ code: 'transaction_misused' });
      expect(() => (transaction as unknown as { release: () => void }).release()).toThrow(/gives its connection back/);
      await transaction.query('SAVEPOINT part');
      await transaction.query(insertOrder, ['order-1']);
      await transaction.query('ROLLBACK TO SAVEPOINT part');
      await transaction.query(insertOrder, ['order-2']);
      return transaction;
    });
    await expect(kept.query(insertOrder, ['order-3'])).rejects.toMatchObject({ code: 'transaction_misused', message: expect.stringContaining('it is over') as string });
    expect(await user.orders()).toEqual(['order-2']);
  });

  it('waits for its turn no longer than 10 s, and says why', async () => {
    const user = await userDatabase({ max: 4 });
    const holdfast = await openHoldfast({ agents: [clerk()], store: postgres({ pool: user.pool }), worker: false });
    const held = Promise.withResolvers<void>();
    const holding = holdfast.transaction(() => held.promise);
    await expect(holdfast.store.transaction(async () => undefined, { waitMs: 20 })).rejects.toMatchObject({ code: 'store_unavailable', message: expect.stringMatching(/^1 transactions are open.*the pool larger$/) as string });
    const aborting = new AbortController();
    const unwanted = holdfast.store.transaction(async () => undefined, { signal: aborting.signal });
    aborting.abort();
    await expect(unwanted).rejects.toMatchObject({ code: 'store_unavailable' });
    const next = holdfast.transaction(async () => 'next');
    held.resolve();
    await holding;
    expect(await next).toBe('next');
  });
});

describe('what is no transaction', () => {
  it('is refused before anything happens: a pool, a connection on which none is begun, something else', async () => {
    const { user, session } = await shop();
    const client = await user.connect();
    const send = (transaction: object) => session.send('go', { transaction: transaction as typeof client });
    await expect(send(user.pool)).rejects.toMatchObject({ code: 'options_invalid', message: expect.stringContaining('it is a pool') as string });
    await client.query('SELECT 1');
    await expect(send(client)).rejects.toMatchObject({ code: 'options_invalid', message: expect.stringContaining('BEGIN') as string });
    await expect(send({})).rejects.toMatchObject({ code: 'options_invalid' });
    expect((await session.entries()).length).toBe(1);
  });

  it('is all of it, on SQLite: every way in says what to do and does nothing', async () => {
    const holdfast: Holdfast = await openHoldfast({ agents: [clerk()], store: `sqlite:${await temporaryDatabase()}`, worker: false });
    const session = await holdfast.sessions.create({ agent: 'clerk' });
    const transaction = { query: () => Promise.reject(new TypeError('not to be asked')) };
    const refused = { name: 'StoreError', code: 'store_unsupported', message: expect.stringContaining('Use Postgres') as string };
    let ran = false;
    await expect(session.send('go', { transaction })).rejects.toMatchObject(refused);
    await expect(session.steer('go', { transaction })).rejects.toMatchObject(refused);
    await expect(holdfast.sessions.create({ agent: 'clerk' }, { transaction })).rejects.toMatchObject(refused);
    await expect(holdfast.transaction(async () => { ran = true; })).rejects.toMatchObject(refused);
    holdfast.wake();
    expect([ran, (await session.entries()).length, (await holdfast.sessions.list()).items.length]).toEqual([false, 1, 1]);
  });
});
