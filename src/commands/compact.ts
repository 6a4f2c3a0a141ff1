import { acceptCompact, type CompactReply } from '../core/accept/compact.ts';
import type { Refusal } from '../core/errors.ts';
import { historyMarks, summariesOf } from '../core/history.ts';
import { ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { asJson, compact as compacted, compactInput, parseInput, type CompactInput } from './input.ts';
import { runCommand } from './run-command.ts';

/**
 * Has a summary written in place of the history as the model sees it; people see everything as before. A turn of its own, which ends when the summary is there. Refusals: `invalid_request`, `session_not_found`,
 * `session_ended`, `session_archived`, `session_busy`, `nothing_to_compact`, `revision_conflict`, `idempotency_mismatch`. Safe to retry with the same key.
 */
export async function compactHistory(host: CommandHost, sessionId: string, body: CompactInput, options: CommandOptions): Promise<CommandReply<CompactReply> | Refusal> {
  const parsed = parseInput(compactInput, body);
  if ('refused' in parsed) return parsed;
  const removed = await removedSummaries(host, sessionId, options);
  return runCommand(host, { name: 'compact', sessionId, body: asJson(body), httpStatus: 202, reads: { marks: true }, accept: acceptCompact({ ...compacted(parsed.input), removed }) }, options);
}

/** Summaries of the session whose content has been removed. Where the last one stands, or nothing was ever removed, it does not matter. */
async function removedSummaries({ store }: CommandHost, id: string, { principal }: CommandOptions): Promise<readonly number[]> {
  const session = await store.readSession({ tenant: principal.tenant, id, owner: ownerScope(principal) });
  if (session === null || session.compactedSeq !== null || session.redactions === 0) return [];
  const summaries = await store.state.readEntriesAt(session, summariesOf(await store.state.readMarks(session, historyMarks), 0));
  return summaries.flatMap(({ seq, redacted }) => (redacted === undefined ? [] : [seq]));
}
