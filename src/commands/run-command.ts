import type { Principal } from '../agent/tool.ts';
import { acceptTransition, type Accept, type Accepted } from '../core/accept/transition.ts';
import { isRefusal, type Refusal } from '../core/errors.ts';
import type { JsonValue } from '../core/json.ts';
import { statusOf, type Session } from '../core/session.ts';
import type { Transition } from '../core/draft.ts';
import type { Idempotency, UpdateRequest, UpdateResult } from '../store/store.ts';
import { circumstancesOf, ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { requireTransaction } from './caller-transaction.ts';
import { requestKey } from './idempotency.ts';

export interface Command<Reply> {
  /** Name of the command, as idempotency keys are scoped by it. */
  readonly name: string;
  readonly sessionId: string;
  /** The body as the client sent it, for the fingerprint. */
  readonly body: JsonValue;
  readonly httpStatus: number;
  readonly accept: Accept<Reply>;
  /** What is kept of the reply for a repetition. Default: all of it. */
  readonly replyToStore?: (reply: Reply) => JsonValue;
  /** Keys besides the request's own. */
  readonly keys?: readonly Idempotency[];
  /** In place of the request's own key, which is that of its name and body. */
  readonly requestKeys?: readonly Idempotency[];
  /** Makes the reply whole, of the session as the command leaves it. */
  readonly replyWith?: (reply: Reply, session: Session) => Reply;
  /** What it looks at besides the session: what the attempt in flight has shown, how open calls have ended. */
  readonly reads?: NonNullable<UpdateRequest<Reply>['reads']>;
}

/** For {@link Command.reads}: all of what the work in flight has come to. */
export const wholeWork = { chunks: true, outcomes: true } as const;

/**
 * One command on one session: resolve, accept, one commit. Where the process has a worker with a free place, the claim of the work that
 * the command leaves is part of the same commit. In a caller's transaction nothing is claimed, and nobody told: it may yet be rolled back. Throws {@link requireTransaction}'s errors, and `StoreError`.
 */
export async function runCommand<Reply>(host: CommandHost, command: Command<Reply>, options: CommandOptions): Promise<CommandReply<Reply> | Refusal> {
  const { transaction } = options;
  requireTransaction(host.store, transaction);
  const slot = transaction === undefined ? (host.work?.reserve() ?? null) : null;
  const transition: Transition<Accepted<Reply>> = acceptTransition(command.accept, circumstancesOf(host), { expectedRevision: options.expectedRevision, slot: slot ?? undefined, readsOutcomes: command.reads?.outcomes });
  let result: UpdateResult<Accepted<Reply>>;
  try {
    // What it may lead to begins in the same commit, if the budgets are known then.
    if (slot !== null) await readBudgets(host, command.sessionId, options.principal);
    result = await host.store.update({
      key: { tenant: options.principal.tenant, id: command.sessionId, owner: ownerScope(options.principal) },
      idempotency: [...(command.requestKeys ?? requestKeys(host, command, options)), ...(command.keys ?? [])],
      reads: command.reads ?? {},
      transaction,
      transition: withSession(transition, command.replyWith),
      replyToStore: ({ reply }) => command.replyToStore?.(reply) ?? (reply as JsonValue),
    });
  } catch (error) {
    slot?.release();
    throw error;
  }
  if (result.kind !== 'committed') {
    slot?.release();
    return result.kind === 'refused' ? result.refusal : { reply: result.reply as Reply, httpStatus: result.httpStatus, replayed: true };
  }
  const { reply, claimed } = result.reply;
  if (transaction !== undefined) return { reply, httpStatus: command.httpStatus, replayed: false };
  host.committed(result.session, result.entries);
  afterCommit(host, result.session);
  if (claimed !== null && slot !== null) slot.begin(result.session, claimed, result.entries);
  else slot?.release();
  return { reply, httpStatus: command.httpStatus, replayed: false };
}

function withSession<Reply>(transition: Transition<Accepted<Reply>>, replyWith: Command<Reply>['replyWith']): Transition<Accepted<Reply>> {
  if (replyWith === undefined) return transition;
  return (loaded) => {
    const change = transition(loaded);
    return isRefusal(change) ? change : { ...change, reply: { ...change.reply, reply: replyWith(change.reply.reply, change.session) } };
  };
}

async function readBudgets({ budgets }: CommandHost, sessionId: string, principal: Principal): Promise<void> {
  const owner = ownerScope(principal);
  await (owner === undefined ? budgets?.readForSession({ tenant: principal.tenant, id: sessionId }) : budgets?.readFor({ tenant: principal.tenant, owner }));
}

function requestKeys(host: CommandHost, { name, body, httpStatus }: Pick<Command<unknown>, 'name' | 'body' | 'httpStatus'>, { idempotencyKey, principal }: CommandOptions): readonly Idempotency[] {
  return idempotencyKey === undefined ? [] : [requestKey(idempotencyKey, principal.owner, name, body, httpStatus, host.system.clock.nowMs())];
}

/** Hints to the worker of this process. */
export function afterCommit(host: CommandHost, session: Session): void {
  host.work?.sessionChanged(session);
  if (statusOf(session) === 'ready') host.work?.wake();
}

