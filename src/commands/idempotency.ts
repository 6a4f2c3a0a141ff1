import { createHash } from 'node:crypto';
import type { Entry } from '../core/entry.ts';
import { refuse } from '../core/errors.ts';
import { canonicalJson, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { isGivenMessageId } from './input.ts';
import type { Idempotency } from '../store/store.ts';

/** The key of a client's request: one effect per tenant, owner, command, target and key, for 24 hours (G2). */
export function requestKey(key: string, owner: string, command: string, body: JsonValue, httpStatus: number, nowMs: number): Idempotency {
  return {
    scope: canonicalJson(['request', owner, command, key]),
    fingerprint: fingerprint(body),
    httpStatus,
    expiresAtMs: nowMs + limits.idempotencyMs,
    replays: true,
    mismatch: refuse('idempotency_mismatch', `the Idempotency-Key ${JSON.stringify(key)} was used with another body; use a new key for a new request`),
  };
}

/** Of a request that creates a session, or finds the one that it would have created: the key is the tenant's, and outlives the session. */
export function createdKey(key: string, owner: string, command: string, body: JsonValue, httpStatus: number, nowMs: number): Idempotency {
  return { ...requestKey(key, owner, command, body, httpStatus, nowMs), ofTenant: true };
}

/** A client's message id: unique in its session for good. It works as a key where no other key is given. */
export function messageKey(messageId: string, body: JsonValue, httpStatus: number, replays: boolean): Idempotency {
  return {
    scope: canonicalJson(['message', messageId]),
    fingerprint: fingerprint(body),
    httpStatus,
    expiresAtMs: null,
    replays,
    mismatch: replays
      ? refuse('idempotency_mismatch', `the message id ${JSON.stringify(messageId)} was used with another body; use a new id for a new message`)
      : refuse('message_id_taken', `the message id ${JSON.stringify(messageId)} is used in this session; use a new id for a new message`),
  };
}

/** The ids of messages that stand in a log which was not written by sending them: they are taken in their session for good, and have no reply of their own. Ids that Holdfast gave are no client's, see {@link isGivenMessageId}. */
export function copiedMessageKeys(entries: readonly Entry[]): readonly { readonly idempotency: Idempotency; readonly reply: null }[] {
  const ids = entries.flatMap((entry) => ((entry.kind === 'user-message' || entry.kind === 'message-queued') && !isGivenMessageId(entry.messageId) ? [entry.messageId] : []));
  return [...new Set(ids)].map((messageId) => ({ idempotency: messageKey(messageId, null, 202, false), reply: null }));
}

/** SHA-256 of the canonical JSON, base64url: the same for bodies that mean the same. */
export function fingerprint(body: JsonValue): string {
  return createHash('sha256').update(canonicalJson(body)).digest('base64url');
}
