import type { System } from '../../core/system.ts';
import { StoreError } from '../store-error.ts';
import { isBusy, type Database, type Statement } from './open-database.ts';

/** How long a commit may wait for other processes before it is given up; nothing of it was written then. */
const lockWaitMsMax = 10_000;
/** Between two looks at a lock: doubles from the first to the last. SQLite itself waits in place at each look, so the event loop is free meanwhile only. */
const lockRetryMsFirst = 2;
const lockRetryMsMax = 20;
/** Writes in one transaction; more wait for the next. */
const groupSizeMax = 256;

interface Member {
  readonly write: () => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Commits all writes of one tick as one transaction, so that many sessions share one sync. A write is acknowledged after
 * that commit and not before (G1). If a member throws or the commit fails, everything is rolled back and each is tried alone.
 */
export class GroupCommit {
  readonly #database: Database;
  readonly #system: Pick<System, 'clock' | 'random'>;
  readonly #afterCommit: () => void;
  readonly #begin: Statement;
  readonly #commitStatement: Statement;
  #waiting: Member[] = [];
  #scheduled = false;
  #closed = false;
  #lockedSinceMs: number | null = null;
  #lockRetryMs = lockRetryMsFirst;

  constructor(database: Database, system: Pick<System, 'clock' | 'random'>, afterCommit: () => void) {
    this.#database = database;
    this.#system = system;
    this.#afterCommit = afterCommit;
    this.#begin = database.prepare('BEGIN IMMEDIATE');
    this.#commitStatement = database.prepare('COMMIT');
  }

  /** Runs a write in the next transaction. It may run more than once, each time from what is committed; only its last run counts. */
  run<Result>(write: () => Result): Promise<Result> {
    if (this.#closed) return Promise.reject(new StoreError('store_closed', 'the store is closed'));
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.push({ write, resolve, reject });
      this.#schedule();
    });
  }

  /** Commits what waits and takes nothing more. */
  async close(): Promise<void> {
    const last = this.#waiting.length > 0 ? this.run(() => null) : Promise.resolve(null);
    this.#closed = true;
    await last;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#system.clock.soon(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    const group = this.#waiting.splice(0, groupSizeMax);
    if (!this.#commit(group)) return;
    if (this.#waiting.length > 0) this.#schedule();
  }

  /** False when another process has the lock: the group is the first of those that wait again, so that order is kept. */
  #commit(group: readonly Member[]): boolean {
    if (group.length === 0) return true;
    let results: unknown[];
    try {
      this.#begin.run();
      results = group.map((member) => member.write());
      this.#commitStatement.run();
    } catch (error) {
      if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
      if (isBusy(error)) return this.#waitForLock(group, error);
      if (group.length === 1) {
        group[0]?.reject(storeErrorOf(error));
        return true;
      }
      return this.#commitSingly(group);
    }
    this.#lockedSinceMs = null;
    this.#afterCommit();
    group.forEach((member, place) => member.resolve(results[place] as never));
    return true;
  }

  #commitSingly(group: readonly Member[]): boolean {
    for (const [place, member] of group.entries()) {
      if (this.#commit([member])) continue;
      this.#waiting.splice(1, 0, ...group.slice(place + 1));
      return false;
    }
    return true;
  }

  #waitForLock(group: readonly Member[], error: unknown): boolean {
    const { clock, random } = this.#system;
    if (this.#lockedSinceMs === null) this.#lockRetryMs = lockRetryMsFirst;
    this.#lockedSinceMs ??= clock.nowMs();
    if (clock.nowMs() - this.#lockedSinceMs >= lockWaitMsMax) {
      this.#lockedSinceMs = null;
      const unavailable = new StoreError('store_unavailable', `another process has held the database for ${lockWaitMsMax} ms; nothing was written, try again`, { cause: error });
      for (const member of group) member.reject(unavailable);
      return true;
    }
    const delayMs = Math.ceil(this.#lockRetryMs * (1 + random.next()));
    this.#lockRetryMs = Math.min(lockRetryMsMax, this.#lockRetryMs * 2);
    this.#waiting.unshift(...group);
    this.#scheduled = true;
    clock.after(delayMs, () => this.#flush());
    return false;
  }
}

/** SQLite's own errors become a `StoreError`; a broken invariant of ours stays what it is. */
export function storeErrorOf(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || !String(error.code).startsWith('SQLITE_')) return error;
  return new StoreError('store_unavailable', `SQLite failed (${String(error.code)}: ${error.message}); nothing was kept of it`, { cause: error });
}
