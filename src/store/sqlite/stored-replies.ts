import type { Refusal } from '../../core/errors.ts';
import type { JsonValue } from '../../core/json.ts';
import type { Idempotency, SessionRef } from '../store.ts';
import type { PreparedStatements } from './statements.ts';

/** What a repetition is given: the first reply, or the refusal of another body. */
export type Replay =
  | { readonly kind: 'replayed'; readonly reply: JsonValue; readonly httpStatus: number }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** The replies that are kept under idempotency keys (G2). A session id of `''` stands for keys that are the tenant's: of creations, and of deletions. */
export class StoredReplies {
  readonly #statements: PreparedStatements;
  /** The last one that a sweep has looked at. */
  #swept: Place = beginning;

  constructor(statements: PreparedStatements) {
    this.#statements = statements;
  }

  /** The first of the keys that is known decides; null: none is. */
  find({ tenant, id }: SessionRef, keys: readonly Idempotency[]): Replay | null {
    for (const { scope, fingerprint, mismatch, replays, ofTenant } of keys) {
      const row = this.#statements.get('idempotencyByScope').get(tenant, ofTenant === true ? '' : id, scope) as { fingerprint: string; http_status: number; reply: string } | undefined;
      if (row === undefined) continue;
      if (!replays || row.fingerprint !== fingerprint) return { kind: 'refused', refusal: mismatch };
      return { kind: 'replayed', reply: JSON.parse(row.reply) as JsonValue, httpStatus: row.http_status };
    }
    return null;
  }

  keep({ tenant, id }: SessionRef, keys: readonly Idempotency[], reply: JsonValue, createdSessionId: string | null = null): void {
    for (const { scope, fingerprint, httpStatus, expiresAtMs, ofTenant } of keys) {
      this.#statements.get('insertIdempotency').run(tenant, ofTenant === true ? '' : id, scope, fingerprint, httpStatus, JSON.stringify(reply), expiresAtMs, createdSessionId);
    }
  }

  /** Drops what has expired; returns how much. Looks at no more than `limit`, from where the last sweep left off: replies that are kept because their turns wait cost none of the others. */
  sweep(nowMs: number, limit: number): number {
    const rows = this.#statements.get('expiredIdempotency').all(nowMs, ...this.#swept, limit) as ExpiredRow[];
    const last = rows.at(-1);
    this.#swept = last === undefined || rows.length < limit ? beginning : [last.expires_at_ms, last.tenant, last.session_id, last.scope];
    const over = rows.filter((row) => row.is_open === 0);
    for (const row of over) this.#statements.get('deleteExpired').run(row.tenant, row.session_id, row.scope);
    return over.length;
  }
}

/** Of an expired reply: when it expired, tenant, session and scope. */
type Place = readonly [expiresAtMs: number, tenant: string, sessionId: string, scope: string];

const beginning: Place = [0, '', '', ''];

interface ExpiredRow {
  readonly tenant: string;
  readonly session_id: string;
  readonly scope: string;
  readonly expires_at_ms: number;
  readonly is_open: 0 | 1;
}
