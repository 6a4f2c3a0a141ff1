import { acceptEdit, type EditReply } from '../core/accept/edit.ts';
import { acceptRestore } from '../core/accept/restore.ts';
import { acceptRedo, acceptRewind, type MoveReply } from '../core/accept/rewind.ts';
import type { SendReply } from '../core/accept/send.ts';
import type { Accept } from '../core/accept/transition.ts';
import type { Loaded } from '../core/draft.ts';
import type { EntryOf, MessageContent } from '../core/entry.ts';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { turnBeginMark, turnsIn } from '../core/history.ts';
import { isVisible, visibleBefore } from '../core/intervals.ts';
import type { JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import type { Store, UpdateRequest } from '../store/store.ts';
import { circumstancesOf, ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { readEffects, rerunToolsOf, type Effect, type RerunTools } from './effects.ts';
import { messageKey } from './idempotency.ts';
import { asJson, compact, editInput, parseInput, restoreInput, retryInput, rewindInput, type EditInput, type RestoreInput, type RetryInput, type RewindInput } from './input.ts';
import { runCommand, wholeWork } from './run-command.ts';
import { messageContent, refuseContent } from './send.ts';

/** What a move through the history came to. */
export interface MovedReply {
  readonly revision: number;
  /** Turns that are no longer visible, or are so again. */
  readonly turns: number;
  /** What calls of the turns that were left did outside, which nothing undoes; the latest first. */
  readonly effects: readonly Effect[];
  /** There are more than are listed: `GET …/effects`. */
  readonly moreEffects: boolean;
}

/** A message said in another's place, and what was left for it. */
export type EditedReply = SendReply & MovedReply;

/** How a move is kept for a repetition: which effects it left is told as the agent was then. */
type Kept<Reply> = Reply & { readonly rerun?: RerunTools };

type Moved = Promise<CommandReply<MovedReply> | Refusal>;

const moving = { ...wholeWork, marks: true } as const;

/**
 * Shortens the visible history to a turn, or to before the first (null). Refusals of all moves: `invalid_request`, `session_not_found`, `session_ended`, `session_busy` (unless `stop`), `revision_conflict`,
 * `idempotency_mismatch`; here also `turn_not_found`, `branches_full`. Repeating it is harmless.
 */
export async function rewind(host: CommandHost, sessionId: string, body: RewindInput, options: CommandOptions): Moved {
  const parsed = parseInput(rewindInput, body);
  if ('refused' in parsed) return parsed;
  return move(host, 'rewind', sessionId, asJson(body), acceptRewind(compact(parsed.input)), moving, options);
}

/** Brings back what rewinding cut off, as long as the conversation has not gone on. Where there is nothing, nothing changes. */
export async function redo(host: CommandHost, sessionId: string, options: CommandOptions): Moved {
  return move(host, 'redo', sessionId, {}, acceptRedo(), moving, options);
}

/** Makes a discarded future the present history again. Refused also with `branch_not_found`. */
export async function restoreBranch(host: CommandHost, sessionId: string, branchId: string, body: RestoreInput, options: CommandOptions): Moved {
  const parsed = parseInput(restoreInput, body);
  if ('refused' in parsed) return parsed;
  return move(host, 'restore', sessionId, { branchId, ...parsed.input }, acceptRestore({ branchId, ...compact(parsed.input) }), { ...moving, branchId }, options);
}

/** Says something in place of a turn's message: the turn and all after it become a branch. Refused also with `turn_not_found`, `branches_full`, and as sending is. */
export async function edit(host: CommandHost, sessionId: string, body: EditInput, options: CommandOptions): Promise<CommandReply<EditedReply> | Refusal> {
  const parsed = parseInput(editInput, body);
  if ('refused' in parsed) return parsed;
  const { turnId, stop, keepOperations, ...given } = parsed.input;
  return replaceMessage(host, 'edit', sessionId, body, { turnId, seen: null, stop, keepOperations, message: messageContent(given, circumstancesOf(host)), messageId: given.messageId }, options);
}

/** Says the same again in place of a turn's message, the last turn's by default: refused then with `revision_conflict` where another one has begun meanwhile. Refused also with `turn_not_found` (also of a turn that no message opened), `branches_full`, and as sending is. */
export async function retry(host: CommandHost, sessionId: string, body: RetryInput, options: CommandOptions): Promise<CommandReply<EditedReply> | Refusal> {
  const parsed = parseInput(retryInput, body);
  if ('refused' in parsed) return parsed;
  const { stop, keepOperations, model } = parsed.input;
  const session = await host.store.readSession({ tenant: options.principal.tenant, id: sessionId, owner: ownerScope(options.principal) });
  if (session === null) return refuse('session_not_found', `there is no session ${sessionId}`);
  const { turnId } = parsed.input;
  const seen = turnId === undefined ? session : null;
  const opening = turnId === undefined ? await lastSaid(host.store, session) : await host.store.readMarked(session, turnBeginMark(turnId));
  const said = opening?.kind === 'user-message' ? opening : null;
  const { parts, actor, clientTools, metadata, visibility, model: before } = said ?? { parts: [] };
  const message = compact({ parts, actor, clientTools, metadata, visibility, model: model ?? before, messageId: circumstancesOf(host).mintId('msg') }) as MessageContent;
  return replaceMessage(host, 'retry', sessionId, body, { turnId: said?.turnId ?? null, seen, stop, keepOperations, message, messageId: undefined }, options);
}

/** The message that opened the last visible turn that one did. */
async function lastSaid(store: Store, { tenant, id, visible, lastSeq }: Session): Promise<EntryOf<'user-message'> | null> {
  for (let before = visibleBefore(visible, lastSeq + 1); before !== null;) {
    const page = await store.readEntries({ tenant, id }, { beforeSeq: before, limit: pageEntries });
    const said = page.findLast((entry): entry is EntryOf<'user-message'> => entry.kind === 'user-message' && entry.steered !== true && entry.visibility !== 'user' && isVisible(visible, entry.seq));
    if (said !== undefined) return said;
    before = visibleBefore(visible, page[0]?.seq ?? 0);
  }
  return null;
}

const pageEntries = 100;

interface Replacement {
  /** null: there is none to be replaced. */
  readonly turnId: string | null;
  /** The session in which it was the last one, and is to be still. null: it is named. */
  readonly seen: Session | null;
  readonly stop: boolean | undefined;
  readonly keepOperations: boolean | undefined;
  readonly message: MessageContent;
  /** As the client gave it. */
  readonly messageId: string | undefined;
}

async function replaceMessage(host: CommandHost, name: string, sessionId: string, body: unknown, { turnId, seen, stop, keepOperations, message, messageId }: Replacement, options: CommandOptions): Promise<CommandReply<EditedReply> | Refusal> {
  const result = await runCommand<Kept<EditReply>>(host, {
    name, replyWith: withRerunTools(host), sessionId, body: asJson(body), httpStatus: 202, reads: moving,
    keys: messageId === undefined ? [] : [messageKey(messageId, asJson(body), 202, options.idempotencyKey === undefined)],
    // Refused only here: a repetition is given the first reply, whatever has become of the turn since.
    accept: (draft, now, loaded) => {
      if (turnId === null) return refuse('turn_not_found', 'there is no such turn that a message opened');
      const refused = refuseContent(host.agents.get(draft.session.agent), message);
      if (refused !== null) return refused;
      const reply = acceptEdit(compact({ turnId, message, stop, keepOperations }) as Parameters<typeof acceptEdit>[0])(draft, now, loaded);
      return isRefusal(reply) || seen === null ? reply : (refuseLater(loaded, seen) ?? reply);
    },
  }, options);
  return withEffects(host, sessionId, result, options);
}

/** Nobody who asks for the last turn means to leave one that he has not seen. */
function refuseLater({ session: { visible, revision }, marks = [] }: Loaded, seen: Session): Refusal | null {
  const [turnId] = turnsIn(marks.filter(({ seq }) => seq > seen.lastSeq), visible);
  return turnId === undefined ? null : refuse('revision_conflict', `turn ${turnId} has begun meanwhile, and is the last one now: read the session again and decide anew`, { expected: seen.revision, actual: revision, turnId });
}

async function move(host: CommandHost, name: string, sessionId: string, body: JsonValue, accept: Accept<MoveReply>, reads: NonNullable<UpdateRequest<MoveReply>['reads']>, options: CommandOptions): Moved {
  return withEffects(host, sessionId, await runCommand<Kept<MoveReply>>(host, { name, sessionId, body, httpStatus: 200, accept, reads, replyWith: withRerunTools(host) }, options), options);
}

function withRerunTools(host: CommandHost) {
  return <Reply>(reply: Kept<Reply>, session: Session): Kept<Reply> => ({ ...reply, rerun: rerunToolsOf(host.agents.get(session.agent)?.rules) });
}

/** The log does not change, nor what the agent's tools were then: a repetition is told the same effects. */
async function withEffects<Reply extends Kept<MoveReply>>(host: CommandHost, sessionId: string, result: CommandReply<Reply> | Refusal, { principal }: CommandOptions): Promise<CommandReply<Omit<Reply, 'left' | 'rerun'> & MovedReply> | Refusal> {
  if (isRefusal(result)) return result;
  const { left, rerun, ...reply } = result.reply;
  const session = left.length === 0 ? null : await host.store.readSession({ tenant: principal.tenant, id: sessionId });
  const { items, nextCursor } = session === null
    ? { items: [], nextCursor: null }
    : await readEffects(host.store, session, rerun ?? rerunToolsOf(host.agents.get(session.agent)?.rules), { intervals: left, limit: limits.effectsListedMax });
  return { ...result, reply: { ...reply, effects: items, moreEffects: nextCursor !== null } as Omit<Reply, 'left' | 'rerun'> & MovedReply };
}
