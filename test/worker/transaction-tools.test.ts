import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, createHoldfast, postgres, tool, type AgentTool, type SqlTransaction, type TransactionToolOptions } from '../../src/index.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { StoreError } from '../../src/store/store-error.ts';
import { postgresStore } from '../../src/store/postgres/postgres-store.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { calling, ofKind, runTurn, startTurn, toolOutputs, type TurnOptions } from '../support/run-turn.ts';
import { insertOrder, userDatabase, type UserDatabase } from '../support/user-database.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';

const input = z.object({ id: z.string().default('order') });
type Place = (input: { readonly id: string }, options: TransactionToolOptions) => Promise<unknown>;

const place: Place = async ({ id }, { transaction }) => {
  await transaction.query(insertOrder, [id]);
  return `placed ${id}`;
};

function orderTool(execute: Place = place, more: Partial<AgentTool> = {}): AgentTool {
  return { ...tool({ inputSchema: input, transaction: true, execute }), ...more } as AgentTool;
}

interface Case extends Partial<Omit<TurnOptions, 'store'>> {
  readonly user: UserDatabase;
  readonly overrides?: StoreOverrides;
}

async function options({ user, overrides, script = [calling(['order']), 'ordered'], tools = { order: orderTool() }, ...more }: Case): Promise<TurnOptions> {
  if (overrides === undefined) return { ...more, script, tools, store: postgres({ pool: user.pool }) };
  const store = { open: async (settings: Parameters<ReturnType<typeof postgres>['open']>[0]) => wrappedStore(await postgresStore({ connection: user.pool, ...settings }), overrides) };
  return { ...more, script, tools, store };
}

const run = async (given: Case) => runTurn(await options(given));
const start = async (given: Case) => startTurn(await options(given));

