import { HoldfastError } from '../../core/errors.ts';
import { StoreError } from '../store-error.ts';

/** SQLSTATEs of a transaction that lost against another and may simply be run again: serialization failure, deadlock. */
const conflictCodes: ReadonlySet<string> = new Set(['40001', '40P01']);

/**
 * SQLSTATEs and error codes of Node after which the same may work in a moment: the server goes away or comes back, has no connection left, is a standby just now, ran out of a lock's or
 * a statement's time. Class 08 (connection exceptions) belongs to them too.
 */
const passingCodes: ReadonlySet<string> = new Set([
  '57P01', '57P02', '57P03', '57P05', '53300', '25006', '25P03', '55P03', '57014',
  'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH',
]);

/** Of the passing ones, those at which the server has said that it did nothing. After the others a statement that was sent may have been committed. */
const refusedCodes: ReadonlySet<string> = new Set(['57P03', '53300', '25006', '25P03', '55P03', '57014', 'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN']);

/** Keys that another commit may have taken since it was looked whether they are free. Any other that is taken is a fault. */
const contestedKeys: ReadonlySet<string> = new Set(['session_pkey', 'idempotency_pkey', 'session_external_id', 'operation_live_key']);

/** What the driver says without a code when a connection ends, or does not come about. */
const connectionTexts = /connection terminated|client was closed|client has encountered a connection error|timeout exceeded when trying to connect|query read timeout|connection ended/i;

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Another transaction won; this one changed nothing. */
export function isConflict(error: unknown): boolean {
  return conflictCodes.has(codeOf(error));
}

/** Whether an error, or what is said to have caused it, is that of a transaction that lost: errors of callers often wrap the driver's. */
export function isOfConflict(error: unknown): boolean {
  return isConflict(error) || (error instanceof Error && isOfConflict(error.cause));
}

/** A row with this key is there already; the transaction changed nothing. */
export function isTaken(error: unknown): boolean {
  return codeOf(error) === '23505';
}

/** Another transaction has taken a key since it was looked whether it is free; this one changed nothing. */
export function isContested(error: unknown): boolean {
  return isTaken(error) && error instanceof Error && 'constraint' in error && contestedKeys.has(String(error.constraint));
}

/** The database cannot be reached just now. */
export function isPassing(error: unknown): boolean {
  const code = codeOf(error);
  return passingCodes.has(code) || code.startsWith('08') || (error instanceof Error && connectionTexts.test(error.message));
}

/** Whether a statement that failed like this may have been committed all the same. */
export function mayHaveLanded(error: unknown): boolean {
  return isPassing(error) && !refusedCodes.has(codeOf(error));
}

/** The driver's and the server's errors become a `StoreError`; errors of ours, and of what the caller runs inside, stay what they are. */
export function storeErrorOf(error: unknown): unknown {
  if (error instanceof HoldfastError || !(error instanceof Error)) return error;
  const isOfDatabase = isPassing(error) || /^[0-9A-Z]{5}$/.test(codeOf(error));
  if (!isOfDatabase) return error;
  return new StoreError('store_unavailable', `Postgres failed (${codeOf(error) || error.name}: ${error.message}); nothing was kept of it`, { cause: error });
}
