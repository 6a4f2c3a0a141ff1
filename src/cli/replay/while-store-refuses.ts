import { HoldfastError, RefusedError } from '../../core/errors.ts';

/** How often a call is made again while the store does not take it. */
const storeTriesMax = 5;

/** A call that the store did not take had no effect, or will answer its repetition with the first reply (G2): the same call is made again. */
export async function whileStoreRefuses<Result>(call: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call();
    } catch (error) {
      if (!isStoreAway(error) || tries >= storeTriesMax) throw error;
    }
  }
}

export function isStoreAway(error: unknown): boolean {
  return error instanceof HoldfastError && !(error instanceof RefusedError) && error.code === 'store_unavailable';
}
