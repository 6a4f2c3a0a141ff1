import { forkSession, type ForkReply } from '../core/accept/fork.ts';
import type { Entry } from '../core/entry.ts';
import { isTimeline } from '../core/entry-format.ts';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { isBetweenTurns } from '../core/history.ts';
import { isVisible, visibleAfter } from '../core/intervals.ts';
import { wholeIdsOf } from '../core/redact.ts';
import type { Session } from '../core/session.ts';
import type { SessionRef, Store } from '../store/store.ts';
import { circumstancesOf, ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { requestKey } from './idempotency.ts';
import { asJson, forkInput, parseInput, type ForkInput } from './input.ts';

const pageEntries = 1_000;

/**
 * Copies the visible history up to a turn, all of it by default, into a new session of the same owner and agent; null: none of it. Refusals: `invalid_request`, `session_not_found`, `turn_not_found`,
 * `external_id_taken`, `idempotency_mismatch`. Safe to repeat with the same key or external id.
 */
export async function fork(host: CommandHost, sessionId: string, body: ForkInput, options: CommandOptions): Promise<CommandReply<ForkReply & { readonly session: Session }> | Refusal> {
  const parsed = parseInput(forkInput, body);
  if ('refused' in parsed) return parsed;
  const { turnId, title, externalId } = parsed.input;
  const { tenant } = options.principal;
  const origin = await host.store.readSession({ tenant, id: sessionId, owner: ownerScope(options.principal) });
  if (origin === null) return refuse('session_not_found', `there is no session ${sessionId}`);
  const read = await visibleUntil(host.store, origin, turnId);
  const entries = isRefusal(read) ? [] : read;
  const ref = { tenant, id: host.system.ids.mint('ses') };
  const circumstances = circumstancesOf(host);
  const key = options.idempotencyKey === undefined ? [] : [requestKey(options.idempotencyKey, options.principal.owner, `fork ${origin.id}`, asJson(body), 201, circumstances.nowMs)];
  const { endAfterInactivityMs = null, deleteAfterRestMs = null } = host.agents.get(origin.agent)?.limits ?? {};
  const command = { turnId: turnId ?? lastTurnOf(entries), title, externalId, endAfterInactivityMs, deleteAfterRestMs, nodes: host.agents.get(origin.agent)?.rules.nodes };
  const result = await host.store.create<ForkReply & { readonly session: Session }>({
    ref, owner: origin.owner, externalId, idempotency: key,
    build: () => {
      // Refused only here: a repetition is given the first reply, whatever has become of the origin's history.
      if (isRefusal(read)) return read;
      const change = forkSession(origin, entries, ref, Object.fromEntries(Object.entries(command).filter(([, value]) => value !== undefined)) as unknown as Parameters<typeof forkSession>[3], circumstances);
      return { ...change, reply: { ...change.reply, session: change.session } };
    },
    replyToStore: asJson,
  });
  switch (result.kind) {
    case 'refused':
      return result.refusal;
    case 'replayed':
      return { reply: await withWholeResults(host.store, origin, result.reply as unknown as ForkReply & { readonly session: Session }), httpStatus: result.httpStatus, replayed: true };
    case 'exists':
      return existingFork(result.session, origin, externalId);
    case 'created':
      host.committed(result.session, result.entries.filter(({ copied }) => copied !== true));
      return { reply: await withWholeResults(host.store, origin, result.reply), httpStatus: 201, replayed: false };
  }
}

/** The same external id finds the fork that is there; a session that is something else has its id for itself. */
function existingFork(session: Session, origin: Session, externalId: string | undefined): CommandReply<ForkReply & { readonly session: Session }> | Refusal {
  if (session.forkedFrom?.sessionId !== origin.id) return refuse('external_id_taken', `the external id ${JSON.stringify(externalId)} is that of another session`, { agent: session.agent });
  return { reply: { sessionId: session.id, revision: session.revision, turns: session.turns, session }, httpStatus: 200, replayed: false };
}

/** The visible entries of the conversation up to the end of a turn; of all there is when none is named. */
async function visibleUntil(store: Store, session: Session, turnId: string | null | undefined): Promise<readonly Entry[] | Refusal> {
  const found: Entry[] = [];
  let isOver = false;
  if (turnId === null) return found;
  for (let after = visibleAfter(session.visible, 0); after !== null && after < session.lastSeq;) {
    const page = await store.readEntries(session, { afterSeq: after, limit: pageEntries });
    if (page.length === 0) return refuse('session_not_found', `session ${session.id} was deleted meanwhile`);
    for (const entry of page) {
      if (entry.seq > session.lastSeq || !isTimeline(entry) || !isVisible(session.visible, entry.seq)) continue;
      if (isOver && !isBetweenTurns(entry)) return found;
      found.push(entry);
      isOver ||= turnId !== undefined && entry.kind === 'turn-ended' && entry.turnId === turnId;
    }
    after = visibleAfter(session.visible, page.at(-1)?.seq ?? session.lastSeq);
  }
  if (isOver || turnId === undefined || session.turn?.id === turnId) return found;
  return refuse('turn_not_found', `there is no turn ${turnId} in the visible history`, { turnId });
}

/**
 * The copy has its own of the results that the log keeps shortened: before anybody is told of it, and again where it is told a second time, lest the first one was cut off in between. Those that its log names: what
 * has been removed from it does not come back.
 */
async function withWholeResults<Reply extends ForkReply>(store: Store, origin: Session, reply: Reply): Promise<Reply> {
  const ref: SessionRef = { tenant: origin.tenant, id: reply.sessionId };
  for (let after = 0, searches = true; searches;) {
    const page = await store.readEntries(ref, { afterSeq: after, limit: pageEntries });
    for (const wholeId of page.filter(({ copied }) => copied === true).flatMap(wholeIdsOf)) {
      const body = await store.readWholeResult(origin, wholeId);
      if (body !== null) await store.storeWholeResult({ ref, id: wholeId, body });
    }
    after = page.at(-1)?.seq ?? after;
    searches = page.length === pageEntries && page.at(-1)?.copied === true;
  }
  return reply;
}

function lastTurnOf(entries: readonly Entry[]): string | null {
  const last = entries.findLast((entry) => !isBetweenTurns(entry));
  return last !== undefined && 'turnId' in last && last.turnId !== undefined ? last.turnId : null;
}
