import { createHash } from 'node:crypto';
import type { Entry } from '../core/entry.ts';
import type { Refusal } from '../core/errors.ts';
import type { Mark, MarkRange } from '../core/history.ts';
import type { Session } from '../core/session.ts';
import type { JsonValue } from '../core/json.ts';
import type { StateItem, StateWrite } from '../core/state.ts';
import type { LoadedState, ScopeChange } from '../core/state-world.ts';
import type { Idempotency, SessionRef } from './session-ref.ts';

/** Names a scope beside sessions: see `scopeText` in `core/state.ts`. */
export interface ScopeRef {
  readonly tenant: string;
  readonly scopeText: string;
}

export interface ScopePage {
  /** `lastVersion`: versions up to it have been used. */
  readonly items: readonly { readonly scopeText: string; readonly lastVersion: number }[];
  /** `after` of the next page; null at the end. */
  readonly nextCursor: string | null;
}

/** Changes what scopes beside sessions hold, as `core/state-world.ts` says. `reply` is what a repetition of the request is given. */
export type StateTransition<Reply> = (loaded: LoadedState) => { readonly rows: readonly ScopeChange[]; readonly reply: Reply } | Refusal;

export interface StateChangeRequest<Reply> {
  readonly tenant: string;
  /** What the transition writes: these scopes are locked, and these keys read. */
  readonly writes: readonly StateWrite[];
  readonly idempotency?: readonly Idempotency[];
  /** Pure; may be run more than once. */
  readonly transition: StateTransition<Reply>;
}

export type StateChangeResult<Reply> =
  | { readonly kind: 'committed'; readonly reply: Reply }
  | { readonly kind: 'replayed'; readonly reply: JsonValue; readonly httpStatus: number }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** The part of the port that is about state. Expiry is by the store's clock. */
export interface StateStore {
  /** Of each mark in these ranges the last one in the session's visible history, in no order. However often entries had a mark, one of it is read; where that one was left, one more for each stretch that is visible. */
  readLastMarks(session: Session, ranges: readonly MarkRange[]): Promise<readonly Mark[]>;
  /** All marks of a session in this range, visible or not, in the order of the log. */
  readMarks(ref: SessionRef, range: MarkRange): Promise<readonly Mark[]>;
  /** The entries at these seqs, in the order of the log; what is not there is left out. */
  readEntriesAt(ref: SessionRef, seqs: readonly number[]): Promise<readonly Entry[]>;
  /** The scopes beside sessions that were ever written, each once, in an order of the store's own. */
  listScopes(page: { readonly tenant: string; readonly limit: number; readonly after?: string | undefined }): Promise<ScopePage>;
  /** Keys of a scope beside sessions that have a value, in no order. At most as many as a scope may have. */
  readKeys(scope: ScopeRef): Promise<readonly string[]>;
  /** The values of these keys, in no order; what is not there is left out. */
  readItems(scope: ScopeRef, keys: readonly string[]): Promise<readonly StateItem[]>;
  /** Changes scopes beside sessions under their locks: one commit. Idempotent by `idempotency`, as `Store.update`. */
  changeIfCurrent<Reply extends JsonValue>(request: StateChangeRequest<Reply>): Promise<StateChangeResult<Reply>>;
}

/** What the rows of a scope are found by: SHA-256 of its text, which may be longer than what an index takes. */
export function scopeKeyOf(scopeText: string): string {
  return createHash('sha256').update(scopeText).digest('base64url');
}

/** A page of scopes, of rows in the order of their keys, of which there is one more than asked for where there are more. */
export function scopePage(rows: readonly { readonly scopeKey: string; readonly scopeText: string; readonly lastVersion: number }[], limit: number): ScopePage {
  const shown = rows.slice(0, limit);
  return { items: shown.map(({ scopeText, lastVersion }) => ({ scopeText, lastVersion })), nextCursor: rows.length > limit ? (shown.at(-1)?.scopeKey ?? null) : null };
}