describe('a tool with transaction', () => {
  it('writes together with its outcome, and its turn ends with what it returned', async () => {
    const user = await userDatabase();
    const { result, entries, model } = await run({ user });
    expect([result.reason, await user.orders()]).toEqual(['complete', ['order']]);
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'placed order' }] }]);
    expect(toolOutputs(model, 1)).toEqual([{ type: 'text', value: 'placed order' }]);
  });

  it('is seen by nobody before that, and is not recorded as begun', async () => {
    const user = await userDatabase();
    const held = gate();
    const { turn, session, holdfast } = await start({ user, tools: { order: orderTool(async (asked, given) => { const placed = await place(asked, given); await held.pass(); return placed; }) } });
    await eventually('the tool to write', async () => (await user.pool.query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'")).rows.length === 1);
    const now = await holdfast.store.readSession({ tenant: 'default', id: session.id });
    expect([await user.orders(), now?.turn?.lastStep?.openCalls[0]?.dispatchedFence]).toEqual([[], undefined]);
    held.open();
    await turn.result;
    expect(await user.orders()).toEqual(['order']);
  });

  it.each<[what: string, execute: Place, code: string]>([
    ['throws', async (asked, given) => { await place(asked, given); throw new TypeError('no stock'); }, 'tool_error'],
    ['has a statement that fails', async (asked, given) => { await place(asked, given); return given.transaction.query('SELECT nothing'); }, 'tool_error'],
    ['has a statement that fails, and does not mind', async (asked, given) => { await place(asked, given); await given.transaction.query('SELECT nothing').catch(() => undefined); return 'fine'; }, 'transaction_failed'],
    ['breaks a constraint that is looked at in the commit', async (asked, given) => { await place(asked, given); await given.transaction.query("INSERT INTO public.paid VALUES ('a'), ('a')"); return 'fine'; }, 'transaction_failed'],
    ['tries to commit by itself', async (asked, given) => { await place(asked, given); return given.transaction.query('COMMIT'); }, 'tool_error'],
    ['returns what is no JSON', async (asked, given) => { await place(asked, given); return () => 1; }, 'not_json'],
  ])('leaves no row when it %s; the error is told to the model, and the turn goes on', async (_what, execute, code) => {
    const user = await userDatabase();
    await user.pool.query('CREATE TABLE public.paid (id text UNIQUE DEFERRABLE INITIALLY DEFERRED)');
    const { result, entries } = await run({ user, tools: { order: orderTool(execute) } });
    expect([result.reason, await user.orders()]).toEqual(['complete', []]);
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'failed', code }] }]);
    expect((await user.pool.query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'")).rows).toEqual([]);
  });

  it.each<[how: string, lingers: (transaction: SqlTransaction) => Promise<unknown>]>([
    ['is deaf', () => new Promise(() => undefined)],
    ['is in the middle of a statement', (transaction) => transaction.query('SELECT pg_sleep(1.5)')],
  ])('leaves no row when its time is over while it %s, and cannot write later', async (_how, lingers) => {
    const user = await userDatabase();
    let late: Promise<unknown> = Promise.resolve();
    const execute: Place = async (asked, given) => {
      await place(asked, given);
      late = Promise.race([lingers(given.transaction), new Promise((resolve) => given.abortSignal.addEventListener('abort', resolve))]).catch(() => undefined).then(() => new Promise((resolve) => setTimeout(resolve, 50)))
        .then(() => given.transaction.query(insertOrder, ['late'])).catch((error: unknown) => error);
      return late;
    };
    const { result, entries } = await run({ user, tools: { order: orderTool(execute, { timeoutMs: 100 }) } });
    expect(result.reason).toBe('complete');
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'failed', code: 'tool_timeout', errorText: expect.stringContaining('nothing of its transaction was kept') as string }] }]);
    expect(await late).toMatchObject({ code: 'transaction_misused' });
    await eventually('the server to end the transaction', async () => (await user.pool.query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()")).rows.length === 0);
    expect([await user.orders(), ofKind(entries, 'late-result')]).toEqual([[], []]);
  });

  it('leaves no row when the turn is stopped while it runs, and what it comes to is not kept as a late result', async () => {
    const user = await userDatabase();
    const held = gate();
    const ended = Promise.withResolvers<void>();
    const execute: Place = async (asked, given) => {
      await place(asked, given);
      await held.pass();
      ended.resolve();
      return 'placed';
    };
    const { turn, session } = await start({ user, tools: { order: orderTool(execute) } });
    await held.reached;
    expect((await session.stop()).stopped).toBe(true);
    held.open();
    await ended.promise;
    expect((await turn.result).reason).toBe('stopped');
    const entries = await session.entries();
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'stopped' }] }]);
    expect(ofKind(entries, 'tool-results')[0]?.results[0]).not.toHaveProperty('mayHaveRun');
    await eventually('the connection to be given back', async () => (await user.pool.query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'")).rows.length === 0);
    expect([await user.orders(), ofKind(await session.entries(), 'late-result')]).toEqual([[], []]);
  });

  it('whose fence is lost to another process writes nothing', async () => {
    const user = await userDatabase();
    const held = gate();
    let runs = 0;
    const execute: Place = async (asked, given) => {
      await place(asked, given);
      runs += 1;
      await held.pass();
      return 'placed';
    };
    // The worker hears of nothing: it finds out by the fence.
    const { session } = await start({ user, tools: { order: orderTool(execute) }, worker: { pollMs: 300_000, leaseMs: 900_000 }, overrides: { onChange: () => () => undefined } });
    await held.reached;
    const other = await createHoldfast({ agents: [], store: postgres({ url: user.url }), worker: false });
    await (await other.sessions.get(session.id)).stop();
    await other.close();
    held.open();
    await eventually('the transaction to end', async () => (await user.pool.query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'")).rows.length === 0);
    expect([await user.orders(), runs, ofKind(await session.entries(), 'late-result')]).toEqual([[], 1, []]);
  });

  it('whose outcome is about to be committed is waited for by a stop, which keeps it', async () => {
    const user = await userDatabase();
    const held = gate();
    const { turn, session } = await start({
      user, overrides: {
        storeOutcomeIfHeld: async (inner, outcome) => {
          const stored = await inner.storeOutcomeIfHeld(outcome);
          await held.pass();
          return stored;
        },
      },
    });
    await held.reached;
    const other = await createHoldfast({ agents: [], store: postgres({ url: user.url }), worker: false });
    const stopping = (await other.sessions.get(session.id)).stop();
    await eventually('the stop to wait', async () => (await user.pool.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")).rows.length > 0);
    held.open();
    expect((await stopping).stopped).toBe(true);
    await other.close();
    expect((await turn.result).reason).toBe('stopped');
    expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'placed order' }] }]);
    expect(await user.orders()).toEqual(['order']);
  });

  it('that returns more than the cap has the whole kept with it, or nothing of it', async () => {
    const user = await userDatabase();
    const long = 'x'.repeat(5_000);
    const script: readonly ScriptedGeneration[] = [calling(['order', { id: 'a' }], ['order', { id: 'b' }]), 'ordered'];
    const { entries, session } = await run({
      user, script, tools: { order: orderTool(async (asked, given) => { await place(asked, given); return long; }, { maxResultBytes: 1_000 }) },
      overrides: { storeOutcomeIfHeld: (inner, outcome) => (outcome.transaction !== undefined && outcome.result.index === 1 ? Promise.reject(new StoreError('store_unavailable', 'not now')) : inner.storeOutcomeIfHeld(outcome)) },
    });
    const results = ofKind(entries, 'tool-results')[0]?.results ?? [];
    expect(results).toMatchObject([{ outcome: 'done', wholeBytes: 5_000, wholeId: expect.stringMatching(/^res_/) as string }, { outcome: 'failed', code: 'transaction_failed' }]);
    expect(await session.callResult('3-0')).toBe(long);
    expect([await user.orders(), (await user.pool.query('SELECT id FROM holdfast.whole_result')).rows]).toEqual([['a'], [{ id: results[0]?.wholeId }]]);
  });

  it('whose whole result meets a conflict runs again, and is not taken for a statement of its own that failed', async () => {
    const user = await userDatabase();
    let stored = 0;
    const { entries } = await run({
      user, tools: { order: orderTool(async (asked, given) => { await place(asked, given); return 'x'.repeat(5_000); }, { maxResultBytes: 1_000 }) },
      overrides: {
        storeWholeResult: async (inner, whole) => {
          stored += 1;
          if (stored > 1 || whole.transaction === undefined) return inner.storeWholeResult(whole);
          await (whole.transaction as unknown as SqlTransaction).query("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40001'; END $$");
          return 'stored';
        },
      },
    });
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', wholeBytes: 5_000 }] }]);
    expect([stored, await user.orders()]).toEqual([2, ['order']]);
  });

  it('reads state and does not write it: its transaction is committed before it would turn out whether it may', async () => {
    const user = await userDatabase();
    const { entries, session } = await run({
      user, script: [calling(['order']), 'ordered'],
      tools: { order: orderTool(async (asked, given) => { await place(asked, given); await given.state.get('agent', 'stock'); return given.state.set('agent', 'stock', 1); }) },
    });
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'failed', code: 'tool_error', errorText: expect.stringContaining('reads state and does not write it') as string }] }]);
    expect([await user.orders(), (await session.state.list('agent')).items]).toEqual([[], []]);
  });

  it('runs beside its siblings, of its kind and of others, each once', async () => {
    const user = await userDatabase();
    const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
    const { result, entries } = await run({
      user, script: [calling(...ids.map((id) => ['order', { id }] as const), ['plain']), 'ordered'],
      tools: { order: orderTool(), plain: tool({ inputSchema: z.object({}), execute: () => 'plain' }) },
    });
    expect([result.reason, await user.orders()]).toEqual(['complete', ids]);
    expect(ofKind(entries, 'tool-results')[0]?.results.map(({ output }) => output)).toEqual([...ids.map((id) => `placed ${id}`), 'plain']);
  });

  it('may send to a session in its transaction, its own included, and the work begins after the commit', async () => {
    const user = await userDatabase();
    const started = Promise.withResolvers<SessionHandle>();
    const execute: Place = async (asked, given) => {
      await (await started.promise).send('and tell me', { transaction: given.transaction });
      return place(asked, given);
    };
    const { session, turn } = await start({ user, script: [calling(['order']), 'ordered', 'told'], worker: { pollMs: 300_000, leaseMs: 900_000 }, tools: { order: orderTool(execute) } });
    started.resolve(session);
    expect((await turn.result).reason).toBe('complete');
    await eventually('the second turn to end', async () => ofKind(await session.entries(), 'turn-ended').length === 2);
    expect(await user.orders()).toEqual(['order']);
  });

  it('runs again when it lost against another transaction, and happens once', async () => {
    const user = await userDatabase({ options: '-c default_transaction_isolation=serializable' });
    await user.pool.query('CREATE TABLE public.stock (id text, amount int)');
    await user.pool.query("INSERT INTO public.stock VALUES ('a', 100)");
    let runs = 0;
    const execute: Place = async ({ id }, { transaction }) => {
      runs += 1;
      const { rows } = await transaction.query<{ readonly amount: number }>('SELECT amount FROM public.stock');
      await transaction.query('UPDATE public.stock SET amount = $1', [(rows[0]?.amount ?? 0) - 1]);
      await transaction.query(insertOrder, [id]);
      return 'taken';
    };
    const { result, entries } = await run({ user, script: [calling(['order', { id: 'a' }], ['order', { id: 'b' }], ['order', { id: 'c' }]), 'ordered'], tools: { order: orderTool(execute) } });
    expect([result.reason, ofKind(entries, 'tool-results')[0]?.results.map(({ outcome }) => outcome)]).toEqual(['complete', ['done', 'done', 'done']]);
    expect([await user.orders(), (await user.pool.query('SELECT amount FROM public.stock')).rows]).toEqual([['a', 'b', 'c'], [{ amount: 97 }]]);
    expect(runs).toBeGreaterThan(3);
  });

  it.each([['landed', 1], ['did not land', 2]])('finds out after a commit of which nobody knows whether it landed, when it %s', async (what, runsExpected) => {
    const user = await userDatabase();
    let runs = 0;
    let broken = 0;
    const execute: Place = async (asked, given) => {
      runs += 1;
      return place(asked, given);
    };
    const unknown = new StoreError('commit_unknown', 'the connection broke');
    const { result, entries } = await run({
      user, tools: { order: orderTool(execute) },
      overrides: {
        transaction: (async (inner, work, given) => {
          if (broken > 0) return inner.transaction(work, given);
          broken += 1;
          await inner.transaction(async (transaction) => {
            const done = await work(transaction);
            if (what === 'did not land') throw unknown;
            return done;
          }, given);
          throw unknown;
        }) as NonNullable<StoreOverrides['transaction']>,
      },
    });
    expect([result.reason, runs, await user.orders()]).toEqual(['complete', runsExpected, ['order']]);
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'placed order' }] }]);
  });
});

