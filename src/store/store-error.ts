import { HoldfastError } from '../core/errors.ts';

/**
 * The store does not work. Codes: `store_unsupported` (a library or schema version this one refuses), `store_unavailable`
 * (cannot be opened, locked for too long, disk full; nothing was committed; safe to retry), `store_closed`.
 */
export class StoreError extends HoldfastError {
  override readonly name = 'StoreError';
}
