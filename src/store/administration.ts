import type { CallResult, Entry } from '../core/entry.ts';
import type { Branch } from '../core/history.ts';
import type { Operation } from '../core/operation.ts';
import type { Session } from '../core/session.ts';
import type { UsageCount } from '../core/usage.ts';
import type { AnnouncedWorker } from './store.ts';

/**
 * A store as those see it who look after it: what is in it and how it is set up, without using it. Nothing here changes anything. Opening one rejects with `StoreError`: `store_missing` when there is no such file or
 * database, `store_unavailable` when it cannot be reached or lets nobody in.
 */
export interface StoreAdministration extends AsyncDisposable {
  /** The schema's version as the data has it, 0 where there is none yet, and the latest that this version of Holdfast knows. */
  readSchema(): Promise<SchemaVersions>;
  /** What the engine says of itself, and what of it is wrong or unwise. */
  examineEngine(): Promise<readonly EngineCheck[]>;
  /** Runs `look` on everything as it is at one moment, whoever writes meanwhile. Only for a schema of the latest version. */
  inSnapshot<Result>(look: (snapshot: StoreSnapshot) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export interface SchemaVersions {
  readonly version: number;
  readonly latest: number;
}

export interface Problem {
  /** Stable name of the kind of problem. */
  readonly code: string;
  readonly message: string;
}

export interface EngineCheck {
  readonly name: string;
  readonly detail: string;
  /** Data is damaged. */
  readonly faults: readonly Problem[];
  /** Works, and not as it should. */
  readonly warnings: readonly Problem[];
}

/** Everything in a store at one moment. */
export interface StoreSnapshot {
  /** Rows that belong to no session, and live output that belongs to no attempt. */
  strayRows(): Promise<readonly StrayRows[]>;
  /** The workers that are announced, dead ones included. */
  workers(): Promise<readonly AnnouncedWorker[]>;
  /** Sessions and operations with something to do that nobody has in hand, or only one of the dead, by agent. */
  waitingWork(deadWorkers: readonly string[]): Promise<readonly WaitingWork[]>;
  countSessions(): Promise<number>;
  /** All sessions of all tenants, each with its whole log and what its work in hand refers to. */
  sessions(): AsyncIterable<SessionRows>;
  /** What was counted, by tenant and day (`dayOf`). */
  usage(): Promise<readonly { readonly tenant: string; readonly day: number; readonly count: UsageCount }[]>;
  /** The attempts of sessions that were deleted, as entries without content. */
  keptAttempts(): AsyncIterable<{ readonly tenant: string; readonly entry: Entry }>;
}

export interface StrayRows {
  readonly table: string;
  readonly count: number;
  /** Ends the sentence "the rows are …". */
  readonly what: string;
}

export interface WaitingWork {
  readonly agent: string;
  readonly sessions: number;
  readonly operations: number;
}

/** Values of a row by column; booleans are 0 and 1. */
export type Columns = Readonly<Record<string, string | number | null>>;

export interface SessionRows {
  /** Without the body. */
  readonly columns: Columns;
  readonly session: Session;
  /** The whole log, in order. */
  readonly entries: readonly Entry[];
  /** The operations that the session names, and those that live and say they are the session's. */
  readonly operations: readonly { readonly columns: Columns; readonly operation: Operation }[];
  /** Stored outcomes of the calls that are open. */
  readonly outcomes: readonly CallResult[];
  /** Its discarded futures, in no order. */
  readonly branches: readonly Branch[];
}

/** Tables whose rows go with a session. */
export const tablesOfSessions = ['entry', 'chunk', 'outcome', 'operation', 'whole_result', 'outbox', 'idempotency'] as const;

/** What makes a row of such a table a stray one: conditions that every engine takes, with the schema's name before the table of sessions. */
export function strayConditions(session: string): readonly { readonly table: string; readonly condition: string; readonly what: string }[] {
  return [
    ...tablesOfSessions.map((table) => ({
      table,
      // Replies to "create" belong to the tenant: the session may be gone.
      condition: `stray.session_id <> '' AND NOT EXISTS (SELECT 1 FROM ${session} AS owning WHERE owning.tenant = stray.tenant AND owning.id = stray.session_id)`,
      what: 'of sessions that do not exist',
    })),
    {
      table: 'chunk',
      condition: `EXISTS (SELECT 1 FROM ${session} AS owning WHERE owning.tenant = stray.tenant AND owning.id = stray.session_id AND (owning.attempt_id IS NULL OR owning.attempt_id <> stray.attempt_id))`,
      what: 'of attempts that are over',
    },
  ];
}
