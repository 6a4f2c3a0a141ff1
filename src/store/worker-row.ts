import type { SessionRef } from './session-ref.ts';

export interface WorkerRow {
  readonly id: string;
  readonly leaseMs: number;
  /** The agents that it defines. */
  readonly agents: readonly string[];
}

export interface Renewal {
  /** The sessions that are still the worker's, with their fences, so that it hears of what it lost. */
  readonly held: readonly HeldSession[];
  /** The data asks for a newer version than this process is: it hands over what it has and takes nothing more. */
  readonly outdated: boolean;
}

export interface DeadWorkers {
  readonly dead: readonly string[];
  /** In how many milliseconds the next of the living would be dead if it were not renewed; null: there is none. */
  readonly nextEndMs: number | null;
}

export interface AnnouncedWorker {
  readonly id: string;
  readonly agents: readonly string[];
  /** The schema version that it was made for. */
  readonly schemaVersion: number;
  readonly isDead: boolean;
}

export interface HeldSession extends SessionRef {
  readonly fence: number;
}

export interface ClaimableQuery {
  readonly nowMs: number;
  readonly deadWorkers: readonly string[];
  /** Agents that the worker defines. */
  readonly agents: readonly string[];
  readonly limit: number;
}

export interface Claimable extends SessionRef {
  readonly agent: string;
}
