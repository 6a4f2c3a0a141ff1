import type { Change, Loaded } from '../../core/draft.ts';
import type { Entry } from '../../core/entry.ts';
import { isRefusal, refuse } from '../../core/errors.ts';
import type { Session } from '../../core/session.ts';
import type { StateWrite } from '../../core/state.ts';
import type { UpdateRequest, UpdateResult } from '../store.ts';
import type { ReplyToKeep } from './change-writer.ts';
import type { KnownSession } from './known-sessions.ts';
import type { LoadedRows } from './session-rows.ts';
import { replayOf } from './stored-replies.ts';

/** A change that was made of what was read, ready to be written. */
export interface Planned<Reply> {
  readonly kind: 'planned';
  readonly before: KnownSession;
  readonly change: Change<Reply>;
  readonly replies: readonly ReplyToKeep[];
}

export const nothingBeside: Omit<Loaded, 'session' | 'outcomes'> = { chunks: [], keyedOperations: [] };

/** What a request comes to, given what was read: a change to write, or an answer. */
export function plan<Reply>({ key, idempotency = [], transition, reads, replyToStore }: UpdateRequest<Reply>, { known, replies }: LoadedRows, beside: Omit<Loaded, 'session' | 'outcomes'>): UpdateResult<Reply> | Planned<Reply> {
  if (known === null) {
    // The reply of a deletion outlives its session.
    const deleted = replayOf(replies, '', idempotency);
    if (deleted?.kind === 'replayed') return deleted;
    return { kind: 'refused', refusal: deleted?.refusal ?? refuse('session_not_found', `there is no session ${key.id}`), session: null };
  }
  const { session } = known;
  // The key is looked at before the revision and the status (G2).
  const replayed = replayOf(replies, session.id, idempotency);
  if (replayed !== null) return replayed.kind === 'refused' ? { ...replayed, session } : replayed;
  const change = transition({ session, outcomes: reads?.outcomes === true ? known.outcomes : [], ...beside });
  if (isRefusal(change)) return { kind: 'refused', refusal: change, session };
  const reply = idempotency.length === 0 ? null : (replyToStore?.(change.reply) ?? null);
  return { kind: 'planned', before: known, change, replies: idempotency.map((each) => ({ key: each, reply, sessionId: change.deletesSession || each.ofTenant === true ? '' : session.id })) };
}

export function committed<Reply>({ change }: Planned<Reply>, entries: readonly Entry[]): UpdateResult<Reply> {
  return { kind: 'committed', reply: change.reply, session: change.session, entries };
}

export function notPlanned<Reply>(result: UpdateResult<Reply> | Planned<Reply>): UpdateResult<Reply> {
  return result.kind === 'planned' ? committed(result, []) : result;
}

/**
 * Whether a change has to see rows that others may be writing beside the session just now. Live output is written under the fence: where the fence stays, whoever drops it has written it himself and waited; where it is raised, a last
 * piece may be on its way.
 */
export function needsLock<Reply>(before: Session, { session, dropsChunks, cancels = [], redacts = [], stateRows = [], deletesSession }: Change<Reply>): boolean {
  return deletesSession || stateRows.length > 0 || cancels.length > 0 || session.owner !== before.owner || redacts.length > 0 || (dropsChunks && session.fence !== before.fence);
}

/** What others write beside the row, and what is read in more than one look, is read under the lock. */
export function looksBeside<Reply>({ reads = {} }: UpdateRequest<Reply>): boolean {
  return reads.chunks === true || reads.marks === true || reads.branchId !== undefined || reads.entries !== undefined;
}

/** The owner that a change gives the session to, by the external id that it must not have a session of yet; null: the change asks for nothing like it. */
export function newOwnersKey<Reply>({ before: { session: before }, change: { session: { tenant, externalId, owner }, deletesSession } }: Planned<Reply>): { readonly tenant: string; readonly externalId: string; readonly owner: string } | null {
  return before.owner === owner || externalId === null || deletesSession ? null : { tenant, externalId, owner };
}

/** State is written of what is read of it under the lock: what a request asks for, and what stored outcomes have to be written. */
export function stateWritesOf<Reply>({ reads = {} }: UpdateRequest<Reply>, known: KnownSession | null): readonly StateWrite[] {
  const stored = reads.outcomes === true ? (known?.outcomes ?? []) : [];
  return [...(reads.state ?? []), ...stored.flatMap(({ stateWrites }) => stateWrites?.writes ?? [])];
}

export function scopesOf<Reply>({ idempotency = [] }: UpdateRequest<Reply>): readonly string[] {
  return idempotency.map(({ scope }) => scope);
}
