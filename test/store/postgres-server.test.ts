import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import os from 'node:os';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startChild } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { ownPostgresServer, temporaryPostgres, uniqueSchema } from '../support/postgres-database.ts';
import { PostgresServer } from '../support/postgres-server.ts';
import { sharedPostgresUrl } from '../support/postgres-url.ts';

const script = 'test/store/children/postgres-user.ts';

describe('a Postgres server of a test', () => {
  it('keeps what was committed over a crash in immediate mode, and nothing else', async () => {
    const server = await ownPostgresServer();
    const client = await clientOf(server.url);
    await client.query('CREATE TABLE facts (name text)');
    await client.query(`INSERT INTO facts VALUES ('committed')`);
    await client.query('BEGIN');
    await client.query(`INSERT INTO facts VALUES ('open')`);
    await server.crash();
    await server.start();
    expect(await rowsOf(server.url, 'SELECT name FROM facts')).toEqual([{ name: 'committed' }]);
    expect(server.log).toContain('automatic recovery in progress');
  });

  it('is on the same port with the same url in its second start, and in another process', async () => {
    const server = await ownPostgresServer();
    const { url, port, pid } = server;
    await server.stop();
    expect(server.pid).toBeUndefined();
    await expect(rowsOf(url, 'SELECT')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await server.start();
    expect(server).toMatchObject({ url, port });
    expect(server.pid).not.toBe(pid);
    expect(await rowsOf(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('leaves neither process nor folder when it is removed', async () => {
    const server = new PostgresServer();
    await server.start();
    const { url } = server;
    const folder = await folderOf(url);
    await server.stop({ remove: true });
    expect(existsSync(folder)).toBe(false);
    await expect(rowsOf(url, 'SELECT')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('does not outlive a killed owner', async () => {
    const owner = startChild(script, { role: 'owner' });
    const url = String((await owner.hears('started'))['url']);
    const folder = await folderOf(url);
    await owner.signal('SIGKILL');
    await eventually('the folder to go, after the server', () => !existsSync(folder));
    await expect(rowsOf(url, 'SELECT')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('says in its own words why it does not start', async () => {
    await expect(ownPostgresServer({ settings: { max_connections: 'plenty' } })).rejects.toThrow(/invalid value for parameter "max_connections": "plenty"/);
  });
});

describe('the Postgres server of a run', () => {
  it('is the same for the processes that a test starts', async () => {
    const guest = startChild(script, { role: 'guest' });
    expect((await guest.hears('found'))['url']).toBe(await sharedPostgresUrl());
  });

  it('gives each test an empty database, which is closed when it is dropped, under open connections too', async () => {
    const [mine, other] = await Promise.all([temporaryPostgres(), temporaryPostgres()]);
    onTestFinished(async () => {
      await Promise.all([mine.drop(), other.drop()]);
    });
    const client = await clientOf(mine.url);
    await client.query('CREATE TABLE mine ()');
    expect(await rowsOf(other.url, `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace`)).toEqual([]);
    await mine.drop();
    await mine.drop();
    const goneOrClosed = /^(3D000|55000)$/;
    await expect(rowsOf(mine.url, 'SELECT')).rejects.toMatchObject({ code: expect.stringMatching(goneOrClosed) as string });
    expect(await rowsOf(other.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('gives names for schemas, and drops what was made of them', async () => {
    const { url, schema, drop } = await uniqueSchema();
    const made = `SELECT count(*)::int AS made FROM pg_namespace WHERE nspname = '${schema}'`;
    expect(await rowsOf(url, made)).toEqual([{ made: 0 }]);
    await rowsOf(url, `CREATE SCHEMA ${schema} CREATE TABLE facts ()`);
    expect(await rowsOf(url, made)).toEqual([{ made: 1 }]);
    await drop();
    expect(await rowsOf(url, made)).toEqual([{ made: 0 }]);
    await drop();
  });

  it('counts statements, when a database asks for that', async () => {
    const { url, drop } = await temporaryPostgres();
    onTestFinished(drop);
    const client = await clientOf(url);
    await client.query('CREATE EXTENSION pg_stat_statements');
    for (const value of [1, 2, 3]) await client.query('SELECT $1::int AS counted', [value]);
    const { rows } = await client.query(`SELECT calls::int, rows::int FROM pg_stat_statements WHERE query LIKE '%AS counted' AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())`);
    expect(rows).toEqual([{ calls: 3, rows: 3 }]);
  });
});

describe('a server that the tests start', () => {
  const server = new PostgresServer();
  beforeAll(() => server.start());
  afterAll(() => server.stop({ remove: true }));

  it('listens on loopback only, and is closed to who lacks its password', async () => {
    const { url, port } = server;
    const outward = Object.values(os.networkInterfaces()).flat().filter((each) => each?.internal === false && each.family === 'IPv4');
    for (const each of outward) expect(await connectionTo(port, each?.address ?? '')).toBe('ECONNREFUSED');
    expect(await connectionTo(port, '127.0.0.1')).toBe('connected');
    const settings = await rowsOf(url, `SELECT current_setting('listen_addresses') AS addresses, current_setting('unix_socket_directories') AS sockets`);
    expect(settings).toEqual([{ addresses: '127.0.0.1', sockets: '' }]);
    const guessed = new URL(url);
    guessed.password = 'postgres';
    await expect(rowsOf(guessed.href, 'SELECT')).rejects.toMatchObject({ code: '28P01' });
  });

  it('confirms a commit when it is on disk, and takes two hundred connections', async () => {
    const settings = await rowsOf(server.url, `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'autovacuum', 'max_connections') ORDER BY name`);
    expect(Object.fromEntries(settings.map(({ name, setting }) => [name, setting]))).toEqual({
      autovacuum: 'on', fsync: 'on', full_page_writes: 'on', max_connections: '200', synchronous_commit: 'on',
    });
  });

  it('sorts text by a language where a statement does not say otherwise, as servers in production do', async () => {
    const sorted = async (collation: string) => (await rowsOf(server.url, `SELECT string_agg(letter, '' ORDER BY letter ${collation}) AS letters FROM unnest(ARRAY['B', 'a', 'C']) AS letter`))[0];
    expect(await sorted('')).toEqual({ letters: 'aBC' });
    expect(await sorted('COLLATE "C"')).toEqual({ letters: 'BCa' });
  });
});

/** A connection that is closed when the test ends, if the server has not cut it before. */
async function clientOf(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  let cut: unknown;
  client.on('error', (error) => { cut = error; });
  await client.connect();
  onTestFinished(async () => {
    if (cut === undefined) await client.end();
  });
  return client;
}

async function rowsOf(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

async function folderOf(url: string): Promise<string> {
  const [row] = await rowsOf(url, `SELECT current_setting('data_directory') AS folder`);
  return String(row?.['folder']);
}

/** 'connected', or the code of the error. */
function connectionTo(port: number, host: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: 5_000 });
    const end = (outcome: string): void => {
      socket.destroy();
      resolve(outcome);
    };
    socket.once('connect', () => end('connected'));
    socket.once('timeout', () => end('timeout'));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}
