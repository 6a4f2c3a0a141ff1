import { createSession, type CreateReply } from '../core/accept/create.ts';
import type { Accepted } from '../core/accept/transition.ts';
import type { Change } from '../core/draft.ts';
import type { MessageContent } from '../core/entry.ts';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import type { JsonValue } from '../core/json.ts';
import { type Session } from '../core/session.ts';
import type { CreateResult } from '../store/store.ts';
import { circumstancesOf, ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { requireTransaction } from './caller-transaction.ts';
import { createdKey, messageKey } from './idempotency.ts';
import { asJson, compact, createInput, parseInput, type CreateInput } from './input.ts';
import { afterCommit, runCommand } from './run-command.ts';
import { acceptMessage, messageContent, refuseContent, send } from './send.ts';
import { withoutContent, withPresentContent } from './session-reply.ts';

export interface CreatedSession extends CreateReply {
  /** False when a session with the same external id was there already. */
  readonly created: boolean;
  /** As of its creation, which a repetition with the same key is given as well, but for title, preview and metadata, which are as of now; one that was there already as of now. */
  readonly session: Session;
}

/**
 * Creates a session, with its first message if there is one, in one commit. The same external id with the same agent gives the session that is
 * there (200), and sends it the message if one came. Refusals: `invalid_request`, `agent_not_found`, `external_id_taken` (another agent has it), `model_not_allowed`, `client_tool_taken`,
 * `idempotency_mismatch`, and those of send. Safe to retry with the same key or external id. In a caller's transaction as {@link send} there; throws `StoreError` code `transaction_failed` when another one creates the same at
 * the same time.
 */
export async function create(host: CommandHost, body: CreateInput, options: CommandOptions): Promise<CommandReply<CreatedSession> | Refusal> {
  requireTransaction(host.store, options.transaction);
  const parsed = parseInput(createInput, body);
  if ('refused' in parsed) return parsed;
  const { message: given, owner = options.principal.owner, ...fields } = parsed.input;
  if (owner !== options.principal.owner && ownerScope(options.principal) !== undefined) {
    return refuse('invalid_request', 'owner: only the role system may create sessions for another owner', { owner });
  }
  const agent = host.agents.get(fields.agent);
  if (agent === undefined) return refuse('agent_not_found', `there is no agent ${JSON.stringify(fields.agent)}; there are ${[...host.agents.keys()].join(', ')}`, { agent: fields.agent });
  const notAllowed = given === undefined ? null : refuseContent(agent, given);
  if (notAllowed !== null) return notAllowed;
  const { principal: { tenant }, transaction } = options;
  const circumstances = circumstancesOf(host);
  const ref = { tenant, id: host.system.ids.mint('ses') };
  const message = given === undefined ? undefined : messageContent(given, circumstances);
  const slot = transaction === undefined ? (host.work?.reserve() ?? null) : null;
  let result: CreateResult<Accepted<CreatedSession>>;
  try {
    // Its first turn begins in the same commit, if the budgets are known then.
    if (slot !== null) await host.budgets?.readFor({ tenant, owner });
    result = await host.store.create({
      ref, owner, externalId: fields.externalId, transaction,
      idempotency: options.idempotencyKey === undefined ? [] : [createdKey(options.idempotencyKey, options.principal.owner, 'create', asJson(body), 201, circumstances.nowMs)],
      build: () => withSession(createSession(ref, compact({ ...fields, owner, greets: agent.greet, nodes: agent.rules.nodes, endAfterInactivityMs: agent.limits.endAfterInactivityMs, deleteAfterRestMs: agent.limits.deleteAfterRestMs, ...(message === undefined ? {} : { message }) }) as never, circumstances, { slot: slot ?? undefined })),
      replyToStore: ({ reply }) => asJson({ ...reply, session: withoutContent(reply.session) }),
      sessionReplies: ({ reply }) => (given?.messageId === undefined ? [] : [{ idempotency: messageKey(given.messageId, asJson(given), 202, true), reply: asJson(reply.turn) }]),
    });
  } catch (error) {
    slot?.release();
    throw error;
  }
  if (result.kind !== 'created') slot?.release();
  switch (result.kind) {
    case 'refused':
      return result.refusal;
    case 'replayed': {
      const first = result.reply as unknown as CreatedSession;
      return { reply: { ...first, session: await withPresentContent(host.store, first.session) }, httpStatus: result.httpStatus, replayed: true };
    }
    case 'exists':
      return existing(host, result.session, parsed.input, { message, body: asJson(body) }, options);
    case 'created': {
      const { reply, claimed } = result.reply;
      if (transaction !== undefined) return { reply, httpStatus: 201, replayed: false };
      host.committed(ref, result.entries);
      afterCommit(host, result.session);
      if (claimed !== null && slot !== null) slot.begin(result.session, claimed, result.entries);
      else slot?.release();
      return { reply, httpStatus: 201, replayed: false };
    }
  }
}

function withSession(change: Change<Accepted<CreateReply>> | Refusal): Change<Accepted<CreatedSession>> | Refusal {
  if (isRefusal(change)) return change;
  const { session, reply: { reply, claimed } } = change;
  return { ...change, reply: { claimed, reply: { ...reply, created: true, session } } };
}

interface Asked {
  readonly message: MessageContent | undefined;
  /** As it was sent. */
  readonly body: JsonValue;
}

async function existing(host: CommandHost, session: Session, input: { readonly agent: string; readonly externalId?: string | undefined; readonly message?: CreateInput['message'] }, asked: Asked, options: CommandOptions): Promise<CommandReply<CreatedSession> | Refusal> {
  if (session.agent !== input.agent) {
    return refuse('external_id_taken', `the external id ${JSON.stringify(input.externalId)} is that of a session with agent ${session.agent}`, { agent: session.agent });
  }
  if (options.idempotencyKey !== undefined) return existingByKey(host, session, input.message, asked, options.idempotencyKey, options);
  const found = { sessionId: session.id, created: false, session };
  if (input.message === undefined) return { reply: { ...found, revision: session.revision, turn: null }, httpStatus: 200, replayed: false };
  const sent = await send(host, session.id, input.message, options);
  if ('refused' in sent) return sent;
  // Outside its transaction, what was sent cannot be read yet.
  const now = options.transaction === undefined ? ((await host.store.readSession(session)) ?? session) : session;
  return { reply: { ...found, session: now, revision: sent.reply.revision, turn: sent.reply }, httpStatus: 200, replayed: sent.replayed };
}

/** What is found under a key is what the key stands for from then on, whatever becomes of the session (G2). */
async function existingByKey(host: CommandHost, { id }: Session, given: CreateInput['message'], { message, body }: Asked, key: string, options: CommandOptions): Promise<CommandReply<CreatedSession> | Refusal> {
  const sends = message === undefined ? null : acceptMessage(host, message, 'queue');
  const found = await runCommand<CreatedSession>(host, {
    name: 'create', sessionId: id, body, httpStatus: 200,
    requestKeys: [createdKey(key, options.principal.owner, 'create', body, 200, host.system.clock.nowMs())],
    keys: given?.messageId === undefined ? [] : [messageKey(given.messageId, asJson(given), 202, false)],
    accept: (draft, now, loaded) => {
      const turn = sends === null ? null : sends(draft, now, loaded);
      return isRefusal(turn) ? turn : { sessionId: id, created: false, session: draft.session, revision: turn?.revision ?? draft.session.revision, turn };
    },
    replyWith: (reply, session) => ({ ...reply, session }),
    replyToStore: (reply) => asJson({ ...reply, session: withoutContent(reply.session) }),
  }, options);
  if ('refused' in found || !found.replayed) return found;
  return { ...found, reply: { ...found.reply, session: await withPresentContent(host.store, found.reply.session) } };
}
