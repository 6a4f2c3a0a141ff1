/** What an engine that speaks Postgres's protocol can do, and how it is asked for it. Everything else in this folder is the same on all of them (docs/scaling.md). */
export interface Dialect {
  /** How a change of a session is written: as one statement with data-modifying CTEs, or as a transaction of plain statements, for engines that do not take the one. */
  readonly commit: 'statement' | 'transaction';
  /**
   * How what is stored beside a session (live output, whole results) keeps its row from being changed meanwhile: by a lock, or by an update of it. Under READ COMMITTED a lock is enough. Where a transaction reads
   * as of its beginning, only an update makes the engine refuse a transaction that has begun before and would not see what was stored.
   */
  readonly lock: 'clause' | 'update';
  /** Whether a statement can pass over rows that others have locked. Without, the changes of different sessions are not committed together: one would wait for what another's lock holds up. */
  readonly skipLocked: boolean;
  /** Whether commits are announced with NOTIFY and others' are heard with LISTEN. Without, other processes are heard of by polling. */
  readonly notify: boolean;
}

/** What fits the isolation level at which the database runs transactions unless told otherwise. */
export function dialectFor(isolation: string, given: Partial<Dialect> = {}): Dialect {
  return { commit: 'statement', lock: isolation === 'read committed' ? 'clause' : 'update', skipLocked: true, notify: true, ...given };
}
