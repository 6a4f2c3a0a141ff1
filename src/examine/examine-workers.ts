import type { Problem, StoreSnapshot, WaitingWork } from '../store/administration.ts';
import type { AnnouncedWorker } from '../store/store.ts';

/** Looks whether somebody is there for the work that waits, and whether those who are fit the schema. */
export async function examineWorkers(snapshot: Pick<StoreSnapshot, 'workers' | 'waitingWork'>, schemaLatest: number): Promise<{ readonly detail: string; readonly warnings: readonly Problem[] }> {
  const workers = await snapshot.workers();
  const living = workers.filter(({ isDead }) => !isDead);
  const dead = workers.filter(({ isDead }) => isDead).map(({ id }) => id);
  const waiting = await snapshot.waitingWork(dead);
  const agents = new Set(living.flatMap((worker) => worker.agents));
  const warnings = [
    ...living.filter(({ schemaVersion }) => schemaVersion < schemaLatest).map((worker) => outdated(worker, schemaLatest)),
    ...waiting.filter(({ agent }) => !agents.has(agent)).map((work) => nobodyClaims(work, living.length > 0)),
  ];
  return { detail: `${living.length} at work${dead.length === 0 ? '' : `, ${dead.length} dead`}`, warnings };
}

function outdated({ id, schemaVersion }: AnnouncedWorker, schemaLatest: number): Problem {
  return { code: 'worker_outdated', message: `worker ${id} was made for schema version ${schemaVersion}, and the schema has ${schemaLatest}: replace it by a newer one` };
}

function nobodyClaims({ agent, sessions, operations }: WaitingWork, someLive: boolean): Problem {
  const counts = ([[sessions, 'session'], [operations, 'operation']] as const).flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}${count === 1 ? '' : 's'}`]));
  const why = someLive ? `no worker that lives defines that agent: start one that does` : 'no worker lives: start one with "holdfast worker" or "holdfast serve"';
  return { code: 'nobody_claims', message: `${counts.join(' and ')} of agent ${agent} ${sessions + operations === 1 ? 'has' : 'have'} something to do, and ${why}` };
}
