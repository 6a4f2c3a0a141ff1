import { deleteTransition, type DeleteReply } from '../core/accept/end.ts';
import { refuse, type Refusal } from '../core/errors.ts';
import { circumstancesOf, ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';

/** Removes everything of a session; a turn in flight lands nowhere. Refusals: `session_not_found` (also when it is deleted already), `revision_conflict`. */
export async function deleteSession(host: CommandHost, sessionId: string, { principal, expectedRevision }: CommandOptions): Promise<CommandReply<DeleteReply> | Refusal> {
  const remove = deleteTransition(circumstancesOf(host).nowMs);
  const result = await host.store.update({
    key: { tenant: principal.tenant, id: sessionId, owner: ownerScope(principal) },
    transition: (loaded) => {
      const { revision } = loaded.session;
      if (expectedRevision === undefined || expectedRevision === revision) return remove(loaded);
      return refuse('revision_conflict', `the session is at revision ${revision}, not ${expectedRevision}: read it again and decide anew`, { expected: expectedRevision, actual: revision });
    },
  });
  if (result.kind === 'refused') return result.refusal;
  if (result.kind === 'committed') host.work?.sessionChanged(result.session);
  return { reply: { deleted: true }, httpStatus: 200, replayed: false };
}
