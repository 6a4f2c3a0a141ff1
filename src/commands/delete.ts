import { deleteTransition, type DeleteReply } from '../core/accept/end.ts';
import { refuse, type Refusal } from '../core/errors.ts';
import { circumstancesOf, ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { requestKey } from './idempotency.ts';
import { asJson } from './input.ts';

/**
 * Removes everything of a session; a turn in flight lands nowhere. Refusals: `session_not_found` (also when it is deleted already, unless the same key deleted
 * it), `revision_conflict`, `idempotency_mismatch`. Safe to retry with the same key.
 */
export async function deleteSession(host: CommandHost, sessionId: string, { principal, expectedRevision, idempotencyKey }: CommandOptions): Promise<CommandReply<DeleteReply> | Refusal> {
  const { nowMs } = circumstancesOf(host);
  const remove = deleteTransition(nowMs);
  const result = await host.store.update({
    key: { tenant: principal.tenant, id: sessionId, owner: ownerScope(principal) },
    // The reply outlives the session, so the key is scoped by its id as it was named.
    idempotency: idempotencyKey === undefined ? [] : [requestKey(idempotencyKey, principal.owner, `delete ${sessionId}`, {}, 200, nowMs)],
    replyToStore: asJson,
    transition: (loaded) => {
      const { revision } = loaded.session;
      if (expectedRevision === undefined || expectedRevision === revision) return remove(loaded);
      return refuse('revision_conflict', `the session is at revision ${revision}, not ${expectedRevision}: read it again and decide anew`, { expected: expectedRevision, actual: revision });
    },
  });
  if (result.kind === 'refused') return result.refusal;
  if (result.kind === 'committed') {
    host.committed(result.session, []);
    host.work?.sessionChanged(result.session);
  }
  return { reply: { deleted: true }, httpStatus: 200, replayed: result.kind === 'replayed' };
}
