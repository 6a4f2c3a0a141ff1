import { acceptTransfer, type TransferReply } from '../core/accept/transfer.ts';
import { refuse, type Refusal } from '../core/errors.ts';
import { ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { asJson, parseInput, transferInput, type TransferInput } from './input.ts';
import { runCommand } from './run-command.ts';

/**
 * Gives a session to another owner, from guest to account: only the role `system` may. From then on it is the new owner's, with its operations. Refusals: `invalid_request` (also for others than the role
 * `system`), `session_not_found`, `external_id_taken` (the new owner has a session of the same external id), `revision_conflict`, `idempotency_mismatch`. Repeating it is harmless.
 */
export async function transferSession(host: CommandHost, sessionId: string, body: TransferInput, options: CommandOptions): Promise<CommandReply<TransferReply> | Refusal> {
  const parsed = parseInput(transferInput, body);
  if ('refused' in parsed) return parsed;
  const { owner } = parsed.input;
  if (ownerScope(options.principal) !== undefined) return refuse('invalid_request', 'only the role system may give a session to another owner', { owner });
  return runCommand(host, { name: 'transfer', sessionId, body: asJson(body), httpStatus: 200, accept: acceptTransfer(owner) }, options);
}
