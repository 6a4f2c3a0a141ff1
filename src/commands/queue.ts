import type { Accept } from '../core/accept/transition.ts';
import { acceptQueueDelete, acceptQueueEdit, acceptQueueHold, acceptQueuePromote, acceptQueueRelease, type QueueReply } from '../core/accept/queue.ts';
import type { Refusal } from '../core/errors.ts';
import type { JsonValue } from '../core/json.ts';
import { circumstancesOf, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { asJson, parseInput, queueEditInput, type QueueEditInput } from './input.ts';
import { runCommand } from './run-command.ts';
import { messageContent, refuseContent } from './send.ts';

type QueueResult = Promise<CommandReply<QueueReply> | Refusal>;

/** Changes a waiting message. Refusals of all queue commands: `session_not_found`, `message_not_found`, `revision_conflict`, `idempotency_mismatch`; here also `invalid_request`, `model_not_allowed`, `client_tool_taken`. */
export async function editQueued(host: CommandHost, sessionId: string, messageId: string, body: QueueEditInput, options: CommandOptions): QueueResult {
  const parsed = parseInput(queueEditInput, body);
  if ('refused' in parsed) return parsed;
  const { messageId: _same, ...content } = messageContent({ ...parsed.input, messageId }, circumstancesOf(host));
  const accept: Accept<QueueReply> = (draft, now, loaded) =>
    refuseContent(host.agents.get(draft.session.agent), parsed.input) ?? acceptQueueEdit(messageId, content)(draft, now, loaded);
  return run(host, 'queue-edit', sessionId, { messageId, body: asJson(body) }, accept, options);
}

/** Takes a waiting message out of the queue. */
export async function deleteQueued(host: CommandHost, sessionId: string, messageId: string, options: CommandOptions): QueueResult {
  return run(host, 'queue-delete', sessionId, { messageId }, acceptQueueDelete(messageId), options);
}

/** Moves a waiting message to the front. Repeating it is harmless. */
export async function promoteQueued(host: CommandHost, sessionId: string, messageId: string, options: CommandOptions): QueueResult {
  return run(host, 'queue-promote', sessionId, { messageId }, acceptQueuePromote(messageId), options);
}

/** Keeps waiting messages from starting. Repeating it is harmless. */
export async function holdQueue(host: CommandHost, sessionId: string, options: CommandOptions): QueueResult {
  return run(host, 'queue-hold', sessionId, {}, acceptQueueHold(), options);
}

/** Lets the queue go on, and starts its first message at rest. Refused also with `session_archived`. Repeating it is harmless. */
export async function releaseQueue(host: CommandHost, sessionId: string, options: CommandOptions): QueueResult {
  return run(host, 'queue-release', sessionId, {}, acceptQueueRelease(), options);
}

function run(host: CommandHost, name: string, sessionId: string, body: JsonValue, accept: Accept<QueueReply>, options: CommandOptions): QueueResult {
  return runCommand(host, { name, sessionId, body, httpStatus: 200, accept }, options);
}
