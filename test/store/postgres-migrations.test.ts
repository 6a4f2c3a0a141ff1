import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { schemaVersionLatest } from '../../src/store/postgres/migrations.ts';
import { postgresStore, type PostgresStoreOptions } from '../../src/store/postgres/postgres-store.ts';
import type { Store } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import { startChild } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { temporaryPostgres, type TemporaryPostgres } from '../support/postgres-database.ts';

let database: TemporaryPostgres;
let admin: pg.Pool;

beforeAll(async () => {
  database = await temporaryPostgres();
  admin = new pg.Pool({ connectionString: database.url, max: 4 });
  admin.on('error', () => undefined);
});

afterAll(async () => {
  await admin.end();
  await database.drop();
});

function newName(): string {
  return `m_${randomBytes(6).toString('hex')}`;
}

async function open(schema: string, options: Partial<PostgresStoreOptions> = {}): Promise<Store> {
  const store = await postgresStore({ connection: database.url, schema, system: realSystem(), connectionsMax: 3, ...options });
  onTestFinished(() => store.close());
  return store;
}

async function values(text: string, parameters: readonly unknown[] = []): Promise<readonly unknown[]> {
  const { rows } = await admin.query<{ value: unknown }>(text, [...parameters]);
  return rows.map(({ value }) => value);
}

function tablesOf(schema: string): Promise<readonly unknown[]> {
  return values('SELECT tablename AS value FROM pg_tables WHERE schemaname = $1 ORDER BY tablename', [schema]);
}

function versionsOf(schema: string): Promise<readonly unknown[]> {
  return values(`SELECT version AS value FROM ${schema}.schema_version ORDER BY version`);
}

const allVersions = Array.from({ length: schemaVersionLatest }, (_, place) => place + 1);
const wholeSchema = ['branch', 'chunk', 'entry', 'idempotency', 'operation', 'outbox', 'outcome', 'requirement', 'schema_version', 'session', 'state', 'state_scope', 'usage_counter', 'usage_kept', 'usage_total', 'whole_result', 'worker'];