it('a commit that is cut off by the end of its connection did not land: the call runs again', async () => {
  const user = await userDatabase();
  // The commit takes long enough to be cut off.
  await user.pool.query(`CREATE FUNCTION public.linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(CASE WHEN (SELECT count(*) FROM public.slow) > 0 THEN 30 ELSE 0 END); RETURN NULL; END $$`);
  await user.pool.query('CREATE TABLE public.slow (yes boolean)');
  await user.pool.query('CREATE CONSTRAINT TRIGGER lingering AFTER INSERT ON public.orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.linger()');
  await user.pool.query('INSERT INTO public.slow VALUES (true)');
  const runs: number[] = [];
  const execute: Place = async (asked, given) => {
    const { rows } = await given.transaction.query<{ readonly pid: number }>('SELECT pg_backend_pid() AS pid');
    runs.push(rows[0]?.pid ?? 0);
    return place(asked, given);
  };
  const { turn, session } = await start({ user, tools: { order: orderTool(execute) } });
  await eventually('the commit to linger', async () => (await user.pool.query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep' AND query = 'COMMIT'")).rows.length === 1);
  await user.pool.query('DELETE FROM public.slow');
  await user.pool.query('SELECT pg_terminate_backend($1)', [runs[0]]);
  expect((await turn.result).reason).toBe('complete');
  expect([runs.length, await user.orders()]).toEqual([2, ['order']]);
  expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'done' }] }]);
});

