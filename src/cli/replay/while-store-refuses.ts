import { HoldfastError, RefusedError } from '../../core/errors.ts';
import { passTime } from './pace.ts';

/** How long a call is made again while the store is away. */
const storePatienceMs = 60_000;
export const storePauseMs = 100;

/** What the store says when it did not take a call, or does not know whether it did. */
const awayCodes: ReadonlySet<string> = new Set(['store_unavailable', 'commit_unknown']);

/** A call that the store did not take had no effect, or will answer its repetition with the first reply (G2): the same call is made again. */
export async function whileStoreRefuses<Result>(call: () => Promise<Result>): Promise<Result> {
  for (const untilMs = performance.now() + storePatienceMs; ;) {
    try {
      return await call();
    } catch (error) {
      if (!isStoreAway(error) || performance.now() > untilMs) throw error;
      await passTime(storePauseMs);
    }
  }
}

export function isStoreAway(error: unknown): boolean {
  return error instanceof HoldfastError && !(error instanceof RefusedError) && awayCodes.has(error.code);
}
