import { acceptSimulated, acceptSimulatedOutcome, type SimulatedMessage, type SimulatedOutcome } from '../core/accept/simulate.ts';
import type { SendReply } from '../core/accept/send.ts';
import type { Refusal } from '../core/errors.ts';
import type { CommandHost, CommandOptions, CommandReply } from './command-host.ts';
import { runCommand } from './run-command.ts';

/** Sends what a simulated user says, with the generation that said it. Refusals: `session_not_found`, `simulator_off`, `revision_conflict` (another one has), and those of `send` with `whenBusy: "reject"`. */
export async function sendSimulated(host: CommandHost, sessionId: string, message: SimulatedMessage, options: CommandOptions): Promise<CommandReply<SendReply> | Refusal> {
  return runCommand(host, { name: 'simulate', sessionId, body: null, httpStatus: 202, accept: acceptSimulated(message) }, options);
}

/** Records a generation of the simulated user that sent no message. Refusals: `session_not_found`. */
export async function recordSimulated(host: CommandHost, sessionId: string, simulatorId: string, outcome: SimulatedOutcome, options: CommandOptions): Promise<CommandReply<{ readonly revision: number }> | Refusal> {
  return runCommand(host, { name: 'simulate', sessionId, body: null, httpStatus: 200, accept: acceptSimulatedOutcome(simulatorId, outcome) }, options);
}