describe('many at once', () => {
  it('hold at most half of the pool\'s connections, wait for their turn, and leave the worker its own', async () => {
    const user = await userDatabase({ max: 7 });
    const held = gate();
    let inside = 0;
    let insideMost = 0;
    const execute: Place = async (asked, given) => {
      inside += 1;
      insideMost = Math.max(insideMost, inside);
      await held.pass();
      inside -= 1;
      return place(asked, given);
    };
    const ids = Array.from({ length: 8 }, (_, number) => `order ${number}`);
    const { holdfast, turn, session } = await start({ user, script: [calling(...ids.map((id) => ['order', { id }] as const)), 'ordered', 'noted'], tools: { order: orderTool(execute) } });
    await eventually('three to run', () => inside === 3);
    // Turns of others go on meanwhile, on what is left: three listen to nothing but commits.
    const others = await Promise.all(Array.from({ length: 12 }, () => holdfast.sessions.create({ agent: 'tester' })));
    await Promise.all(others.map((other) => other.update({ title: 'beside' })));
    expect([inside, (await session.get()).status]).toEqual([3, 'running']);
    held.open();
    expect((await turn.result).reason).toBe('complete');
    expect([insideMost, await user.orders()]).toEqual([3, ids]);
  });

  it('one that waits for its turn longer than its time did not run, and says so', async () => {
    const user = await userDatabase({ max: 3 });
    const held = gate();
    const execute: Place = async (asked, given) => {
      if (asked.id === 'a') await held.pass();
      return place(asked, given);
    };
    const tools = { order: orderTool(execute), short: orderTool(place, { timeoutMs: 50 }) };
    const { turn, session } = await start({ user, script: [calling(['order', { id: 'a' }], ['short', { id: 'b' }]), 'ordered'], tools });
    await eventually('the outcome of the one that waited', async () => (await user.pool.query('SELECT 1 FROM holdfast.outcome')).rows.length === 1);
    held.open();
    await turn.result;
    expect(ofKind(await session.entries(), 'tool-results')[0]?.results).toMatchObject([{ outcome: 'done' }, { outcome: 'failed', code: 'transaction_failed', errorText: expect.stringContaining('1 transactions are open') as string }]);
    expect(await user.orders()).toEqual(['a']);
  });
});

