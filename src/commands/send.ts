import type { z } from 'zod';
import type { Agent } from '../agent/agent.ts';
import { isTransitionName } from '../agent/agent-node.ts';
import { acceptSend, type SendReply } from '../core/accept/send.ts';
import type { Accept } from '../core/accept/transition.ts';
import type { MessageContent } from '../core/entry.ts';
import { refuse, type Refusal } from '../core/errors.ts';
import type { Circumstances } from '../core/draft.ts';
import { circumstancesOf, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { messageKey } from './idempotency.ts';
import { asJson, compact, parseInput, sendInput, type messageInput, type SendInput } from './input.ts';
import { runCommand, wholeWork } from './run-command.ts';

/** Sends a user message. Refusals: `invalid_request`, `session_not_found`, `session_ended`, `session_archived`, `session_busy`, `queue_full`, `branches_full`, `model_not_allowed`, `client_tool_taken`, `revision_conflict`, `idempotency_mismatch`, `message_id_taken`. Safe to retry with the same key or message id. With `transaction` it is part of that, and of nothing when it is refused; it waits for whoever has the session locked. */
export async function send(host: CommandHost, sessionId: string, body: SendInput, options: CommandOptions): Promise<CommandReply<SendReply> | Refusal> {
  const parsed = parseInput(sendInput, body);
  if ('refused' in parsed) return parsed;
  const { whenBusy, ...given } = parsed.input;
  const circumstances = circumstancesOf(host);
  const message = messageContent(given, circumstances);
  return runCommand(host, {
    name: 'send', sessionId, body: asJson(body), httpStatus: 202, ...(whenBusy === 'interrupt' || whenBusy === 'replace' ? { reads: wholeWork } : {}),
    keys: given.messageId === undefined ? [] : [messageKey(given.messageId, asJson(body), 202, options.idempotencyKey === undefined)],
    accept: acceptMessage(host, message, whenBusy),
  }, options);
}

/** A message to a session, if its agent allows what the message asks for. */
export function acceptMessage(host: CommandHost, message: MessageContent, whenBusy: z.output<typeof sendInput>['whenBusy']): Accept<SendReply> {
  return (draft, now, loaded) => refuseContent(host.agents.get(draft.session.agent), message) ?? acceptSend({ message, whenBusy })(draft, now, loaded);
}

/** The content of a message as the log keeps it. */
export function messageContent({ text, parts, messageId, ...rest }: z.output<typeof messageInput>, { mintId }: Circumstances): MessageContent {
  return compact({
    ...rest,
    messageId: messageId ?? mintId('msg'),
    parts: parts?.map((part) => compact(part)) ?? [{ type: 'text', text: text ?? '' }],
  }) as MessageContent;
}

/** What a message may not ask for: a model that its agent does not offer, or tools of its own under names that are taken. */
export function refuseContent(agent: Agent | undefined, { model, clientTools }: { readonly model?: string | undefined; readonly clientTools?: readonly { readonly name: string }[] | undefined }): Refusal | null {
  return refuseModel(agent, model) ?? refuseClientTools(agent, clientTools?.map(({ name }) => name) ?? []);
}

/** A model has to be on the agent's list. An agent that this process does not know is checked by the worker that does. */
function refuseModel(agent: Agent | undefined, model: string | undefined): Refusal | null {
  if (agent === undefined || model === undefined || model in agent.models) return null;
  return refuse('model_not_allowed', `agent ${agent.name} does not offer the model ${JSON.stringify(model)}; it offers ${Object.keys(agent.models).join(', ') || 'no choice'}`, { model });
}

/** No name shadows another: the agent's tools, those that its MCP servers may have, and those that came before. */
function refuseClientTools(agent: Agent | undefined, names: readonly string[]): Refusal | null {
  for (const [place, name] of names.entries()) {
    const taken = (whose: string): Refusal => refuse('client_tool_taken', `a client tool cannot be called ${name}: ${whose}`, { name });
    if (names.indexOf(name) !== place) return taken('another one of the message has this name');
    if (agent?.tools.has(name) === true) return taken(`agent ${agent.name} has a tool of this name`);
    if (agent?.nodes && isTransitionName(agent.nodes, name)) return taken(`the transitions between the nodes of agent ${agent.name} are called go_to_…`);
    const server = [...(agent?.mcp.keys() ?? [])].find((each) => name.startsWith(`${each}__`));
    if (server !== undefined) return taken(`the tools of the MCP server ${server} are called ${server}__…`);
  }
  return null;
}
