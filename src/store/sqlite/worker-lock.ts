import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type BetterSqlite3 from 'better-sqlite3';
import { isBusy, type Database } from './open-database.ts';

/** Locks that prove that a worker lives: nobody but its holder's death, or its holder, frees one. */
export interface ProcessLocks {
  /** Takes the lock of a worker; it is held until {@link release} or the end of the process. */
  hold(worker: string): void;
  /** Whether nobody holds the worker's lock any more. */
  isFree(worker: string): boolean;
  release(worker: string): void;
  /** Removes what is left of a worker that is gone. */
  remove(worker: string): void;
  releaseAll(): void;
}

/**
 * An operating-system lock per worker process, beside the database file: the kernel frees it at whatever death of its holder, so
 * a free lock proves that the worker is gone. Node has no file locks of its own; an exclusive transaction on an empty SQLite
 * file is one (`fcntl` on Unix, `LockFileEx` on Windows).
 */
export class WorkerLocks implements ProcessLocks {
  readonly #folder: string;
  readonly #open: (path: string) => Database;
  readonly #held = new Map<string, Database>();

  constructor(databasePath: string, Sqlite: typeof BetterSqlite3) {
    this.#folder = `${databasePath}-workers`;
    this.#open = (path) => new Sqlite(path, { timeout: 0 });
  }

  hold(worker: string): void {
    mkdirSync(this.#folder, { recursive: true });
    const lock = this.#open(this.#path(worker));
    lock.pragma('journal_mode = MEMORY');
    lock.exec('BEGIN EXCLUSIVE');
    this.#held.set(worker, lock);
  }

  isFree(worker: string): boolean {
    const path = this.#path(worker);
    if (this.#held.has(worker)) return false;
    if (!existsSync(path)) return true;
    const lock = this.#open(path);
    try {
      lock.prepare('SELECT count(*) FROM sqlite_schema').get();
      return true;
    } catch (error) {
      if (isBusy(error)) return false;
      throw error;
    } finally {
      lock.close();
    }
  }

  release(worker: string): void {
    const lock = this.#held.get(worker);
    this.#held.delete(worker);
    lock?.close();
    this.remove(worker);
  }

  remove(worker: string): void {
    rmSync(this.#path(worker), { force: true });
  }

  releaseAll(): void {
    for (const worker of [...this.#held.keys()]) this.release(worker);
  }

  #path(worker: string): string {
    return join(this.#folder, `${worker}.lock`);
  }
}
