import pg from 'pg';
import { commitsPerTurn } from './bench-agent.ts';
import { percentiles, type TurnRate } from './turn-bench.ts';

const body = 'x'.repeat(600);

/**
 * The floor: turns of nothing but their four commits, each one row updated and one of 600 bytes inserted by one prepared statement in one round trip, in tables without anything else. In a schema of its own, which goes when
 * this is disposed.
 */
export class PostgresFloor implements AsyncDisposable {
  readonly #pool: pg.Pool;
  readonly #schema: string;

  private constructor(pool: pg.Pool, schema: string) {
    this.#pool = pool;
    this.#schema = schema;
  }

  static async open(url: string, schema: string, connections: number): Promise<PostgresFloor> {
    const pool = new pg.Pool({ connectionString: url, max: connections });
    await pool.query(`CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.session (id integer PRIMARY KEY, revision integer NOT NULL);
      CREATE TABLE ${schema}.entry (session_id integer, seq integer, body text, PRIMARY KEY (session_id, seq));
      INSERT INTO ${schema}.session SELECT id, 0 FROM generate_series(1, ${connections}) AS id`);
    return new PostgresFloor(pool, schema);
  }

  /** By so many clients, each on a connection of its own. */
  async measure(concurrency: number, forMs: number): Promise<TurnRate> {
    await this.#pool.query(`TRUNCATE ${this.#schema}.entry`);
    const clients = await Promise.all(Array.from({ length: concurrency }, () => this.#pool.connect()));
    const name = 'holdfast_bench_floor';
    const text = `WITH held AS (UPDATE ${this.#schema}.session SET revision = $2 WHERE id = $1 RETURNING id) INSERT INTO ${this.#schema}.entry SELECT id, $2, $3 FROM held`;
    const durations: number[] = [];
    const startedAt = performance.now();
    try {
      await Promise.all(clients.map(async (client, index) => {
        for (let seq = 1; performance.now() - startedAt < forMs;) {
          const turnAt = performance.now();
          for (let commit = 0; commit < commitsPerTurn; commit += 1, seq += 1) await client.query({ name, text, values: [index + 1, seq, body] });
          durations.push(performance.now() - turnAt);
        }
      }));
      return { concurrency, turnsPerSecond: (durations.length / (performance.now() - startedAt)) * 1000, turnMs: percentiles(durations) };
    } finally {
      for (const client of clients) client.release();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.query(`DROP SCHEMA ${this.#schema} CASCADE`);
    await this.#pool.end();
  }
}
