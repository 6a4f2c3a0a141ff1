import type { z } from 'zod';
import type { Agent } from '../agent/agent.ts';
import { acceptSend, type SendReply } from '../core/accept/send.ts';
import type { MessageContent } from '../core/entry.ts';
import { refuse, type Refusal } from '../core/errors.ts';
import type { Circumstances } from '../core/draft.ts';
import { circumstancesOf, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { messageKey } from './idempotency.ts';
import { asJson, compact, parseInput, sendInput, type messageInput, type SendInput } from './input.ts';
import { runCommand } from './run-command.ts';

/** Sends a user message. Refusals: `invalid_request`, `session_not_found`, `session_ended`, `session_archived`, `session_busy`, `queue_full`, `model_not_allowed`, `revision_conflict`, `idempotency_mismatch`, `message_id_taken`. Safe to retry with the same key or message id. */
export async function send(host: CommandHost, sessionId: string, body: SendInput, options: CommandOptions): Promise<CommandReply<SendReply> | Refusal> {
  const parsed = parseInput(sendInput, body);
  if ('refused' in parsed) return parsed;
  const { whenBusy, ...given } = parsed.input;
  const circumstances = circumstancesOf(host);
  const message = messageContent(given, circumstances);
  return runCommand(host, {
    name: 'send', sessionId, body: asJson(body), httpStatus: 202, readsWork: whenBusy === 'interrupt' || whenBusy === 'replace',
    keys: given.messageId === undefined ? [] : [messageKey(given.messageId, asJson(body), 202, options.idempotencyKey === undefined)],
    accept: (draft, now, loaded) => {
      const notAllowed = refuseModel(host.agents.get(draft.session.agent), message.model);
      return notAllowed ?? acceptSend({ message, whenBusy })(draft, now, loaded);
    },
  }, options);
}

/** The content of a message as the log keeps it. */
export function messageContent({ text, parts, messageId, ...rest }: z.output<typeof messageInput>, { mintId }: Circumstances): MessageContent {
  return compact({
    ...rest,
    messageId: messageId ?? mintId('msg'),
    parts: parts?.map((part) => compact(part)) ?? [{ type: 'text', text: text ?? '' }],
  }) as MessageContent;
}

/** A model has to be on the agent's list. An agent that this process does not know is checked by the worker that does. */
export function refuseModel(agent: Agent | undefined, model: string | undefined): Refusal | null {
  if (agent === undefined || model === undefined || model in agent.models) return null;
  return refuse('model_not_allowed', `agent ${agent.name} does not offer the model ${JSON.stringify(model)}; it offers ${Object.keys(agent.models).join(', ') || 'no choice'}`, { model });
}
