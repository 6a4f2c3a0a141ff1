import pg from 'pg';
import { onTestFinished } from 'vitest';
import { temporaryFolder } from './temporary-folder.ts';
import { uniqueSchema } from './postgres-database.ts';

/** A store's URL for the command line, and the database behind it. */
export interface PostgresCli {
  /** With `?schema=`, of a schema that is not there yet. */
  readonly store: string;
  /** The user's password: what nothing may say. */
  readonly password: string;
  readonly schema: string;
  /** A new empty working folder, with the store in the environment. */
  readonly options: { readonly cwd: string; readonly env: { readonly HOLDFAST_STORE: string } };
  /** Runs a statement in the database; {schema} stands for the schema. */
  readonly query: (text: string, values?: readonly unknown[]) => Promise<readonly Readonly<Record<string, unknown>>[]>;
}

/** A schema of the test's own on the run's server. It is gone when the test ends. */
export async function postgresCli(): Promise<PostgresCli> {
  const { url, schema, drop } = await uniqueSchema();
  const folder = await temporaryFolder();
  const store = new URL(url);
  store.searchParams.set('schema', schema);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(async () => {
    await client.end();
    await drop();
    await folder.remove();
  });
  return {
    store: store.href, password: store.password, schema,
    options: { cwd: folder.path, env: { HOLDFAST_STORE: store.href } },
    query: async (text, values = []) => (await client.query({ text: text.replaceAll('{schema}', schema), values: [...values] })).rows as Record<string, unknown>[],
  };
}
