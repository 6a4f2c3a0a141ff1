import type { Principal } from '../agent/tool.ts';
import { clearState, deleteState, getState, incrementState, listState, setState, snapshotState, type StateListing, type StateView } from '../commands/state.ts';
import type { StateTarget } from '../commands/state-target.ts';
import type { CommandHost } from '../commands/command-host.ts';
import { isRefusal, refuse, RefusedError } from '../core/errors.ts';
import type { JsonValue } from '../core/json.ts';
import type { StateSetInput } from '../commands/input.ts';
import type { StateScope } from '../core/state.ts';
import type { StatePageQuery, StateSnapshot } from '../store/state-reader.ts';
import { found, value } from './handle-host.ts';

/** Whose state it is: the agent, and where it is not the caller's own, of whom. */
export type StateIdentityOptions = Omit<StateTarget, 'sessionId'>;

export interface StateWriteOptions {
  /** Only if this is the value's version; 0: only if there is none. Refused with `state_version_conflict`. */
  readonly ifVersion?: number;
  readonly idempotencyKey?: string;
}

/**
 * State that an agent keeps between turns. All methods throw `RefusedError`: `invalid_request`, `session_not_found`, `agent_not_found`, `state_disabled`, `state_scope_unknown`, `state_scope_off`, `state_identity_missing`, `state_key_invalid`;
 * those that write also `state_not_json`, `state_too_large`, `state_quota`, `state_version_conflict`, `session_ended`, `idempotency_mismatch`. Writes are safe to repeat with the same `idempotencyKey`.
 */
export class StateHandle {
  readonly #commands: CommandHost;
  readonly #target: StateTarget;
  readonly #principal: Principal;

  constructor(commands: CommandHost, target: StateTarget, principal: Principal) {
    this.#commands = commands;
    this.#target = target;
    this.#principal = principal;
  }

  /** The value with its version; null: there is none. */
  async get(scope: StateScope, key: string): Promise<StateView | null> {
    const view = await getState(this.#commands, this.#target, scope, key, { principal: this.#principal });
    return isRefusal(view) && view.refused === 'state_not_found' ? null : found(view);
  }

  /** Sets a value, any JSON of at most 262,144 bytes. `ttlMs`: it is gone after so long. Without `ifVersion` the last write wins. */
  async set(scope: StateScope, key: string, given: JsonValue, { ttlMs, ...options }: StateWriteOptions & { readonly ttlMs?: number } = {}): Promise<StateView> {
    return value(await setState(this.#commands, this.#target, scope, key, { value: plain(given) as StateSetInput['value'], ttlMs }, { ...options, principal: this.#principal }));
  }

  /** Adds to a number; what is not there counts as 0. All that add at the same time are counted. */
  async increment(scope: StateScope, key: string, by = 1, options: Pick<StateWriteOptions, 'idempotencyKey'> = {}): Promise<StateView> {
    return value(await incrementState(this.#commands, this.#target, scope, key, { by }, { ...options, principal: this.#principal }));
  }

  /** Whether there was something to delete. */
  async delete(scope: StateScope, key: string, options: StateWriteOptions = {}): Promise<boolean> {
    const result = await deleteState(this.#commands, this.#target, scope, key, { ...options, principal: this.#principal });
    return isRefusal(result) && result.refused === 'state_not_found' ? false : value(result).deleted > 0;
  }

  /** Values whose keys begin with `prefix`, sorted, at most 100. */
  async list(scope: StateScope, query: StatePageQuery = {}): Promise<StateListing> {
    return found(await listState(this.#commands, this.#target, scope, query, { principal: this.#principal }));
  }

  /** Deletes all values of a scope; returns how many there were. */
  async clear(scope: StateScope, options: Pick<StateWriteOptions, 'idempotencyKey'> = {}): Promise<number> {
    return value(await clearState(this.#commands, this.#target, scope, { ...options, principal: this.#principal })).deleted;
  }

  /** All values of all four scopes, up to about 4 MB; of a scope that is off none. */
  async snapshot(): Promise<StateSnapshot> {
    return found(await snapshotState(this.#commands, this.#target, { principal: this.#principal }));
  }
}

/** As JSON has it. Throws `RefusedError` with code `state_not_json`. */
function plain(given: JsonValue): JsonValue {
  let text: string | undefined;
  try {
    text = JSON.stringify(given) as string | undefined;
  } catch (error) {
    throw new RefusedError(refuse('state_not_json', `the value is not JSON: ${error instanceof Error ? error.message : String(error)}`));
  }
  if (text === undefined) throw new RefusedError(refuse('state_not_json', 'the value is not JSON'));
  return JSON.parse(text) as JsonValue;
}
