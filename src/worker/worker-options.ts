import type { Agent } from '../agent/agent.ts';
import type { WorkerSlot } from '../core/accept/transition.ts';
import type { Claimed } from '../core/claim.ts';
import type { Entry } from '../core/entry.ts';
import type { Session } from '../core/session.ts';
import type { WorkerHost } from './session-run.ts';

export interface WorkerOptions extends WorkerHost {
  readonly agents: ReadonlyMap<string, Agent>;
  /** How long the process may be silent before its sessions are taken over, in milliseconds. */
  readonly leaseMs: number;
  /** Sessions that run at the same time in this process. */
  readonly runsMax: number;
  /** Operations that run at the same time in this process. */
  readonly operationsMax: number;
  /** How long {@link Worker.stop} lets steps finish, in milliseconds. */
  readonly stopGraceMs: number;
  /** Bound of the cache of histories, in characters. */
  readonly historyCharsMax: number;
}

/** A place for one session, kept free until it is used or given back. */
export interface ReservedSlot extends WorkerSlot {
  /** Begins the run of a session claimed by a command's own commit. */
  readonly begin: (session: Session, claimed: Claimed, entries: readonly Entry[]) => void;
  readonly release: () => void;
}
