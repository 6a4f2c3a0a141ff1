import type { Client } from 'pg';
import { postgresUrlParts } from '../../store-url.ts';
import type { SeededRandom } from './seeded-random.ts';
import { SteadyStrikes } from './steady-rate.ts';

export interface TerminationRunOptions {
  /** URL of a Postgres store. */
  readonly store: string;
  readonly random: SeededRandom;
  readonly everyMs: number;
  /** Ends no more than so many. Default: until it is stopped. */
  readonly atMost?: number;
}

const connectMs = 5_000;
const backends = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'USAGE') ORDER BY pid`;

/**
 * Ends the connection of a random backend of the database, of whatever program, again and again at a steady rate, by a connection of its own: any that its user may end. While the database is away nobody is ended.
 */
export class TerminationRun {
  #terminations = 0;
  readonly #options: TerminationRunOptions;
  readonly #strikes: SteadyStrikes;
  #client: Client | null = null;

  constructor(options: TerminationRunOptions) {
    this.#options = options;
    this.#strikes = new SteadyStrikes(options.everyMs, () => this.#terminate());
  }

  /** Backends that were there and told to end. */
  get terminations(): number {
    return this.#terminations;
  }

  start(): void {
    this.#strikes.start();
  }

  /** Ends nobody any more. Idempotent. */
  async stop(): Promise<void> {
    await this.#strikes.stop();
    await this.#drop();
  }

  async #terminate(): Promise<void> {
    if (this.#terminations >= (this.#options.atMost ?? Number.POSITIVE_INFINITY)) return;
    try {
      const client = (this.#client ??= await this.#connect());
      const pids = (await client.query<{ pid: number }>(backends)).rows.map(({ pid }) => pid);
      if (pids.length === 0) return;
      const { rows: [row] } = await client.query<{ done: boolean }>('SELECT pg_terminate_backend($1) AS done', [this.#options.random.pick(pids)]);
      if (row?.done === true) this.#terminations += 1;
    } catch {
      // The database is away, and this connection with it: the next time there is another one.
      await this.#drop();
    }
  }

  async #connect(): Promise<Client> {
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: postgresUrlParts(this.#options.store).connection, connectionTimeoutMillis: connectMs, application_name: 'holdfast replay' });
    client.on('error', () => void this.#drop());
    await client.connect();
    return client;
  }

  async #drop(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.end();
  }
}
