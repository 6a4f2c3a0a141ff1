import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** A schema of a measurement's own, not made yet; with whatever is in it then, it goes when this is disposed. */
export interface BenchSchema extends AsyncDisposable {
  readonly name: string;
  serverVersion(): Promise<string>;
}

export async function benchSchema(connectionString: string): Promise<BenchSchema> {
  const name = `holdfast_bench_${randomBytes(6).toString('hex')}`;
  const client = new pg.Client({ connectionString });
  await client.connect();
  return {
    name,
    serverVersion: async () => String((await client.query<{ server_version: string }>('SHOW server_version')).rows[0]?.server_version),
    [Symbol.asyncDispose]: async () => {
      await client.query(`DROP SCHEMA IF EXISTS ${name} CASCADE`);
      await client.end();
    },
  };
}
