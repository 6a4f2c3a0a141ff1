import type { Refusal } from '../core/errors.ts';

export interface SessionRef {
  readonly tenant: string;
  readonly id: string;
}

/** One key with one effect (G2). The store keeps the reply with the commit. */
export interface Idempotency {
  /** Canonical text of tenant, owner, command, target and key. */
  readonly scope: string;
  /** Hash of the canonical body. */
  readonly fingerprint: string;
  /** The 2xx of the reply, kept with it. */
  readonly httpStatus: number;
  /** null: kept as long as the session. */
  readonly expiresAtMs: number | null;
  /** A repetition with the same body is given the first reply; else every repetition is refused. */
  readonly replays: boolean;
  /** It is the tenant's, as the keys of creations are, and is kept when the session goes that it led to. Default: it is its session's. */
  readonly ofTenant?: true;
  /** The refusal of a repetition with another body. */
  readonly mismatch: Refusal;
}
