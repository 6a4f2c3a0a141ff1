import type { Clock } from '../../core/system.ts';
import type { ChangeHint, SessionRef } from '../store.ts';
import { isBusy, type Database } from './open-database.ts';

export interface ChangeHintsOptions {
  readonly database: Database;
  readonly clock: Clock;
  /** How often to look for commits of other processes while somebody listens; null: the database is this process's alone. */
  readonly pollMs: number | null;
}

type Listener = (hint: ChangeHint) => void;

const somethingElsewhere: ChangeHint = { ref: null, elsewhere: true, leavesWork: true };

/** Who is told of commits: of this process's own at once, of others' by looking at the file while somebody listens. */
export class ChangeHints {
  readonly #options: ChangeHintsOptions;
  readonly #listeners = new Set<Listener>();
  #changed: SessionRef[] = [];
  #dataVersion = 0;
  #stopPolling: (() => void) | null = null;
  #closed = false;

  constructor(options: ChangeHintsOptions) {
    this.#options = options;
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    if (this.#stopPolling === null && !this.#closed) this.#poll();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#endPolling();
    };
  }

  /** A session that the commit under way changes. */
  changed(ref: SessionRef): void {
    this.#changed.push(ref);
  }

  /** The commit under way is done. */
  announce(): void {
    const changed = this.#changed;
    this.#changed = [];
    for (const ref of changed) this.#tell({ ref, elsewhere: false, leavesWork: false });
  }

  close(): void {
    this.#closed = true;
    this.#endPolling();
  }

  #tell(hint: ChangeHint): void {
    for (const listener of this.#listeners) listener(hint);
  }

  /** `data_version` changes when another connection has committed; it is one read of shared memory. */
  #poll(): void {
    const { clock, pollMs } = this.#options;
    if (pollMs === null) return;
    const stop = clock.after(pollMs, () => {
      if (this.#hasChangedElsewhere()) this.#tell(somethingElsewhere);
      if (this.#stopPolling === stop) this.#poll();
    });
    this.#stopPolling = stop;
  }

  #hasChangedElsewhere(): boolean {
    let version: number;
    try {
      version = Number(this.#options.database.pragma('data_version', { simple: true }));
    } catch (error) {
      // Another process is just recovering the file: the next look sees what it changed.
      if (isBusy(error)) return false;
      throw error;
    }
    const changed = version !== this.#dataVersion;
    this.#dataVersion = version;
    return changed;
  }

  #endPolling(): void {
    this.#stopPolling?.();
    this.#stopPolling = null;
  }
}
