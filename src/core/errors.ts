import type { JsonObject } from './json.ts';

/**
 * Every code by which a request can be refused. Stable: clients may switch on it. `server/problem-table.ts` maps each
 * to its HTTP status, and `docs/errors/` has a page for each.
 */
export type RefusalCode =
  | 'invalid_request'
  | 'body_too_large'
  | 'unsupported_media_type'
  | 'forbidden_origin'
  | 'unauthenticated'
  | 'not_found'
  | 'method_not_allowed'
  | 'session_not_found'
  | 'turn_not_found'
  | 'message_not_found'
  | 'agent_not_found'
  | 'model_not_allowed'
  | 'session_busy'
  | 'session_ended'
  | 'session_archived'
  | 'external_id_taken'
  | 'message_id_taken'
  | 'revision_conflict'
  | 'idempotency_mismatch'
  | 'action_not_found'
  | 'action_decided'
  | 'action_expired'
  | 'action_withdrawn'
  | 'action_mismatch'
  | 'action_forbidden'
  | 'branch_not_found'
  | 'call_not_found'
  | 'operation_not_found'
  | 'client_tool_taken'
  | 'queue_full'
  | 'nothing_to_compact'
  | 'branches_full'
  | 'history_too_large'
  | 'nodes_not_used'
  | 'node_unknown'
  | 'node_not_allowed'
  | 'state_disabled'
  | 'state_scope_unknown'
  | 'state_scope_off'
  | 'state_identity_missing'
  | 'state_key_invalid'
  | 'state_too_large'
  | 'state_not_json'
  | 'state_quota'
  | 'state_version_conflict'
  | 'state_not_found'
  | 'too_many_streams'
  | 'bad_position'
  | 'simulator_off'
  | 'fence_lost'
  | 'not_claimable'
  | 'shutting_down';

/** A request that was understood and refused, with nothing changed. An expected outcome, so a value. */
export interface Refusal {
  readonly refused: RefusalCode;
  /** What was wrong, with which value, and what to do. */
  readonly message: string;
  readonly details?: JsonObject;
}

export function refuse(refused: RefusalCode, message: string, details?: JsonObject): Refusal {
  return details === undefined ? { refused, message } : { refused, message, details };
}

export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'refused' in value;
}

/** An operating error: something outside the engine does not work as it must. Its `code` is stable. */
export class HoldfastError extends Error {
  override readonly name: string = 'HoldfastError';
  readonly code: string;
  constructor(code: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** A refused call, as the library throws it: {@link Refusal} as an error. Retrying the same call gives the same answer until something changes. */
export class RefusedError extends HoldfastError {
  override readonly name = 'RefusedError';
  readonly details: JsonObject | undefined;
  constructor(refusal: Refusal) {
    super(refusal.refused, refusal.message);
    this.details = refusal.details;
  }
}

/** A broken invariant: a bug of ours. It is never caught to go on. */
export class InvariantError extends HoldfastError {
  override readonly name = 'InvariantError';
  constructor(message: string) {
    super('invariant_broken', message);
  }
}

export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}