/** Holds the last table of the first step's name, so that whoever makes the schema stands still in the middle of it, with most tables made. */
async function inTheMiddle(schema: string): Promise<{ readonly waiting: () => Promise<number>; readonly letOn: () => Promise<void> }> {
  const holder = await admin.connect();
  await holder.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`);
  await holder.query('BEGIN');
  await holder.query(`CREATE TABLE ${schema}.worker (id text)`);
  const { rows: [own] } = await holder.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return {
    waiting: () => eventually('somebody to stand in the middle of the step', async () => {
      const [pid] = await values('SELECT pid AS value FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)) AND query LIKE $2', [own?.pid, '%CREATE TABLE%']);
      return pid as number | undefined;
    }),
    letOn: async () => {
      await holder.query('ROLLBACK');
      holder.release();
    },
  };
}

describe('the Postgres schema', () => {
  it('is made once by twenty that come at the same time to an empty database, and again by nobody', async () => {
    for (let round = 0; round < 3; round += 1) {
      const schema = newName();
      const stores = await Promise.all(Array.from({ length: 20 }, () => open(schema)));
      expect(await Promise.allSettled(stores.map((store) => store.migrate()))).toEqual(stores.map(() => ({ status: 'fulfilled', value: undefined })));
      expect(await tablesOf(schema)).toEqual(wholeSchema);
      expect(await versionsOf(schema)).toEqual(allVersions);
      await Promise.all(stores.map((store) => store.migrate()));
      expect(await values(`SELECT oldest_version AS value FROM ${schema}.requirement`)).toEqual([1]);
      await Promise.all(stores.map((store) => store.close()));
    }
  });

  it('is made once by processes that come at the same time', async () => {
    const schema = newName();
    const processes = Array.from({ length: 4 }, () => startChild('test/store/children/migrating-process.ts', { url: `${database.url}?schema=${schema}`, stores: 5 }));
    for (const each of processes) await each.hears('ready');
    for (const each of processes) each.tell({ event: 'go' });
    for (const each of processes) expect(await each.hears('migrated')).toMatchObject({ errors: [] });
    expect(await tablesOf(schema)).toEqual(wholeSchema);
    expect(await versionsOf(schema)).toEqual(allVersions);
  });

  it('may be there already, empty; others of the same database are left alone', async () => {
    const [first, second] = [newName(), newName()];
    await admin.query(`CREATE SCHEMA ${first}; CREATE TABLE ${first}.customer (id text); CREATE SCHEMA ${second}`);
    const [ofFirst, ofSecond] = [await open(first), await open(second)];
    await Promise.all([ofFirst.migrate(), ofSecond.migrate()]);
    expect(await tablesOf(first)).toEqual([...wholeSchema, 'customer'].sort());
    await ofFirst.registerWorker({ id: 'wrk_of_first', leaseMs: 60_000, agents: [] });
    expect((await ofFirst.listWorkers()).map(({ id }) => id)).toEqual(['wrk_of_first']);
    expect(await ofSecond.listWorkers()).toEqual([]);
  });

  it('is made by a role that may not make schemas, in one that it was given', async () => {
    const [schema, role] = [newName(), newName()];
    await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'; CREATE SCHEMA ${schema}; GRANT USAGE, CREATE ON SCHEMA ${schema} TO ${role}`);
    const url = new URL(database.url);
    url.username = role;
    url.password = 'secret';
    const store = await open(schema, { connection: url.href });
    await store.migrate();
    expect(await tablesOf(schema)).toEqual(wholeSchema);
    await store.registerWorker({ id: 'wrk_a', leaseMs: 60_000, agents: [] });
    const stranger = await open(newName(), { connection: url.href });
    await expect(stranger.migrate()).rejects.toMatchObject({ code: 'store_unavailable', message: expect.stringContaining('42501') as string });
  });

  it('may take longer to make than a statement may take otherwise', async () => {
    const schema = newName();
    const { waiting, letOn } = await inTheMiddle(schema);
    const impatient = new pg.Pool({ connectionString: database.url, max: 4, statement_timeout: 300, query_timeout: 300 });
    onTestFinished(() => impatient.end());
    const store = await open(schema, { connection: impatient });
    const migrated = store.migrate();
    const pid = await waiting();
    await admin.query('SELECT pg_sleep(0.7)');
    expect(await waiting()).toBe(pid);
    await letOn();
    await migrated;
    expect(await tablesOf(schema)).toEqual(wholeSchema);
  });

  it('is whole or not there when the connection that makes it is killed in the middle, and then it is made', async () => {
    const schema = newName();
    const { waiting, letOn } = await inTheMiddle(schema);
    const store = await open(schema);
    const migrated = store.migrate();
    await admin.query('SELECT pg_terminate_backend($1, 5000)', [await waiting()]);
    // Another connection tries at once, and stands at the same place.
    await waiting();
    expect(await tablesOf(schema)).toEqual(['schema_version']);
    expect(await versionsOf(schema)).toEqual([]);
    await letOn();
    await migrated;
    expect(await tablesOf(schema)).toEqual(wholeSchema);
    expect(await versionsOf(schema)).toEqual(allVersions);
  });

  it('is whole or not there when the process that makes it is killed in the middle, and the next one makes it', async () => {
    const schema = newName();
    const { waiting, letOn } = await inTheMiddle(schema);
    const child = startChild('test/store/children/migrating-process.ts', { url: `${database.url}?schema=${schema}`, stores: 1 });
    await child.hears('ready');
    child.tell({ event: 'go' });
    const pid = await waiting();
    await child.signal('SIGKILL');
    await letOn();
    await eventually('its connection to be gone', async () => (await values('SELECT 1 AS value FROM pg_stat_activity WHERE pid = $1', [pid])).length === 0);
    const left = await tablesOf(schema);
    // The server may have come to the commit of the first step before it noticed.
    expect([['schema_version'], wholeSchema.filter((table) => !['branch', 'state', 'state_scope', 'usage_counter', 'usage_kept', 'usage_total'].includes(table))]).toContainEqual(left);
    const store = await open(schema);
    await store.migrate();
    expect(await tablesOf(schema)).toEqual(wholeSchema);
    expect(await versionsOf(schema)).toEqual(allVersions);
  });

  it('of a newer version is used while it lets this one work, and refused when it does not', async () => {
    const schema = newName();
    await (await open(schema)).migrate();
    await admin.query(`INSERT INTO ${schema}.schema_version VALUES (${schemaVersionLatest + 1}), (${schemaVersionLatest + 2}); ALTER TABLE ${schema}.session ADD COLUMN from_tomorrow text`);
    const store = await open(schema);
    await store.migrate();
    await store.registerWorker({ id: 'wrk_a', leaseMs: 60_000, agents: [] });
    expect(await store.renewWorker('wrk_a', 60_000)).toMatchObject({ outdated: false });
    expect(await versionsOf(schema)).toEqual([...allVersions, schemaVersionLatest + 1, schemaVersionLatest + 2]);
    await admin.query(`UPDATE ${schema}.requirement SET oldest_version = ${schemaVersionLatest + 2}`);
    expect(await store.renewWorker('wrk_a', 60_000)).toMatchObject({ outdated: true });
    await expect(store.migrate()).rejects.toMatchObject({ code: 'store_unsupported', message: expect.stringContaining(`version ${schemaVersionLatest + 2}`) as string });
  });

  it('is made without advisory locks', async () => {
    const schema = newName();
    const said: string[] = [];
    const { waiting, letOn } = await inTheMiddle(schema);
    const stores = [await open(schema, { onStatement: (text) => said.push(text) }), await open(schema, { onStatement: (text) => said.push(text) })];
    const migrated = Promise.all(stores.map((store) => store.migrate()));
    migrated.catch(() => undefined);
    await waiting();
    expect(await values("SELECT count(*) AS value FROM pg_locks WHERE locktype = 'advisory'")).toEqual(['0']);
    await letOn();
    await migrated;
    expect(said.filter((text) => /advisory/i.test(text))).toEqual([]);
  });
});
