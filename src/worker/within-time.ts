import { HoldfastError } from '../core/errors.ts';
import type { Clock } from '../core/system.ts';

export interface TimeBound {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Aborting it ends the wait. */
  readonly signal: AbortSignal;
}

/**
 * Settles as the work does, but no later than the bound: for the user's own code, which may never settle. Rejects with code `took_too_long` or
 * `run_aborted`; the work itself goes on, and nobody looks at what comes of it.
 */
export async function withinTime<Value>(work: PromiseLike<Value>, { clock, timeoutMs, signal }: TimeBound): Promise<Value> {
  const ended = Promise.withResolvers<never>();
  const abort = (): void => ended.reject(new HoldfastError('run_aborted', 'the run was aborted'));
  const cancelTimer = clock.after(timeoutMs, () => ended.reject(new HoldfastError('took_too_long', `it took longer than ${timeoutMs} ms`)));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, ended.promise]);
  } finally {
    cancelTimer();
    signal.removeEventListener('abort', abort);
  }
}
