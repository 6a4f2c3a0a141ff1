import pg from 'pg';

/** Statements of one kind that a database has run since the last look, by their text. */
export interface StatementCount {
  readonly text: string;
  readonly calls: number;
  /** Rows that they returned or changed, and pages of tables and indexes that they looked at, in all. */
  readonly rows: number;
  readonly pages: number;
}

/** What a stretch of the write-ahead log holds. */
export interface LogStretch {
  /** Commits that changed a session's row. */
  readonly commits: number;
  /** Every other commit, by the tables that it wrote; without one it is a NOTIFY, which writes none. */
  readonly otherCommits: readonly string[];
  /** Rows inserted, changed and deleted by the former. */
  readonly rowsWritten: number;
  /** Of all records, those that only say what a reader tidied up included; without the pages that are written whole after a checkpoint. */
  readonly bytes: number;
}

interface LogRecord {
  readonly xid: string;
  readonly manager: string;
  readonly type: string;
  readonly bytes: number;
  readonly relation: string | null;
}

/** A place in the write-ahead log. */
export type LogPlace = string;

/**
 * What a database says of itself: its statements (`pg_stat_statements`), its rows, its write-ahead log (`pg_walinspect`). Nothing that the store counts is trusted, and nothing of the probe's own is counted. The log is the
 * whole server's: nobody else may write there.
 */
export class PostgresProbe implements AsyncDisposable {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  /** As a superuser of the database that is measured. */
  static async open(url: string): Promise<PostgresProbe> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query("SET pg_stat_statements.track = 'none'");
    await client.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements; CREATE EXTENSION IF NOT EXISTS pg_walinspect');
    return new PostgresProbe(client);
  }

  async query(text: string, values: readonly unknown[] = []): Promise<readonly Record<string, unknown>[]> {
    const { rows } = await this.#client.query<Record<string, unknown>>(text, [...values]);
    return rows;
  }

  async forgetStatements(): Promise<void> {
    await this.query('SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()), 0)');
  }

  /** The most frequent first. */
  async statements(): Promise<readonly StatementCount[]> {
    const rows = await this.query(`SELECT query, sum(calls)::integer AS calls, sum(rows)::integer AS rows, sum(shared_blks_hit + shared_blks_read)::integer AS pages FROM pg_stat_statements
      WHERE toplevel AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY query ORDER BY calls DESC, query`);
    return rows.map((row) => ({ text: String(row['query']).replaceAll(/\s+/g, ' '), calls: Number(row['calls']), rows: Number(row['rows']), pages: Number(row['pages']) }));
  }

  /** Rows of all tables of a schema. */
  async countRows(schema = 'holdfast'): Promise<number> {
    const tables = await this.query('SELECT format($2, schemaname, tablename) AS counted FROM pg_tables WHERE schemaname = $1', [schema, 'SELECT count(*)::integer AS rows FROM %I.%I']);
    let count = 0;
    for (const { counted } of tables) count += Number((await this.query(String(counted)))[0]?.['rows']);
    return count;
  }

  /** Where the next record of the log will begin. */
  async logPlace(): Promise<LogPlace> {
    return String((await this.query('SELECT pg_current_wal_insert_lsn() AS place'))[0]?.['place']);
  }

  /** What the log holds between each two of these places. */
  async logBetween(places: readonly LogPlace[]): Promise<readonly LogStretch[]> {
    await this.query("SELECT pg_logical_emit_message(true, 'probe', 'flushes the log')");
    const stretches: LogStretch[] = [];
    for (const [index, from] of places.slice(0, -1).entries()) stretches.push(stretchOf(await this.#records(from, places[index + 1] ?? from)));
    return stretches;
  }

  /** Commits of all that write rows, and bytes without whole pages, of a longer stretch. */
  async logTotals(from: LogPlace, to: LogPlace): Promise<{ readonly commits: number; readonly bytes: number }> {
    await this.query("SELECT pg_logical_emit_message(true, 'probe', 'flushes the log')");
    const [row] = await this.query(`WITH record AS (SELECT xid::text, resource_manager, record_type, record_length - fpi_length AS bytes FROM pg_get_wal_records_info($1, $2))
      SELECT sum(bytes) AS bytes, (SELECT count(*) FROM (SELECT xid FROM record WHERE resource_manager IN ('Transaction', 'Heap') GROUP BY xid
        HAVING bool_or(record_type LIKE 'COMMIT%') AND bool_or(resource_manager = 'Heap')) AS written) AS commits FROM record`, [from, to]);
    return { commits: Number(row?.['commits']), bytes: Number(row?.['bytes']) };
  }

  /** One row for each record and table that it concerns, or one without a table. */
  async #records(from: LogPlace, to: LogPlace): Promise<readonly LogRecord[]> {
    if (from === to) return [];
    const rows = await this.query(`SELECT record.start_lsn::text AS place, xid::text, resource_manager, record_type, record_length - fpi_length AS bytes, relation.name
      FROM pg_get_wal_records_info($1, $2) AS record
      LEFT JOIN (SELECT block.start_lsn, min(coalesce(owner.relname, heap.relname, block.relfilenode::text)) AS name FROM pg_get_wal_block_info($1, $2, false) AS block
        LEFT JOIN pg_class AS heap ON pg_relation_filenode(heap.oid) = block.relfilenode LEFT JOIN pg_index ON indexrelid = heap.oid LEFT JOIN pg_class AS owner ON owner.oid = indrelid
        GROUP BY block.start_lsn) AS relation USING (start_lsn)
      WHERE record.start_lsn >= $1::pg_lsn AND record.start_lsn < $2::pg_lsn`, [from, to]);
    return rows.map((row) => ({
      xid: String(row['xid']), manager: String(row['resource_manager']), type: String(row['record_type']), bytes: Number(row['bytes']), relation: row['name'] as string | null,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end();
  }
}

function stretchOf(records: readonly LogRecord[]): LogStretch {
  const committed = records.filter(({ manager, type }) => manager === 'Transaction' && type.startsWith('COMMIT')).map(({ xid }) => xid);
  const tablesOf = (xid: string): readonly string[] => [...new Set(records.flatMap((record) => (record.xid === xid && record.relation !== null ? [record.relation] : [])))].sort();
  const ofSessions = new Set(committed.filter((xid) => tablesOf(xid).includes('session')));
  const rowRecords = records.filter(({ xid, manager, type }) => ofSessions.has(xid) && manager === 'Heap' && /^(INSERT|UPDATE|HOT_UPDATE|DELETE)(\+INIT)?$/.test(type));
  return {
    commits: ofSessions.size,
    otherCommits: committed.filter((xid) => !ofSessions.has(xid)).map((xid) => tablesOf(xid).join(' and ') || 'NOTIFY'),
    rowsWritten: rowRecords.length,
    bytes: records.reduce((bytes, record) => bytes + record.bytes, 0),
  };
}

/** The middle one, in order of size. */
export function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}
