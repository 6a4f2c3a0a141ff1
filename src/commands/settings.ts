import { acceptSettings, type SettingsReply } from '../core/accept/settings.ts';
import type { Refusal } from '../core/errors.ts';
import type { CommandHost, CommandOptions, CommandReply } from './command-host.ts';
import { asJson, compact, parseInput, settingsInput, type SettingsInput } from './input.ts';
import { runCommand } from './run-command.ts';

/** Sets title, metadata, archive and who plays the user. It never refuses anybody's decision: the revision stays. Refusals: `invalid_request`, `session_not_found`, `revision_conflict`, `idempotency_mismatch`. Repeating it is harmless. */
export async function changeSettings(host: CommandHost, sessionId: string, body: SettingsInput, options: CommandOptions): Promise<CommandReply<SettingsReply> | Refusal> {
  const parsed = parseInput(settingsInput, body);
  if ('refused' in parsed) return parsed;
  return runCommand(host, { name: 'settings', sessionId, body: asJson(body), httpStatus: 200, accept: acceptSettings(compact(parsed.input)) }, options);
}
