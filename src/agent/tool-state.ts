import type { JsonValue } from '../core/json.ts';
import type { StateScope } from '../core/state.ts';

/** A value as a tool reads it. */
export interface ToolStateItem {
  readonly key: string;
  readonly value: JsonValue;
  /** null: this very call has written it, and it has no version before the commit of its step. */
  readonly version: number | null;
}

/** State as an agent's own functions have it: read only. */
export type StateReading = Pick<ToolState, 'get' | 'list' | 'snapshot'>;

/**
 * State that the agent keeps between turns, as a tool has it. A call sees its own writes at once; others see them with the commit of its step, if the call ends as `done`: they land with its result, or not at all. When
 * a value that was written on a condition (`ifVersion`), or counted up, has changed meanwhile so that the write is not possible, the call ends as `failed` with code `state_conflict` and none of its writes lands.
 * In a tool with `background` or `transaction` state can only be read. What a call asks for is done in the order in which it asks. A write on a condition is refused when the call has written the key without one before. All methods reject with `RefusedError`: `state_disabled`, `state_scope_unknown`, `state_scope_off`, `state_identity_missing`, `state_key_invalid`; those that write
 * also `state_not_json`, `state_too_large`, `state_quota`, `state_version_conflict`, `invalid_request`.
 */
export interface ToolState {
  /** The value as of now; null: there is none. */
  get(scope: StateScope, key: string): Promise<ToolStateItem | null>;
  /** Sets a value. `ifVersion`: only if that is its version (0: only if there is none); `ttlMs`: it is gone after so long. Without a condition the last write wins. */
  set(scope: StateScope, key: string, value: unknown, options?: { readonly ifVersion?: number; readonly ttlMs?: number }): Promise<void>;
  /** Adds to a number, 1 by default; returns what it is, as far as this call knows. Others that add at the same time are all counted. */
  increment(scope: StateScope, key: string, by?: number): Promise<number>;
  /** Whether there was something to delete. */
  delete(scope: StateScope, key: string, options?: { readonly ifVersion?: number }): Promise<boolean>;
  /** Values whose keys begin with `prefix`, sorted, at most 100; `nextCursor` is the `cursor` of the next page. */
  list(scope: StateScope, query?: { readonly prefix?: string; readonly cursor?: string; readonly limit?: number }): Promise<{ readonly items: readonly ToolStateItem[]; readonly nextCursor: string | null }>;
  /** All values of all four scopes. */
  snapshot(): Promise<Readonly<Record<StateScope, Readonly<Record<string, JsonValue>>>>>;
}
