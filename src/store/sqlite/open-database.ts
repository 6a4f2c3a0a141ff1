import type BetterSqlite3 from 'better-sqlite3';
import { StoreError } from '../store-error.ts';

export type Database = BetterSqlite3.Database;
export type Statement = BetterSqlite3.Statement;

/** The oldest SQLite without the WAL-reset corruption of two connections that write and checkpoint at once (sqlite.org/wal.html, "WAL-reset bug"). */
export const sqliteVersionMin = [3, 51, 3] as const;
const nodeVersionMin = [22, 12, 0] as const;
/** How long a statement waits in place for another process's commit; longer waits leave the event loop free. */
const lockWaitMs = 20;
/** How long opening waits: another process may just be making the file, or recovering it after a crash. */
const openWaitMs = 5_000;
const walTriesMax = 100;

/**
 * Opens a database file as Holdfast needs it: WAL, every commit synced. Throws `StoreError` with code `store_unsupported` when Node or the SQLite
 * library is too old, and `store_unavailable` when the file cannot be opened.
 */
export async function openDatabase(path: string, onStatement?: (sql: string) => void): Promise<Database> {
  requireVersion('Node.js', process.versions.node, nodeVersionMin);
  const { default: Sqlite } = await import('better-sqlite3');
  let database: Database;
  try {
    database = new Sqlite(path, { timeout: openWaitMs, ...(onStatement === undefined ? {} : { verbose: (sql: unknown) => onStatement(String(sql)) }) });
  } catch (error) {
    throw new StoreError('store_unavailable', `cannot open ${path}: ${String(error)}`, { cause: error });
  }
  try {
    requireVersion('SQLite', String(database.prepare('SELECT sqlite_version()').pluck().get()), sqliteVersionMin);
    enterWal(database);
    // The library's compiled default in WAL is NORMAL, which may lose acknowledged commits with the power (G1).
    database.pragma('synchronous = FULL');
    if (process.platform === 'darwin') database.pragma('fullfsync = 1');
    // Pages written again and again are copied to the database once per checkpoint: 16 MB of WAL between two.
    database.pragma('wal_autocheckpoint = 4000');
    database.pragma('mmap_size = 0');
    database.pragma('foreign_keys = OFF');
    database.pragma(`busy_timeout = ${lockWaitMs}`);
  } catch (error) {
    database.close();
    if (error instanceof StoreError) throw error;
    throw new StoreError('store_unavailable', `cannot use ${path}: ${String(error)}`, { cause: error });
  }
  return database;
}

/** Two processes that change the mode of a new file at once would wait for each other: SQLite refuses one of them at once, whatever the timeout. */
function enterWal(database: Database): void {
  for (let tries = 1; ; tries += 1) {
    try {
      database.pragma('journal_mode = WAL');
      return;
    } catch (error) {
      if (!isBusy(error) || tries >= walTriesMax) throw error;
    }
  }
}

/** Throws `StoreError` with code `store_unsupported` when a version (`major.minor.patch`) is older than the least that is needed. */
export function requireVersion(what: string, version: string, least: readonly [number, number, number]): void {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map((number) => Number.parseInt(number, 10));
  const enough = major !== least[0] ? major > least[0] : minor !== least[1] ? minor > least[1] : patch >= least[2];
  if (!enough) throw new StoreError('store_unsupported', `${what} ${version} is too old: Holdfast needs ${least.join('.')} or newer`);
}

/** Whether another process has the lock that was asked for. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('SQLITE_BUSY');
}
