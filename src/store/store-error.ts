import { HoldfastError } from '../core/errors.ts';

/**
 * The store does not work. Codes: `store_unsupported` (a library or schema version this one refuses), `store_unavailable`
 * (cannot be opened or reached, locked for too long, disk full; nothing was committed; safe to retry), `commit_unknown` (the connection broke in a commit and nobody can say now whether it landed: retry
 * with the same idempotency key, or read first), `store_closed`, `store_missing` (looked at from outside, there is none),
 * `transaction_conflict` (a caller's transaction lost against another; nothing of it was kept: run it again), `transaction_failed` (nothing of a caller's transaction can be committed any more: run it again), `transaction_misused` (it is used after its end, or ended from inside).
 */
export class StoreError extends HoldfastError {
  override readonly name = 'StoreError';
}
