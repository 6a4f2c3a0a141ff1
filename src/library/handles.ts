import type { ActionAnswer } from '../core/action.ts';
import type { SendReply } from '../core/accept/send.ts';
import type { StopReply } from '../core/accept/stop.ts';
import type { MoveOptions } from '../core/accept/move.ts';
import type { EndReply } from '../core/accept/end.ts';
import type { EnterNodeReply } from '../core/accept/node.ts';
import type { QueueReply } from '../core/accept/queue.ts';
import type { ResolveReply } from '../core/accept/resolve.ts';
import type { Principal } from '../agent/tool.ts';
import { isRefusal, refuse, RefusedError, type Refusal } from '../core/errors.ts';
import type { Entry } from '../core/entry.ts';
import type { FeedEvent } from '../core/feed-event.ts';
import type { JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { OperationStatus } from '../core/operation.ts';
import type { Session } from '../core/session.ts';
import type { CommandOptions, CommandReply } from '../commands/command-host.ts';
import { deleteSession } from '../commands/delete.ts';
import { readEffects, rerunToolsOf, type EffectPage } from '../commands/effects.ts';
import { compactHistory } from '../commands/compact.ts';
import { end } from '../commands/end.ts';
import { fork } from '../commands/fork.ts';
import { edit, redo, restoreBranch, retry, rewind, type EditedReply, type MovedReply } from '../commands/history.ts';
import { compact, type AnswerInput, type CompactInput, type DecisionsInput, type EditInput, type EndInput, type EnterNodeInput, type ForkInput, type QueueEditInput, type RetryInput, type SendInput, type SettingsInput, type StopInput } from '../commands/input.ts';
import { enterNode } from '../commands/node.ts';
import { listOperations, type OperationViewPage } from '../commands/operations.ts';
import { deleteQueued, editQueued, holdQueue, promoteQueued, releaseQueue } from '../commands/queue.ts';
import { redact } from '../commands/redact.ts';
import { resolveAction, resolveActions } from '../commands/resolve.ts';
import { send } from '../commands/send.ts';
import { changeSettings } from '../commands/settings.ts';
import { stop } from '../commands/stop.ts';
import { transferSession } from '../commands/transfer.ts';
import { readActions, type ActionView } from '../feed/action-view.ts';
import { readQueue, type QueuedMessageView } from '../feed/queue-view.ts';
import { sessionView, type SessionView } from '../feed/session-view.ts';
import { readTranscript, type TranscriptPage } from '../feed/transcript-page.ts';
import { readSessionUsage, type SessionUsage } from '../feed/usage-view.ts';
import { readWholeResult } from '../feed/whole-result.ts';
import type { BranchPage, EntryRange, SessionRef } from '../store/store.ts';
import { found, shuttingDown, value, type CallOptions, type HandleHost, type SendOptions } from './handle-host.ts';
import { returning } from './returning.ts';
import { StateHandle } from './state-handle.ts';
import { TurnHandle } from './turn-handle.ts';

/** An answer to one of several actions. With `inputHash`, it is refused if the action is about another input. */
export type Decision = ActionAnswer & { readonly actionId: string; readonly inputHash?: string };

/** A session, as the library's users hold it. It keeps no copy of anything: every call reads or commits. */
export class SessionHandle {
  readonly id: string;
  readonly #host: HandleHost;
  readonly #ref: SessionRef;
  readonly #principal: Principal;

  constructor(host: HandleHost, ref: SessionRef, principal: Principal) {
    this.id = ref.id;
    this.#host = host;
    this.#ref = ref;
    this.#principal = principal;
  }

  /**
   * Sends a user message; resolves when it is committed, and with `transaction` when it is part of that. Throws `RefusedError`, its `code` one of those of `send` (see docs/errors). Safe to repeat with the
   * same `idempotencyKey` or `messageId`.
   */
  async send(message: string | SendInput, options: SendOptions = {}): Promise<TurnHandle> {
    const body = typeof message === 'string' ? { text: message } : message;
    const sent = value(await send(this.#host.commands, this.id, body, this.#options(options)));
    return new TurnHandle(this.#host, this.#ref, sent, { isAnnounced: options.transaction === undefined });
  }

  /**
   * Sends a user message that joins the running turn before its next generation; while the turn needs an action, once that is decided. If the turn ends first, the message opens
   * its own turn, before all that wait. At rest it opens one at once. As {@link send} with `whenBusy: 'steer'`.
   */
  async steer(message: string | Omit<SendInput, 'whenBusy'>, options: SendOptions = {}): Promise<TurnHandle> {
    const body = typeof message === 'string' ? { text: message } : message;
    return this.send({ ...body, whenBusy: 'steer' }, options);
  }

  /** A handle of a turn that exists or waits in the queue. */
  turn(turn: Pick<SendReply, 'turnId'> & Partial<SendReply>): TurnHandle {
    return new TurnHandle(this.#host, this.#ref, turn);
  }

  /**
   * Ends the running turn: when this resolves it is over. Its open actions are withdrawn, and the operations that it waits for are cancelled unless `keepOperations`. Repeating
   * it is harmless. Throws `RefusedError`: `invalid_request`, `session_not_found`, `revision_conflict`, `idempotency_mismatch`.
   */
  async stop(body: StopInput = {}, options: CallOptions = {}): Promise<StopReply> {
    return value(await stop(this.#host.commands, this.id, body, this.#options(options)));
  }

  /**
   * Shortens the visible history to a turn; null: to before the first. {@link redo} brings back what was cut off until the conversation goes on; then it is a branch. The reply lists what calls of the turns that were
   * left did outside, which nothing undoes. Throws `RefusedError`: `invalid_request`, `session_not_found`, `session_ended`, `session_busy` (unless `stop`), `turn_not_found`, `branches_full`,
   * `revision_conflict`, `idempotency_mismatch`. Repeating it is harmless.
   */
  async rewind(turnId: string | null, { stop, keepOperations, ...options }: CallOptions & MoveOptions = {}): Promise<MovedReply> {
    return value(await rewind(this.#host.commands, this.id, { turnId, stop, keepOperations }, this.#options(options)));
  }

  /** Brings back what rewinding cut off. Where there is nothing to bring back, nothing changes. Throws as {@link rewind}. */
  async redo(options: CallOptions = {}): Promise<MovedReply> {
    return value(await redo(this.#host.commands, this.id, this.#options(options)));
  }

  /** Says something in place of a turn's message; the turn and all after it become a branch. One commit. Throws as {@link rewind} and {@link send}. Safe to repeat with the same `idempotencyKey` or `messageId`. */
  async edit(turnId: string, message: string | Omit<EditInput, 'turnId'>, options: CallOptions = {}): Promise<TurnHandle & { readonly left: MovedReply }> {
    const body = typeof message === 'string' ? { text: message } : message;
    return this.#edited(await edit(this.#host.commands, this.id, { ...body, turnId }, this.#options(options)));
  }

  /** Says a turn's message again, the last one's by default; what came of it becomes a branch. Throws as {@link rewind}. Safe to repeat with the same `idempotencyKey`. */
  async retry(body: RetryInput = {}, options: CallOptions = {}): Promise<TurnHandle & { readonly left: MovedReply }> {
    return this.#edited(await retry(this.#host.commands, this.id, body, this.#options(options)));
  }

  #edited(result: CommandReply<EditedReply> | Refusal): TurnHandle & { readonly left: MovedReply } {
    const { turns, effects, moreEffects, ...sent } = value(result);
    return Object.assign(this.turn(sent), { left: { revision: sent.revision, turns, effects, moreEffects } });
  }

  /**
   * Has a summary written in place of the history as the model sees it; people see everything as before. At rest only: a turn of its own, which ends when the summary is there. `instructions`: what it is to keep, or to leave
   * out. Throws `RefusedError`: `invalid_request`, `session_not_found`, `session_ended`, `session_archived`, `session_busy`, `nothing_to_compact`, `revision_conflict`, `idempotency_mismatch`. Safe to repeat with the same `idempotencyKey`.
   */
  async compact(body: CompactInput = {}, options: CallOptions = {}): Promise<TurnHandle> {
    const { turnId, revision } = value(await compactHistory(this.#host.commands, this.id, body, this.#options(options)));
    return this.turn({ turnId, revision });
  }

  /** Copies the visible history up to a turn (default: all of it; null: none) into a new session. Throws `RefusedError`: `invalid_request`, `session_not_found`, `turn_not_found`, `external_id_taken`, `history_too_large`, `session_busy` (redacted all the time), `idempotency_mismatch`. */
  async fork(body: ForkInput = {}, options: CallOptions = {}): Promise<SessionHandle> {
    const { sessionId } = value(await fork(this.#host.commands, this.id, body, this.#options(options)));
    return new SessionHandle(this.#host, { tenant: this.#ref.tenant, id: sessionId }, this.#principal);
  }

  /** The discarded futures, and what can be done with them. Throws `RefusedError`: `session_not_found`; `restore` also `branch_not_found`, and as {@link rewind}. */
  get branches() {
    const { commands } = this.#host;
    return {
      /** The latest first; `limit` at most 100, default 50. */
      list: async (page: { readonly before?: string; readonly limit?: number } = {}): Promise<BranchPage> =>
        commands.store.listBranches(await this.#session(), { ...page, limit: Math.min(page.limit ?? limits.pageItemsDefault, limits.pageItemsMax) }),
      /** Makes a branch the present history again; what is visible in its place becomes a branch. */
      restore: async (branchId: string, { stop, keepOperations, ...options }: CallOptions & MoveOptions = {}): Promise<MovedReply> =>
        value(await restoreBranch(commands, this.id, branchId, { stop, keepOperations }, this.#options(options))),
    };
  }

  /** What calls of turns that are not visible any more did outside, or may have done: the latest first. A page may be empty and have a next one. */
  async effects(page: { readonly before?: number; readonly limit?: number } = {}): Promise<EffectPage> {
    const session = await this.#session();
    const { store, agents } = this.#host.commands;
    return readEffects(store, session, rerunToolsOf(agents.get(session.agent)?.rules), { ...page, limit: Math.min(page.limit ?? limits.pageItemsDefault, limits.pageItemsMax) });
  }

  /**
   * Enters a node of the conversation, where a transition leads there from the present one: at rest with its greeting, if it has one and was not entered before, said in `turn`; while a turn runs from the next generation on. `force` enters it all the same. Throws `RefusedError`: `invalid_request`, `session_not_found`, `session_ended`,
   * `session_archived`, `agent_not_found`, `nodes_not_used`, `node_unknown`, `node_not_allowed`, `revision_conflict`, `idempotency_mismatch`. Entering the present node changes nothing.
   */
  async enterNode(node: string, { reason, force, ...options }: CallOptions & Pick<EnterNodeInput, 'reason' | 'force'> = {}): Promise<EnterNodeReply & { readonly turn: TurnHandle | null }> {
    const reply = value(await enterNode(this.#host.commands, this.id, compact({ node, reason, force }), this.#options(options)));
    return { ...reply, turn: reply.turnId === null ? null : this.turn({ turnId: reply.turnId }) };
  }

  /** What the agent keeps between turns: of this conversation, and of its actor, its subject and the agent. */
  get state(): StateHandle {
    return new StateHandle(this.#host.commands, { sessionId: this.id }, this.#principal);
  }

  /** Closes the session for good. Repeating it is harmless. */
  async end(body: EndInput = {}, options: CallOptions = {}): Promise<EndReply> {
    return value(await end(this.#host.commands, this.id, body, this.#options(options)));
  }

  /** Sets title, metadata, archived, and the simulated user. */
  async update(body: SettingsInput, options: CallOptions = {}): Promise<void> {
    value(await changeSettings(this.#host.commands, this.id, body, this.#options(options)));
  }

  /**
   * Removes the content of an entry for good, and of those that hold the same. What is left says that something was there, and who removed it. Throws `RefusedError`: `invalid_request`, `session_not_found`,
   * `session_busy` (it belongs to a turn that runs or waits), `revision_conflict`, `idempotency_mismatch`. Repeating it is harmless.
   */
  async redact(seq: number, options: CallOptions = {}): Promise<void> {
    value(await redact(this.#host.commands, this.id, { seq }, this.#options(options)));
  }

  /** Gives the session to another owner, with its operations: from guest to account. Throws `RefusedError`: `invalid_request`, `session_not_found`, `external_id_taken`, `revision_conflict`, `idempotency_mismatch`. Repeating it is harmless. */
  async transfer(owner: string, options: CallOptions = {}): Promise<void> {
    value(await transferSession(this.#host.commands, this.id, { owner }, this.#options(options)));
  }

  /** Removes everything of the session. */
  async delete(options: CallOptions = {}): Promise<void> {
    value(await deleteSession(this.#host.commands, this.id, this.#options(options)));
  }

  /** What the running turn waits for somebody to decide or to answer, with the calls it is about. Empty when it waits for nobody. Throws `RefusedError`: `session_not_found`. */
  async actions(): Promise<readonly ActionView[]> {
    return readActions(this.#host.commands.store, await this.#session());
  }

  /**
   * Lets a call run, with `input` in place of the model's if given; of a call that may have run when its worker died, lets it run again. With `inputHash`, only if the action is about
   * that input. When this resolves it is committed. Throws `RefusedError`: `invalid_request` (also an input that the tool does not take), `session_not_found`, `action_not_found`,
   * `action_forbidden`, `action_mismatch`, `action_decided`, `action_expired`, `action_withdrawn`, `revision_conflict`, `idempotency_mismatch`. Safe to repeat: the same answer
   * again is harmless, at any time.
   */
  async approve(actionId: string, answer: { readonly input?: JsonValue; readonly inputHash?: string } = {}, options: CallOptions = {}): Promise<ResolveReply> {
    return this.#resolve(actionId, { type: 'approve', ...answer }, options);
  }

  /** Keeps a call from running; the model is told, with the reason. Throws and repeats as {@link approve}. */
  async deny(actionId: string, reason?: string, options: CallOptions = {}): Promise<ResolveReply> {
    return this.#resolve(actionId, { type: 'deny', ...(reason === undefined ? {} : { reason }) }, options);
  }

  /** Gives the answer that an action waits for: a client tool's result or error, a person's answer, a decision. Throws and repeats as {@link approve}. */
  async respond(actionId: string, answer: ActionAnswer & { readonly inputHash?: string }, options: CallOptions = {}): Promise<ResolveReply> {
    return this.#resolve(actionId, answer, options);
  }

  /** Answers several actions, all of them or none, at most 128. Throws and repeats as {@link approve}. */
  async respondAll(decisions: readonly Decision[], options: CallOptions = {}): Promise<ResolveReply> {
    return value(await resolveActions(this.#host.commands, this.id, { decisions: decisions as DecisionsInput['decisions'] }, this.#options(options)));
  }

  /** A page of the session's operations, the newest first, ended ones included. `limit` at most 100, default 50. Throws `RefusedError`: `session_not_found`. */
  async operations(options: { readonly status?: OperationStatus; readonly before?: string; readonly limit?: number } = {}): Promise<OperationViewPage> {
    const { limit = limits.pageItemsDefault } = options;
    return listOperations(this.#host.commands, await this.#session(), { ...options, limit });
  }

  /**
   * The whole of a call's result, also of one that the log shows shortened; of a detached operation what it came to, once it has ended. `callId` is that of a part, an action or a
   * message's tool part. Throws `RefusedError`: `session_not_found`, `call_not_found` (also where there is no result, or it was too large to be kept).
   */
  async callResult(callId: string): Promise<JsonValue> {
    const text = await readWholeResult(this.#host.commands.store, await this.#session(), callId);
    if (isRefusal(text)) throw new RefusedError(text);
    return JSON.parse(text) as JsonValue;
  }

  /**
   * The waiting messages, and what can be done with them. All throw `RefusedError`: `session_not_found`; what names a message `message_not_found`, once it waits no longer; `edit`
   * also `invalid_request`, `model_not_allowed`, `client_tool_taken`; `hold` `session_ended`; `release` that and `session_archived`.
   */
  get queue() {
    const { commands } = this.#host;
    const run = async (work: Promise<CommandReply<QueueReply> | Refusal>): Promise<QueueReply> => value(await work);
    return {
      /** The messages, the next one first, and whether they are held. */
      list: async (): Promise<{ readonly held: boolean; readonly items: readonly QueuedMessageView[] }> => {
        const session = await this.#session();
        return { held: session.queueHeld, items: await readQueue(commands.store, session) };
      },
      /** Changes a message; it keeps its place. */
      edit: (messageId: string, body: QueueEditInput, options: CallOptions = {}) => run(editQueued(commands, this.id, messageId, body, this.#options(options))),
      delete: (messageId: string, options: CallOptions = {}) => run(deleteQueued(commands, this.id, messageId, this.#options(options))),
      /** Moves a message to the front. Repeating it is harmless. */
      promote: (messageId: string, options: CallOptions = {}) => run(promoteQueued(commands, this.id, messageId, this.#options(options))),
      /** Keeps messages from starting. Repeating it is harmless. */
      hold: (options: CallOptions = {}) => run(holdQueue(commands, this.id, this.#options(options))),
      /** Lets them go on. Repeating it is harmless. */
      release: (options: CallOptions = {}) => run(releaseQueue(commands, this.id, this.#options(options))),
    };
  }

  /** The session as of now. Throws `RefusedError` with code `session_not_found` when it was deleted. */
  async get(): Promise<SessionView> {
    return sessionView(await this.#session());
  }

  /** A page of the visible conversation, the latest by default. `limit` at most 100, default 50. */
  async messages(options: { readonly before?: number; readonly limit?: number } = {}): Promise<TranscriptPage> {
    return readTranscript(this.#host.commands.store, await this.#session(), { before: options.before, limit: Math.min(options.limit ?? 50, 100) });
  }

  /** What the session has used, in all, by model and by purpose; and its attempts after a seq, in their order, `limit` at most 100. Throws `RefusedError`: `session_not_found`. */
  async usage({ after, limit = limits.pageItemsDefault }: { readonly after?: number | undefined; readonly limit?: number } = {}): Promise<SessionUsage> {
    return readSessionUsage(this.#host.commands.store, await this.#session(), { after, limit: Math.min(limit, limits.pageItemsMax) });
  }

  /** The log: entries after a seq, at most 500 at once. */
  async entries(range: Partial<EntryRange> = {}): Promise<readonly Entry[]> {
    return this.#host.commands.store.readEntries(this.#ref, { ...range, limit: Math.min(range.limit ?? 500, 500) });
  }

  /**
   * Everything that happens in the session, from a position on (default: from its beginning), until the signal aborts or the session is deleted. Throws `RefusedError`
   * (`session_not_found`, `bad_position`, and `shutting_down` when this Holdfast is closed) and `StoreError`; following again after the last position goes on.
   */
  events(options: { readonly after?: string; readonly signal?: AbortSignal } = {}): AsyncGenerator<FeedEvent, void, void> {
    return returning((signal) => this.#events(options.after, signal), options.signal);
  }

  async *#events(after: string | undefined, signal: AbortSignal): AsyncGenerator<FeedEvent, void, void> {
    const { feed } = this.#host;
    const opened = found(await feed.open(this.#ref, after));
    for await (const events of feed.follow(opened.ref, opened.cursor, signal)) yield* events;
    if (feed.closed && !signal.aborted) throw shuttingDown();
  }

  async #resolve(actionId: string, answer: ActionAnswer & { readonly inputHash?: string }, options: CallOptions): Promise<ResolveReply> {
    return value(await resolveAction(this.#host.commands, this.id, actionId, answer as AnswerInput, this.#options(options)));
  }

  async #session(): Promise<Session> {
    const session = await this.#host.commands.store.readSession(this.#ref);
    if (session === null) throw new RefusedError(refuse('session_not_found', `there is no session ${this.id}`));
    return session;
  }

  #options(options: SendOptions): CommandOptions {
    return { ...options, principal: this.#principal };
  }
}
