import type { Entry, EntryKind } from '../../core/entry.ts';
import type { Branch } from '../../core/history.ts';
import type { Operation } from '../../core/operation.ts';
import type { Session } from '../../core/session.ts';
import type { StreamSegment } from '../../core/stream-parts.ts';
import type { StateProvenance } from '../../core/state.ts';
import type { System } from '../../core/system.ts';
import type { ProcessLocks } from '../../store/sqlite/worker-lock.ts';
import type { StoreSnapshot } from '../../store/administration.ts';
import type { EntryRange, SessionRef, Store } from '../../store/store.ts';
import type { StreamedPart } from '../../core/stream-parts.ts';
import type { EngineVersion } from './engine-version.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Reads sessions past all stores, as they are stored at this moment. */
export interface SessionReader {
  find(ref: SessionRef): Session | null;
  entries(ref: SessionRef, range: EntryRange): readonly Entry[];
  entriesAt(ref: SessionRef, seqs: readonly number[]): readonly Entry[];
  /** Live output of an attempt after an ordinal. */
  chunks(ref: SessionRef, attemptId: string, afterOrdinal: number): { readonly segments: readonly StreamSegment[] };
}

/** What a process of a simulation opens its store with. */
export interface SharedStoreOptions {
  /** Whose store it is. */
  readonly version: EngineVersion;
  readonly system: System;
  readonly outboxKinds: readonly EntryKind[];
  /** null: a process's death is seen by its lease only. */
  readonly locks: ProcessLocks | null;
  readonly time: VirtualTime;
}

/** What was ever stored of an attempt's live output. */
export interface OutputArchive {
  partsOf(attemptId: string): readonly StreamedPart[];
}

/** A database that the processes of a simulation share. Used again for the next run: emptying one is cheaper than making it. */
export interface SharedDatabase {
  /** For reports: `sqlite`, `postgres`. */
  readonly name: string;
  /** Tells whether another process holds it just now. */
  isLocked: () => boolean;
  /** As it was when it was opened. */
  empty(): void | Promise<void>;
  /** Where there is no room left, whatever needs more of it fails. */
  hasRoom(room: boolean): void;
  /** A store of one process on it. */
  store(options: SharedStoreOptions): Store | Promise<Store>;
  reader(): SessionReader;
  /** The operations of a session, ended ones included. */
  operationsOf(ref: SessionRef): readonly Operation[];
  /** The discarded futures of a session. */
  branchesOf(ref: SessionRef): readonly Branch[];
  /** Until when the leases of the announced workers run. */
  leases(): ReadonlyMap<string, number>;
  /** By what each value beside sessions was written. */
  stateProvenances(): readonly StateProvenance[] | Promise<readonly StateProvenance[]>;
  /** All live output that is stored from now on, dropped or not: what may be heard. */
  archive(): OutputArchive;
  /** Whether the event of an entry waits to be told of. */
  hasEvent(ref: SessionRef, seq: number): boolean;
  /** Events that nobody was told of yet. */
  eventsLeft(): number;
  /** Attempts by the counters of usage. */
  attemptsCounted(): number;
  /** Everything in it, for who looks whether it agrees with itself. */
  inSnapshot<Result>(nowMs: number, look: (snapshot: StoreSnapshot) => Promise<Result>): Promise<Result>;
  close(): void | Promise<void>;
}
