import type { CallResult } from '../core/entry.ts';
import { recordLateResult } from '../core/settle.ts';
import type { WorkerHost } from './session-run.ts';

/** The call that a late result is of. */
export interface LateCall {
  readonly tenant: string;
  readonly sessionId: string;
  readonly turnId: string;
  readonly stepSeq: number;
}

/** Keeps what a call came to after it had been given up. Nobody waits for this; a failure of it is said in the log. */
export function recordLate({ store, system, committed, log }: WorkerHost, { tenant, sessionId, turnId, stepSeq }: LateCall, result: CallResult, isTimedOut = false): void {
  const ref = { tenant, id: sessionId };
  store.update({ key: ref, transition: recordLateResult(turnId, stepSeq, result, system.clock.nowMs(), isTimedOut) })
    .then((recorded) => {
      if (recorded.kind === 'committed') committed(ref, recorded.entries);
    })
    .catch((error: unknown) => log('warn', 'late-result-not-stored', { session: sessionId, error: error instanceof Error ? error.message : String(error) }));
}