describe('its types', () => {
  it('give a transaction to a tool that asks for one, and to no other', () => {
    const asks = tool({ inputSchema: input, transaction: true, execute: async ({ id }, { transaction, callKey }) => (await transaction.query<{ readonly id: string }>('SELECT $1 AS id', [id + callKey])).rows[0]?.id });
    // @ts-expect-error there is none
    const asksNot = tool({ inputSchema: input, execute: (_input, { transaction }) => String(transaction) });
    const agents = agent({ name: 'shop', model: scriptedModel([]), tools: { asks, asksNot } });
    expect([...agents.rules.tools].map(([name, { recovery }]) => [name, recovery])).toEqual([['asks', 'rerun'], ['asksNot', 'report']]);
  });
});

describe('a tool with transaction is refused', () => {
  it.each<[what: string, definition: object, message: RegExp]>([
    ['another recovery', { recovery: 'report' }, /transaction and another recovery than rerun/],
    ['a probe', { recovery: () => ({ ran: false }) }, /transaction and another recovery/],
    ['background', { background: 'await' }, /transaction and background/],
    ['no execute', { execute: undefined }, /transaction and no execute/],
  ])('at its definition, with %s', (_what, definition, message) => {
    expect(() => agent({ name: 'shop', model: scriptedModel([]), tools: { order: { ...orderTool(), ...definition } as AgentTool } })).toThrow(message);
  });

  it('by a store without transactions, with agent and tool named, before the store is touched', async () => {
    const path = await temporaryDatabase();
    const shop = agent({ name: 'shop', model: scriptedModel([]), tools: { look: tool({ inputSchema: input, execute: () => 1 }), order: orderTool(undefined, { recovery: 'rerun' }) } });
    await expect(createHoldfast({ agents: [shop], store: `sqlite:${path}` })).rejects.toMatchObject({ code: 'options_invalid', message: expect.stringContaining('tool order of agent shop') as string });
  });
});
