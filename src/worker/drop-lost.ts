import type { HeldSession } from '../store/store.ts';
import type { SessionRun } from './session-run.ts';

/** Ends the runs of sessions that are no longer this worker's. `runs` are those from before the store was asked. */
export function dropLost(held: readonly HeldSession[], runs: readonly SessionRun[]): void {
  const fences = new Map(held.map(({ tenant, id, fence }) => [`${tenant}\n${id}`, fence]));
  for (const { ref, lease, abort } of runs) {
    const fence = fences.get(`${ref.tenant}\n${ref.id}`);
    if (fence === undefined || fence > lease.fence) abort.abort('fence-lost');
  }
}
