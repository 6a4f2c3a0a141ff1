import { forkSession, type ForkReply } from '../core/accept/fork.ts';
import type { Change, Circumstances } from '../core/draft.ts';
import type { Entry } from '../core/entry.ts';
import { isTimeline } from '../core/entry-format.ts';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { isBetweenTurns } from '../core/history.ts';
import { isVisible, visibleAfter } from '../core/intervals.ts';
import { utf8Bytes, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { wholeIdsOf } from '../core/redact.ts';
import type { Session } from '../core/session.ts';
import type { CreateResult, Idempotency, SessionRef, Store } from '../store/store.ts';
import { circumstancesOf, ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { copiedMessageKeys, createdKey } from './idempotency.ts';
import { asJson, compact, forkInput, parseInput, type ForkInput } from './input.ts';
import { runCommand } from './run-command.ts';
import { withoutContent, withPresentContent } from './session-reply.ts';

const pageEntries = 2_500;

/** How often a history is read again because something of it was redacted meanwhile. */
const readsMax = 10;

/** What a fork takes from its origin. */
interface Reading {
  readonly origin: Session;
  readonly entries: readonly Entry[];
}

/** Why nothing is built yet: the history has not been read, or has been redacted or deleted since. Never a reply. */
const unread = refuse('session_not_found', 'the history is still to be read');

/** `session` is as of its creation, for a repetition as well, but for title, preview and metadata, which are as of now. */
type Forked = ForkReply & { readonly session: Session };

/**
 * Copies the visible history up to a turn, all of it by default, into a new session of the same owner and agent; null: none of it. What is redacted before the copy is there is not in it. Refusals:
 * `invalid_request`, `session_not_found`, `turn_not_found`, `external_id_taken`, `history_too_large`, `session_busy` (it is being redacted all the time), `idempotency_mismatch`. Safe to repeat with the same key or
 * external id.
 */
export async function fork(host: CommandHost, sessionId: string, body: ForkInput, options: CommandOptions): Promise<CommandReply<Forked> | Refusal> {
  const parsed = parseInput(forkInput, body);
  if ('refused' in parsed) return parsed;
  const { principal } = options;
  const ref = { tenant: principal.tenant, id: host.system.ids.mint('ses') };
  const circumstances = circumstancesOf(host);
  let reading: Reading | Refusal | null = null;
  for (let reads = 0; ; reads += 1) {
    const origin = await host.store.readSession({ tenant: principal.tenant, id: sessionId, owner: ownerScope(principal) });
    // At first with nothing in hand: a repetition is given the first reply, whatever has become of the origin, and nothing is read for it.
    const result = await host.store.create<Forked>({
      ref, owner: origin?.owner ?? principal.owner, externalId: origin === null ? undefined : parsed.input.externalId, origin: origin ?? undefined,
      idempotency: keysOf(sessionId, origin, body, options, circumstances.nowMs), build: (now) => built(host, ref, parsed.input, reading, now, circumstances), replyToStore: (reply) => asJson({ ...reply, session: withoutContent(reply.session) }),
      // The ids of the messages that it has are taken in the fork too.
      sessionReplies: () => (reading === null || isRefusal(reading) ? [] : copiedMessageKeys(reading.entries)),
    });
    if (result.kind !== 'refused' || result.refusal !== unread) return replyTo(host, origin, result, { sessionId, body, externalId: parsed.input.externalId }, options);
    if (origin === null) return refuse('session_not_found', `there is no session ${sessionId}`);
    if (reads === readsMax) return refuse('session_busy', `entries of the session were redacted ${readsMax} times while it was read; try again`);
    reading = await visibleUntil(host.store, origin, parsed.input.turnId);
  }
}

/** The target of a fork's key is its origin: by its id, and as it was named, by which a repetition finds it when the origin is gone. */
function keysOf(sessionId: string, origin: Session | null, body: ForkInput, { idempotencyKey, principal }: CommandOptions, nowMs: number, httpStatus = 201): readonly Idempotency[] {
  if (idempotencyKey === undefined) return [];
  return [...new Set([origin?.id ?? sessionId, sessionId])].map((target) => createdKey(idempotencyKey, principal.owner, `fork ${target}`, asJson(body), httpStatus, nowMs));
}

function built(host: CommandHost, ref: SessionRef, { turnId, title, externalId }: ForkInput, reading: Reading | Refusal | null, now: Session | null, circumstances: Circumstances): Change<Forked> | Refusal {
  if (reading === null || isRefusal(reading)) return reading ?? unread;
  const { origin, entries } = reading;
  if (now?.redactions !== origin.redactions) return unread;
  const agent = host.agents.get(origin.agent);
  const { endAfterInactivityMs = null, deleteAfterRestMs = null } = agent?.limits ?? {};
  const change = forkSession(origin, entries, ref, { turnId: turnId ?? lastTurnOf(entries), endAfterInactivityMs, deleteAfterRestMs, ...compact({ title, externalId, nodes: agent?.rules.nodes }) }, circumstances);
  return { ...change, reply: { ...change.reply, session: change.session } };
}

/** A fork as it was asked for. */
interface Asked {
  readonly sessionId: string;
  readonly body: ForkInput;
  readonly externalId: string | undefined;
}

/** Only when the copy is whole: what a first request was cut off from copying, a repetition does. */
async function replyTo(host: CommandHost, origin: Session | null, result: CreateResult<Forked>, asked: Asked, options: CommandOptions): Promise<CommandReply<Forked> | Refusal> {
  if (result.kind === 'refused') return result.refusal;
  if (result.kind === 'created') host.committed(result.session, result.entries.filter(({ copied }) => copied !== true));
  const reply = result.kind === 'exists' ? await existingFork(host, result.session, origin, asked, options)
    : result.kind === 'created' ? { reply: result.reply, httpStatus: 201, replayed: false }
    : { reply: await repeated(host.store, result.reply), httpStatus: result.httpStatus, replayed: true };
  if (isRefusal(reply)) return reply;
  if (origin !== null) {
    const ref = { tenant: origin.tenant, id: reply.reply.sessionId };
    await copyWholeResults(host.store, origin, ref, result.kind === 'created' ? result.entries : await copiedEntries(host.store, ref));
  }
  return reply;
}

async function repeated(store: Store, kept: JsonValue): Promise<Forked> {
  const first = kept as unknown as Forked;
  return { ...first, session: await withPresentContent(store, first.session) };
}

/** The same external id finds the fork that is there, and a key stands for it from then on (G2); a session that is something else has its id for itself. */
async function existingFork(host: CommandHost, session: Session, origin: Session | null, { sessionId, body, externalId }: Asked, options: CommandOptions): Promise<CommandReply<Forked> | Refusal> {
  if (session.forkedFrom?.sessionId !== origin?.id) return refuse('external_id_taken', `the external id ${JSON.stringify(externalId)} is that of another session`, { agent: session.agent });
  const forkOf = ({ id, revision, turns }: Session): Omit<Forked, 'session'> => ({ sessionId: id, revision, turns });
  if (options.idempotencyKey === undefined) return { reply: { ...forkOf(session), session }, httpStatus: 200, replayed: false };
  const found = await runCommand<Forked>(host, {
    name: 'fork', sessionId: session.id, body: asJson(body), httpStatus: 200, requestKeys: keysOf(sessionId, origin, body, options, host.system.clock.nowMs(), 200),
    accept: (draft) => ({ ...forkOf(draft.session), session: draft.session }),
    replyToStore: (reply) => asJson({ ...reply, session: withoutContent(reply.session) }),
  }, options);
  return isRefusal(found) || !found.replayed ? found : { ...found, reply: await repeated(host.store, asJson(found.reply)) };
}

/** The visible entries of the conversation up to the end of a turn; of all there is when none is named. */
async function visibleUntil(store: Store, origin: Session, turnId: string | null | undefined): Promise<Reading | Refusal> {
  const found: Entry[] = [];
  let [isOver, bytes] = [false, 0];
  if (turnId === null) return { origin, entries: found };
  for (let after = visibleAfter(origin.visible, 0); after !== null && after < origin.lastSeq;) {
    const page = await store.readEntries(origin, { afterSeq: after, limit: pageEntries });
    if (page.length === 0) return refuse('session_not_found', `session ${origin.id} was deleted meanwhile`);
    for (const entry of page) {
      if (entry.seq > origin.lastSeq || !isTimeline(entry) || !isVisible(origin.visible, entry.seq)) continue;
      if (isOver && !isBetweenTurns(entry)) return { origin, entries: found };
      found.push(entry);
      bytes += utf8Bytes(JSON.stringify(entry));
      if (found.length > limits.forkEntriesMax || bytes > limits.forkBytesMax) return refuse('history_too_large', tooLarge, { entriesMax: limits.forkEntriesMax, bytesMax: limits.forkBytesMax });
      isOver ||= turnId !== undefined && entry.kind === 'turn-ended' && entry.turnId === turnId;
    }
    after = visibleAfter(origin.visible, page.at(-1)?.seq ?? origin.lastSeq);
  }
  if (isOver || turnId === undefined || origin.turn?.id === turnId) return { origin, entries: found };
  return refuse('turn_not_found', `there is no turn ${turnId} in the visible history`, { turnId });
}

const tooLarge = `a fork copies at most ${limits.forkEntriesMax} entries of ${limits.forkBytesMax} bytes in all, and the history has more: fork at an earlier turn`;

/**
 * The copy has its own of the results that the log keeps shortened: before anybody is told of it, and again where it is told a second time, lest the first one was cut off in between. Those that its log names: what
 * has been removed from it does not come back.
 */
async function copyWholeResults(store: Store, origin: Session, ref: SessionRef, entries: readonly Entry[]): Promise<void> {
  for (const wholeId of entries.filter(({ copied }) => copied === true).flatMap(wholeIdsOf)) {
    const body = await store.readWholeResult(origin, wholeId);
    if (body !== null) await store.storeWholeResult({ ref, id: wholeId, body });
  }
}

/** What is copied of a log: its beginning. */
async function copiedEntries(store: Store, ref: SessionRef): Promise<readonly Entry[]> {
  const found: Entry[] = [];
  for (let after = 0, searches = true; searches;) {
    const page = await store.readEntries(ref, { afterSeq: after, limit: pageEntries });
    found.push(...page);
    after = page.at(-1)?.seq ?? after;
    searches = page.length === pageEntries && page.at(-1)?.copied === true;
  }
  return found;
}

function lastTurnOf(entries: readonly Entry[]): string | null {
  const last = entries.findLast((entry) => !isBetweenTurns(entry));
  return last !== undefined && 'turnId' in last && last.turnId !== undefined ? last.turnId : null;
}
