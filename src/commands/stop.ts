import { acceptStop, type StopReply } from '../core/accept/stop.ts';
import type { Refusal } from '../core/errors.ts';
import type { CommandHost, CommandOptions, CommandReply } from './command-host.ts';
import { asJson, compact, parseInput, stopInput, type StopInput } from './input.ts';
import { runCommand, wholeWork } from './run-command.ts';

/** Ends the running turn; when this resolves the turn is over (G9). Refusals: `invalid_request`, `session_not_found`, `revision_conflict`, `idempotency_mismatch`. Repeating it is harmless. */
export async function stop(host: CommandHost, sessionId: string, body: StopInput, options: CommandOptions): Promise<CommandReply<StopReply> | Refusal> {
  const parsed = parseInput(stopInput, body);
  if ('refused' in parsed) return parsed;
  return runCommand(host, { name: 'stop', sessionId, body: asJson(body), httpStatus: 200, accept: acceptStop(compact(parsed.input)), reads: wholeWork }, options);
}
