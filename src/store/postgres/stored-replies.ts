import type { Refusal } from '../../core/errors.ts';
import type { JsonValue } from '../../core/json.ts';
import type { Idempotency } from '../store.ts';
import type { Database } from './open-database.ts';
import type { Statements } from './statements.ts';

/** What a repetition is given: the first reply, or the refusal of another body. */
export type Replay =
  | { readonly kind: 'replayed'; readonly reply: JsonValue; readonly httpStatus: number }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** A reply as it was kept. A session id of `''` stands for keys that are the tenant's: of creations, and of deletions. */
export interface KeptReply {
  readonly sessionId: string;
  readonly scope: string;
  readonly fingerprint: string;
  readonly httpStatus: number;
  readonly reply: JsonValue;
}

/** The first of the keys that is known decides (G2); null: none is. */
export function replayOf(kept: readonly KeptReply[], sessionId: string, keys: readonly Idempotency[]): Replay | null {
  for (const { scope, fingerprint, mismatch, replays, ofTenant } of keys) {
    const found = kept.find((reply) => reply.sessionId === (ofTenant === true ? '' : sessionId) && reply.scope === scope);
    if (found === undefined) continue;
    if (!replays || found.fingerprint !== fingerprint) return { kind: 'refused', refusal: mismatch };
    return { kind: 'replayed', reply: found.reply, httpStatus: found.httpStatus };
  }
  return null;
}

/** Of an expired reply: when it expired, tenant, session and scope. */
type Place = readonly [expiresAtMs: number, tenant: string, sessionId: string, scope: string];

const beginning: Place = [0, '', '', ''];

/** Drops the replies that have expired, a stretch at a time. */
export class ExpiredReplies {
  readonly #database: Database;
  readonly #statements: Statements;
  /** The last one that a sweep has looked at. */
  #swept: Place = beginning;

  constructor(database: Database, statements: Statements) {
    this.#database = database;
    this.#statements = statements;
  }

  /** Returns how many were dropped. Looks at no more than `limit`, from where the last sweep left off: replies that are kept because their turns wait cost none of the others. */
  async sweep(nowMs: number, limit: number): Promise<number> {
    const rows = await this.#database.run(this.#statements.get('expiredReplies', nowMs, ...this.#swept, limit));
    const last = rows.at(-1);
    this.#swept = last === undefined || rows.length < limit ? beginning : [Number(last['expires_at_ms']), String(last['tenant']), String(last['session_id']), String(last['scope'])];
    const over = rows.filter((row) => row['is_open'] === false);
    // One tenant to a transaction.
    for (const tenant of new Set(over.map((row) => row['tenant']))) {
      const gone = over.filter((row) => row['tenant'] === tenant);
      await this.#database.run(this.#statements.get('deleteExpired', gone.map((row) => row['session_id']), gone.map((row) => row['scope']), tenant, nowMs));
    }
    return over.length;
  }
}
