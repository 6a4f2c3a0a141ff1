import type { WorkerTuning } from '../../create-holdfast.ts';
import type { Pace } from './pace.ts';

/** What a worker process is told to do. */
export interface WorkOrder {
  readonly runId: string;
  /** The recordings as they were read, so that no process reads and checks the original again. */
  readonly recordings: string;
  readonly store: string;
  /** Of the journals. */
  readonly folder: string;
  /** Number of the process in the run. */
  readonly worker: number;
  readonly pace: Pace;
  readonly seed: number;
  readonly leaseMs: number;
}

/** What a worker process says: its worker is registered and takes work; where it serves, requests are answered at `url`. */
export interface WorkerMessage {
  readonly kind: 'ready';
  readonly worker: number;
  readonly url?: string;
}

/** How workers of a kill run are set: live output is stored often, so that kills also find half an answer in the store. */
export function workerTuning(leaseMs: number): WorkerTuning {
  return { leaseMs, chunkIntervalMs: 20, stopGraceMs: 2_000 };
}
