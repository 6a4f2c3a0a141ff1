import type { Pace } from '../replay/pace.ts';

/** What a process is for: it works, it answers requests, or it does both, so that accepting and claiming are one commit there. */
export type ProcessRole = 'worker' | 'server' | 'both';

/** What a process of a run is told to do. */
export interface ProcessOrder {
  readonly runId: string;
  readonly store: string;
  /** Of the journals. */
  readonly folder: string;
  /** Number of the process in the run. */
  readonly worker: number;
  readonly role: ProcessRole;
  readonly pace: Pace;
  readonly seed: number;
  readonly leaseMs: number;
}
