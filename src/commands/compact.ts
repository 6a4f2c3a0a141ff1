import { acceptCompact, type CompactReply } from '../core/accept/compact.ts';
import type { Refusal } from '../core/errors.ts';
import type { CommandHost, CommandOptions, CommandReply } from './command-host.ts';
import { asJson, compact as compacted, compactInput, parseInput, type CompactInput } from './input.ts';
import { runCommand } from './run-command.ts';

/**
 * Has a summary written in place of the history as the model sees it; people see everything as before. A turn of its own, which ends when the summary is there. Refusals: `invalid_request`, `session_not_found`,
 * `session_ended`, `session_archived`, `session_busy`, `nothing_to_compact`, `revision_conflict`, `idempotency_mismatch`. Safe to retry with the same key.
 */
export async function compactHistory(host: CommandHost, sessionId: string, body: CompactInput, options: CommandOptions): Promise<CommandReply<CompactReply> | Refusal> {
  const parsed = parseInput(compactInput, body);
  if ('refused' in parsed) return parsed;
  return runCommand(host, { name: 'compact', sessionId, body: asJson(body), httpStatus: 202, reads: { marks: true }, accept: acceptCompact(compacted(parsed.input)) }, options);
}
