import type { Client } from 'pg';
import { HoldfastError } from '../../core/errors.ts';
import { isPostgresUrl, postgresUrlParts, withoutPassword } from '../../store-url.ts';

export type SourceRow = Readonly<Record<string, unknown>>;

/** Another system's Postgres, seen in one read-only snapshot. */
export interface ReadOnlyPostgres extends AsyncDisposable {
  readonly query: (text: string, values?: readonly unknown[]) => Promise<readonly SourceRow[]>;
  /** A table of the schema, quoted. */
  readonly table: (name: string) => string;
  /** The columns that a table has; empty: there is no such table. */
  readonly columns: (table: string) => Promise<ReadonlySet<string>>;
}

/** Opens the database of a URL; its schema is `public`, or `?schema=NAME`. Nothing in it can be changed through this. Rejects with `HoldfastError` code `source_unavailable`. */
export async function openReadOnly(url: string): Promise<ReadOnlyPostgres> {
  if (!isPostgresUrl(url)) throw new HoldfastError('options_invalid', `--source ${withoutPassword(url)} is no postgres:// URL`);
  const { connection, schema = 'public' } = postgresUrlParts(url);
  const { default: pg } = await import('pg');
  const client: Client = new pg.Client({ connectionString: connection, connectionTimeoutMillis: 10_000, application_name: 'holdfast import' });
  client.on('error', () => undefined); // said by the query that it breaks
  const unavailable = (error: unknown): HoldfastError => new HoldfastError('source_unavailable', `${withoutPassword(url)}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  const query = async (text: string, values: readonly unknown[] = []): Promise<readonly SourceRow[]> => {
    try {
      return (await client.query<SourceRow>({ text, values: [...values] })).rows;
    } catch (error) {
      throw unavailable(error);
    }
  };
  try {
    await client.connect();
  } catch (error) {
    throw unavailable(error);
  }
  await query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
  return {
    query,
    table: (name) => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`,
    columns: async (table) => new Set((await query('SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2', [schema, table])).map((row) => String(row['column_name']))),
    [Symbol.asyncDispose]: () => client.end(),
  };
}
