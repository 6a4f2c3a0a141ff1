import { HoldfastError } from '../core/errors.ts';
import { StoreError } from '../store/store-error.ts';
import type { Store, StoreTransaction } from '../store/store.ts';

/**
 * Looks at the transaction that a command is to take part in, before anything happens. Throws `StoreError` code `store_unsupported` where the store has none, and `HoldfastError` code `options_invalid` for what is no
 * connection with a transaction begun on it: a pool would write each statement on whatever connection is free, and commit it.
 */
export function requireTransaction(store: Pick<Store, 'name' | 'capabilities'>, transaction: StoreTransaction | undefined): void {
  if (transaction === undefined) return;
  requireTransactions(store);
  const given = transaction as Partial<StoreTransaction> & { readonly totalCount?: unknown; readonly getTransactionStatus?: () => string | null };
  if (typeof given.query !== 'function') throw invalid('it has no query(): pass the client of pg on which the transaction was begun, not the object of a query builder');
  if (given.totalCount !== undefined) throw invalid('it is a pool: take a client from it with pool.connect(), BEGIN on that, and pass the client');
  if (given.getTransactionStatus?.() === 'I') throw invalid('no transaction is begun on it: await client.query(\'BEGIN\') first');
}

/** Throws `StoreError` code `store_unsupported` where no statement of a user's can be part of a commit. */
export function requireTransactions({ name, capabilities }: Pick<Store, 'name' | 'capabilities'>): void {
  if (capabilities.transactions) return;
  throw new StoreError('store_unsupported',
    `the store ${name} has no transactions for others, so nothing was done. Use Postgres (store: 'postgres://…' or postgres({ pool })); or leave the transaction out, and send after your own commit with an idempotencyKey, again until it is acknowledged`);
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('options_invalid', `transaction cannot be used: ${what}`);
}
