import type { AttemptRecord } from '../core/entry.ts';
import { recordLateUsage } from '../core/settle.ts';
import type { SessionRef } from '../store/store.ts';
import type { WorkerHost } from './session-run.ts';

/** Keeps what an attempt used that lost its session, where the provider had said it. Nobody waits for this; a failure of it is said in the log. A process that dies before it has not told anybody: the usage stays unknown. */
export function recordUsageLate({ store, system, committed, log }: Pick<WorkerHost, 'store' | 'system' | 'committed' | 'log'>, ref: SessionRef, turnId: string, attempt: AttemptRecord): void {
  if (attempt.usage === null) return;
  store.update({ key: ref, transition: recordLateUsage(turnId, attempt, system.clock.nowMs()) })
    .then((recorded) => {
      if (recorded.kind === 'committed') committed(ref, recorded.entries);
    })
    .catch((error: unknown) => log('warn', 'late-usage-not-stored', { session: ref.id, error: error instanceof Error ? error.message : String(error) }));
}
