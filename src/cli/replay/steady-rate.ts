import { passTime } from './pace.ts';

/** Runs `strike` again and again at a steady rate until the signal is aborted; then resolves, after the one that runs. One that takes longer than the time between two delays the next. */
export async function atSteadyRate(everyMs: number, signal: AbortSignal, strike: () => Promise<void>): Promise<void> {
  for (let dueMs = performance.now() + everyMs; ; dueMs = Math.max(dueMs + everyMs, performance.now())) {
    await passTime(dueMs - performance.now(), signal);
    if (signal.aborted) return;
    await strike();
  }
}
