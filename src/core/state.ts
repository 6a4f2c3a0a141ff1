import type { Binding, Identity } from './identity.ts';
import { refuse, type Refusal } from './errors.ts';
import { canonicalJson, utf8Bytes, wellFormedText, type JsonObject, type JsonValue } from './json.ts';
import { limits } from './limits.ts';
import type { StateChanged } from './state-entry.ts';

/** Where a value belongs. `conversation` is the session's own history; the others are kept beside all sessions. */
export const stateScopes = ['conversation', 'actor', 'subject', 'agent'] as const;
export type StateScope = (typeof stateScopes)[number];

/** Who wrote a value, and when. */
export interface StateProvenance {
  readonly by: 'tool' | 'api';
  readonly turnId?: string;
  readonly callKey?: string;
  readonly actor?: Identity;
  readonly atMs: number;
}

export interface StateItem {
  readonly key: string;
  readonly value: JsonValue;
  /** Never used twice in its scope. Of the conversation it is the seq of its entry. */
  readonly version: number;
  /** By the store's clock; from then on there is no such value. null: it stays. */
  readonly expiresAtMs: number | null;
  readonly provenance: StateProvenance;
}

export type StateOperation =
  /** `ifVersion`: only if that is the value's version; 0: only if there is none. */
  | { readonly op: 'set'; readonly key: string; readonly value: JsonValue; readonly ifVersion?: number; readonly ttlMs?: number }
  /** Adds to a number; what is not there counts as 0. */
  | { readonly op: 'increment'; readonly key: string; readonly by: number }
  | { readonly op: 'delete'; readonly key: string; readonly ifVersion?: number }
  | { readonly op: 'clear' };

/** One write, and the scope it goes to. `scopeText` names it ({@link scopeText}); '' is the session's own conversation. */
export type StateWrite = StateOperation & { readonly scopeText: string };

/** What a scope is bound to, beside its tenant. */
export interface StateIdentity {
  readonly agent: string;
  readonly owner: string;
  readonly actor: Identity;
  readonly subject: Identity | null;
  readonly binding: Partial<Binding> | null;
}

/**
 * The name of a scope beside sessions: canonical JSON of what it is bound to, so that no text in a part of it can look like another part. The actor's is its owner's alone; the subject's and the
 * agent's are shared. null: the identity that it needs is not known.
 */
export function scopeText(scope: Exclude<StateScope, 'conversation'>, { agent, owner, actor, subject, binding }: StateIdentity): string | null {
  if (scope === 'subject' && subject === null) return null;
  const named: JsonObject = scope === 'actor' ? { owner, actor: { type: actor.type, id: actor.id } } : scope === 'subject' && subject !== null ? { subject: { type: subject.type, id: subject.id } } : {};
  return canonicalJson({ scope, agent, ...named, binding: binding?.id, bot: binding?.botId, workspace: binding?.workspaceId });
}

/** Which scopes an agent has, and what its old keys are called now. null: it has no state. */
export interface StatePolicy {
  readonly scopes: ReadonlySet<StateScope>;
  readonly aliases: ReadonlyMap<string, string>;
}

export function isStateScope(scope: string): scope is StateScope {
  return (stateScopes as readonly string[]).includes(scope);
}

/** Whether the agent has this scope. Refusals: `state_disabled`, `state_scope_unknown`, `state_scope_off`. */
export function refuseScope(policy: StatePolicy | null, scope: string): Refusal | null {
  if (policy === null) return refuse('state_disabled', 'the agent has no state: its definition says state: false');
  if (!isStateScope(scope)) return refuse('state_scope_unknown', `there is no scope ${JSON.stringify(scope.slice(0, 100).toWellFormed())}; the scopes are ${stateScopes.join(', ')}`);
  return policy.scopes.has(scope) ? null : refuse('state_scope_off', `the scope ${scope} is off: the agent has ${[...policy.scopes].join(', ')}`, { scope });
}

/** 1 to 255 characters, whatever they are; an emoji is one. Refusal: `state_key_invalid`. */
export function refuseKey(key: string): Refusal | null {
  const bad = (what: string): Refusal => refuse('state_key_invalid', `the key ${what}; it has 1 to ${limits.stateKeyCharsMax} characters`);
  if (key === '') return bad('is empty');
  if (wellFormedText(key) !== key) return bad('has a NUL or a lone surrogate, which no store keeps');
  // A pair of UTF-16 units is one character.
  return key.replaceAll(/[\uD800-\uDBFF][\uDC00-\uDFFF]/g, '.').length > limits.stateKeyCharsMax ? bad('is too long') : null;
}

/** At most 262,144 bytes as JSON in UTF-8. Refusals: `state_too_large`, `state_not_json`. */
export function refuseStateValue(value: JsonValue): Refusal | null {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) return refuse('state_not_json', 'the value is not JSON');
  const bytes = utf8Bytes(text);
  return bytes <= limits.stateValueBytesMax ? null : refuse('state_too_large', `the value has ${bytes} bytes as JSON; at most ${limits.stateValueBytesMax} are kept`, { bytes, maxBytes: limits.stateValueBytesMax });
}

/** A value of the conversation's own state, from its entry. null: it was deleted, or its time is over. */
export function itemOf({ seq, atMs, key, value, deleted, expiresAtMs: expires, by, turnId, callKey, actor }: StateChanged & { readonly seq: number; readonly atMs: number }, nowMs: number): StateItem | null {
  const expiresAtMs = expires ?? null;
  if (deleted === true || isExpired(expiresAtMs, nowMs)) return null;
  const provenance = { by, ...(turnId === undefined ? {} : { turnId }), ...(callKey === undefined ? {} : { callKey }), ...(actor === undefined ? {} : { actor }), atMs };
  return { key, value: value ?? null, version: seq, expiresAtMs, provenance };
}

export function isExpired(expiresAtMs: number | null, nowMs: number): boolean {
  return expiresAtMs !== null && expiresAtMs <= nowMs;
}
