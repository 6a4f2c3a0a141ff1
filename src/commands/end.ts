import { acceptEnd, type EndReply } from '../core/accept/end.ts';
import type { Refusal } from '../core/errors.ts';
import type { CommandHost, CommandOptions, CommandReply } from './command-host.ts';
import { asJson, compact, endInput, parseInput, type EndInput } from './input.ts';
import { runCommand, wholeWork } from './run-command.ts';

/** Closes a session for good. Refusals: `invalid_request`, `session_not_found`, `session_busy` (without `stop: true`), `revision_conflict`, `idempotency_mismatch`. Repeating it is harmless. */
export async function end(host: CommandHost, sessionId: string, body: EndInput, options: CommandOptions): Promise<CommandReply<EndReply> | Refusal> {
  const parsed = parseInput(endInput, body);
  if ('refused' in parsed) return parsed;
  return runCommand(host, { name: 'end', sessionId, body: asJson(body), httpStatus: 200, accept: acceptEnd(compact(parsed.input)), reads: wholeWork }, options);
}
