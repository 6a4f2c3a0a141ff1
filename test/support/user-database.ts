import pg from 'pg';
import { onTestFinished } from 'vitest';
import { temporaryPostgres } from './postgres-database.ts';

/** A user's database as it was before Holdfast came: their own pool, and their table in `public`. Gone when the test ends. */
export interface UserDatabase {
  readonly url: string;
  readonly pool: pg.Pool;
  /** A connection of the pool, given back when the test ends if it was not before. */
  readonly connect: () => Promise<pg.PoolClient>;
  /** The ids of their orders, in the order of the ids. */
  readonly orders: () => Promise<readonly string[]>;
}

export const insertOrder = 'INSERT INTO public.orders (id) VALUES ($1)';

export async function userDatabase(options: Omit<pg.PoolConfig, 'connectionString'> = {}): Promise<UserDatabase> {
  const { url, drop } = await temporaryPostgres();
  onTestFinished(drop);
  const pool = new pg.Pool({ connectionString: url, max: 8, ...options });
  pool.on('error', () => undefined); // of idle connections, when the database is dropped before the pool is closed
  onTestFinished(() => pool.end());
  const looking = new pg.Client({ connectionString: url });
  await looking.connect();
  onTestFinished(() => looking.end());
  await looking.query('CREATE TABLE public.orders (id text NOT NULL)');
  return {
    url, pool,
    connect: async () => {
      const client = await pool.connect();
      const release = client.release.bind(client);
      let isOut = true;
      const giveBack = (destroy?: Error | boolean): void => {
        if (isOut) release(destroy);
        isOut = false;
      };
      client.release = giveBack;
      onTestFinished(() => giveBack(true));
      return client;
    },
    orders: async () => (await looking.query<{ readonly id: string }>('SELECT id FROM public.orders ORDER BY id')).rows.map(({ id }) => id),
  };
}
