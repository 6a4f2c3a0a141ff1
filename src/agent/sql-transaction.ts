/**
 * A transaction of Postgres that Holdfast began and ends: the connection of `pg` on which it runs. What is written with it lands with Holdfast's own commit, or not at all. `COMMIT`, `ROLLBACK` and `release()` are
 * refused (use `SAVEPOINT` for a part), and so is whatever comes after its end. A query builder is given it as the client of `pg` that it is: `drizzle(transaction as unknown as PoolClient)`; for Kysely, a dialect whose
 * pool's `connect` returns it.
 */
export interface SqlTransaction {
  /** Runs a statement, `$1` and so on standing for `values`. Rejects with the driver's error; the transaction then takes no more and is rolled back. */
  query<Row = Record<string, unknown>>(text: string, values?: unknown[]): Promise<SqlResult<Row>>;
  query<Row = Record<string, unknown>>(statement: { readonly text: string; readonly values?: unknown[]; readonly name?: string }): Promise<SqlResult<Row>>;
}

/** What `pg` answers to a statement. */
export interface SqlResult<Row> {
  readonly rows: Row[];
  /** Rows that were read or changed; null where that says nothing. */
  readonly rowCount: number | null;
}
