import { HoldfastError, InvariantError } from '../../core/errors.ts';

/** Whether something outside was not as it must be; a bug of ours is none of that. */
export function isHoldfastError(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && !(error instanceof InvariantError);
}
