import { acceptState, type StateReply } from '../core/accept/state.ts';
import type { Accept } from '../core/accept/transition.ts';
import { invariant, isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { canonicalJson, type JsonObject, type JsonValue } from '../core/json.ts';
import { refuseStateValue, type StateItem, type StateOperation, type StateScope } from '../core/state.ts';
import { StateWorld } from '../core/state-world.ts';
import { listStateItems, readStateItem, readStateKeys, snapshotBy, type StatePageQuery, type StateSnapshot } from '../store/state-reader.ts';
import type { SessionRef } from '../store/store.ts';
import type { CommandHost, CommandOptions, CommandReply } from './command-host.ts';
import { requestKey } from './idempotency.ts';
import { asJson, compact, parseInput, stateIncrementInput, stateSetInput, type StateIncrementInput, type StateSetInput } from './input.ts';
import { runCommand } from './run-command.ts';
import { findState, findStateOwner, placeOf, type FoundState, type StateTarget } from './state-target.ts';

/** A value, as it is shown. */
export interface StateView extends StateItem {
  readonly scope: StateScope;
  /** Whether it follows rewinding, restoring and forking: the conversation's state does, the others' does not. */
  readonly followsHistory: boolean;
}

export interface StateListing {
  readonly scope: StateScope;
  readonly followsHistory: boolean;
  readonly items: readonly StateView[];
  /** `cursor` of the next page; null at the end. */
  readonly nextCursor: string | null;
}

export interface StateDeleted {
  readonly scope: StateScope;
  /** How many values there were. */
  readonly deleted: number;
}

/** A write on a condition: the version that the caller has seen; 0: there is no value. */
export type StateCommandOptions = Omit<CommandOptions, 'expectedRevision'> & { readonly ifVersion?: number | undefined };

type Principal = Pick<CommandOptions, 'principal'>;

/** The value of a key. Refusals: those of {@link findState}, `state_not_found`. */
export async function getState(host: CommandHost, target: StateTarget, scope: string, key: string, { principal }: Principal): Promise<StateView | Refusal> {
  const found = await findState(host, target, scope, key, principal);
  if (isRefusal(found)) return found;
  const item = await readStateItem(host.store, found.place, found.key);
  return item === null ? notThere(found) : viewOf(found.scope, item);
}

/** A page of a scope's values. Refusals: those of {@link findState}. */
export async function listState(host: CommandHost, target: StateTarget, scope: string, query: StatePageQuery, { principal }: Principal): Promise<StateListing | Refusal> {
  const found = await findState(host, target, scope, null, principal);
  if (isRefusal(found)) return found;
  const { items, nextCursor } = await listStateItems(host.store, found.place, query);
  return { scope: found.scope, followsHistory: found.scope === 'conversation', items: items.map((item) => viewOf(found.scope, item)), nextCursor };
}

/** All values of all four scopes; of one that is off, or whose identity is not known, none. Refusals: those of {@link findStateOwner}. */
export async function snapshotState(host: CommandHost, target: StateTarget, { principal }: Principal): Promise<StateSnapshot | Refusal> {
  const owner = await findStateOwner(host, target, principal);
  if (isRefusal(owner)) return owner;
  const { session } = owner;
  return snapshotBy(async (scope) => {
    const found = placeOf(owner, target, scope, null, principal);
    return isRefusal(found) ? null : readStateKeys(host.store, found.place);
  }, session === null ? null : (session.externalId ?? session.id));
}

/**
 * Sets a value; without a condition the last write wins. A repetition is given the first reply, whatever became of the value since; what was redacted is not in it any more. Refusals: those of {@link findState}, `invalid_request`, `state_too_large`, `state_quota`, `state_version_conflict`, `session_ended`, `idempotency_mismatch`.
 * Safe to repeat with the same key, and without a condition at all times.
 */
export async function setState(host: CommandHost, target: StateTarget, scope: string, key: string, body: StateSetInput, options: StateCommandOptions): Promise<CommandReply<StateView> | Refusal> {
  const parsed = parseInput(stateSetInput, body);
  if ('refused' in parsed) return parsed;
  const { value, ...rest } = parsed.input;
  const wrong = refuseStateValue(asJson(value));
  if (wrong !== null) return wrong;
  return written(await change(host, target, scope, key, 'set', (name) => ({ op: 'set', key: name, value: asJson(value), ...compact({ ...rest, ifVersion: options.ifVersion }) }), options));
}

/** Adds to a number; what is not there counts as 0, and all that add at the same time are counted. Refusals: as {@link setState}; `invalid_request` where the value is no number. Safe to repeat with the same key. */
export async function incrementState(host: CommandHost, target: StateTarget, scope: string, key: string, body: StateIncrementInput, options: StateCommandOptions): Promise<CommandReply<StateView> | Refusal> {
  const parsed = parseInput(stateIncrementInput, body);
  if ('refused' in parsed) return parsed;
  return written(await change(host, target, scope, key, 'increment', (name) => ({ op: 'increment', key: name, by: parsed.input.by }), options));
}

/** Deletes a value. Refusals: those of {@link findState}, `state_not_found`, `state_version_conflict`, `session_ended`, `idempotency_mismatch`. */
export async function deleteState(host: CommandHost, target: StateTarget, scope: string, key: string, options: StateCommandOptions): Promise<CommandReply<StateDeleted> | Refusal> {
  return deletedOf(await change(host, target, scope, key, 'delete', (name) => ({ op: 'delete', key: name, ...compact({ ifVersion: options.ifVersion }) }), options));
}

/** Deletes all values of a scope. Refusals: those of {@link findState}, `session_ended`, `idempotency_mismatch`. Repeating it is harmless. */
export async function clearState(host: CommandHost, target: StateTarget, scope: string, options: StateCommandOptions): Promise<CommandReply<StateDeleted> | Refusal> {
  return deletedOf(await change(host, target, scope, null, 'clear', () => ({ op: 'clear' }), options));
}

/** What a write came to. */
interface Changed {
  readonly scope: StateScope;
  readonly item: StateItem | null;
  readonly changed: number;
}

async function change(host: CommandHost, target: StateTarget, scope: string, key: string | null, name: string, operationOn: (key: string) => StateOperation, options: StateCommandOptions): Promise<CommandReply<Changed> | Refusal> {
  const found = await findState(host, target, scope, key, options.principal);
  if (isRefusal(found)) return found;
  const operation = operationOn(found.key);
  // One key of a client names one request: the key of the state, and whose it is, are of what was asked for.
  const body: JsonObject = { scope, key, operation: operation as unknown as JsonValue };
  return found.session !== null && found.scope === 'conversation' ? inConversation(host, found, found.session.id, `state-${name}`, operation, body, options) : beside(host, found, `state-${name}`, operation, body, options);
}

/**
 * What is kept of a write for a repetition: not the value, which may be redacted, deleted or written over by then. In a conversation its entry has it; beside it a value that was set is in the request, and only a sum is kept.
 */
function toKeep<Reply extends Pick<Changed, 'item'>>(reply: Reply, isKept: boolean): JsonValue {
  return asJson(reply.item === null || isKept ? reply : { ...reply, item: { ...reply.item, value: null } });
}

async function inConversation(host: CommandHost, found: FoundState, sessionId: string, name: string, operation: StateOperation, body: JsonObject, { principal, idempotencyKey }: StateCommandOptions): Promise<CommandReply<Changed> | Refusal> {
  const writes = [{ ...operation, scopeText: '' }];
  const writing = acceptState(writes, { by: 'api', actor: { type: 'owner', id: principal.owner } });
  const accept: Accept<StateReply> = (...given) => {
    const reply = writing(...given);
    return isRefusal(reply) || reply.changed > 0 ? reply : (refuseNothing(found, operation) ?? reply);
  };
  const result = await runCommand(host, { name, sessionId, body, httpStatus: 200, accept, reads: { state: writes }, replyToStore: (reply) => toKeep(reply, false) }, { principal, idempotencyKey });
  if (isRefusal(result)) return result;
  const { item, changed } = result.reply;
  return { ...result, reply: { scope: found.scope, changed, item: item === null || !result.replayed ? item : { ...item, value: await valueAt(host, { tenant: principal.tenant, id: sessionId }, item.version) } } };
}

/** As the log has it now: what was redacted is gone. */
async function valueAt({ store }: CommandHost, ref: SessionRef, seq: number): Promise<JsonValue> {
  const [entry] = await store.state.readEntriesAt(ref, [seq]);
  return entry?.kind === 'state-changed' ? (entry.value ?? null) : null;
}

async function beside({ store, system }: CommandHost, found: FoundState, name: string, operation: StateOperation, body: JsonObject, { principal, idempotencyKey }: StateCommandOptions): Promise<CommandReply<Changed> | Refusal> {
  const { scope, place, scopeText } = found;
  const writes = [{ ...operation, scopeText }];
  const nowMs = system.clock.nowMs();
  const idempotency = idempotencyKey === undefined ? [] : [requestKey(idempotencyKey, principal.owner, `${name} ${scopeText}`, body, 200, nowMs)];
  const result = await store.state.changeIfCurrent<JsonValue>({
    tenant: place.kind === 'beside' ? place.scope.tenant : principal.tenant, writes, idempotency,
    transition: (loaded) => {
      const world = StateWorld.of(loaded, nowMs);
      const before = loaded.scopes.get(scopeText)?.items ?? new Map<string, StateItem>();
      const done = world.write({ ...operation, scopeText }, { by: 'api', actor: { type: 'owner', id: principal.owner } });
      if (isRefusal(done)) return done;
      const changed = operation.op === 'clear' || operation.op === 'delete' ? before.size : 1;
      const nothing = changed > 0 ? null : refuseNothing(found, operation);
      if (nothing !== null) return nothing;
      return { rows: world.changes(), reply: toKeep({ scope, item: done.item, changed }, operation.op === 'increment') };
    },
  });
  if (result.kind === 'refused') return result.refusal;
  const { item, ...reply } = result.reply as unknown as Changed;
  return { reply: { ...reply, item: item === null || operation.op !== 'set' ? item : { ...item, value: operation.value } }, httpStatus: 200, replayed: result.kind === 'replayed' };
}

function deletedOf(result: CommandReply<Changed> | Refusal): CommandReply<StateDeleted> | Refusal {
  return isRefusal(result) ? result : { ...result, reply: { scope: result.reply.scope, deleted: result.reply.changed } };
}

/** Before the commit: what is refused is not kept under the key of its request (G2). To clear what is empty is no fault. */
function refuseNothing(found: FoundState, { op }: StateOperation): Refusal | null {
  return op === 'delete' ? notThere(found) : null;
}

function written(result: CommandReply<Changed> | Refusal): CommandReply<StateView> | Refusal {
  if (isRefusal(result)) return result;
  const { scope, item } = result.reply;
  invariant(item !== null, 'a value that was written is there, whenever it expires');
  return { ...result, reply: viewOf(scope, item) };
}

function viewOf(scope: StateScope, item: StateItem): StateView {
  return { scope, ...item, followsHistory: scope === 'conversation' };
}

function notThere({ scope, key }: FoundState): Refusal {
  return refuse('state_not_found', `the scope ${scope} has no value under ${canonicalJson(key)}`, { key });
}
