import type { ContextSize } from '../core/compaction.ts';
import type { AttemptRecord, Entry, EntryKind, ErrorInfo, TurnEndReason, Usage } from '../core/entry.ts';
import { isVisible, visibleBefore } from '../core/intervals.ts';
import { openActions, statusOf, type Session } from '../core/session.ts';
import type { Store } from '../store/store.ts';
import { viewsOf, type ActionView } from './action-view.ts';

const pageEntries = 200;

export interface TurnUsage extends Usage {
  /** In millionths of the currency of the agent's prices. Absent: not known of any attempt. */
  readonly costMicros?: number;
}

/** A turn as clients see it. */
export interface TurnView {
  readonly id: string;
  /**
   * `queued`: its message waits. `running`: it goes on, whether or not somebody works on it this moment. `requires_action`: it goes on when somebody has decided or
   * answered. `waiting`: it goes on when an operation has ended.
   */
  readonly status: 'queued' | 'running' | 'requires_action' | 'waiting' | 'ended';
  readonly reason: TurnEndReason | null;
  readonly error: ErrorInfo | null;
  /** Text of its last generation. */
  readonly text: string;
  readonly steps: number;
  /** Sum over its attempts whose usage is known; of the cost, over those whose cost is. */
  readonly usage: TurnUsage;
  readonly messageId: string | null;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  /** What somebody has to decide or to answer; there may be some while other calls still run. */
  readonly actions: readonly ActionView[];
  /** Size of the last prompt as it was measured before it was sent, and what the model takes; null: there has been none. */
  readonly context: ContextSize | null;
}

/** The turn as of now; null when the session has no such turn. `afterSeq`: where it is known to begin after, so that less is read. */
export async function readTurn(store: Store, session: Session, turnId: string, afterSeq?: number): Promise<TurnView | null> {
  const queued = session.queue.find((message) => message.turnId === turnId);
  if (queued !== undefined) return { ...turnBefore(turnId), status: 'queued', messageId: queued.messageId };
  const entries = await entriesOfTurn(store, session, turnId, session.turn?.id === turnId ? session.turn.startedSeq - 1 : afterSeq);
  return entries.length === 0 ? null : viewTurn(session, turnId, entries);
}

/** The turns of the visible history in their order, the last `limit` of them before a seq; `nextCursor` for those before. */
export async function listTurns(store: Store, session: Session, { before, limit }: { readonly before?: number | undefined; readonly limit: number }): Promise<{ readonly items: readonly TurnView[]; readonly nextCursor: number | null }> {
  const byTurn = new Map<string, Entry[]>();
  const { visible } = session;
  let beforeSeq = visibleBefore(visible, before ?? session.lastSeq + 1);
  while (beforeSeq !== null && byTurn.size <= limit) {
    const page = await store.readEntries(session, { beforeSeq, limit: pageEntries });
    for (const entry of page.toReversed()) {
      if (belongsToTurn(entry) && isVisible(visible, entry.seq)) byTurn.set(entry.turnId, [entry, ...(byTurn.get(entry.turnId) ?? [])]);
    }
    beforeSeq = visibleBefore(visible, page[0]?.seq ?? 0);
  }
  // The one beyond the limit may have been read in part.
  const turns = [...byTurn].slice(0, limit).reverse();
  const firstSeq = turns[0]?.[1][0]?.seq ?? 1;
  return { items: turns.map(([turnId, entries]) => viewTurn(session, turnId, entries)), nextCursor: byTurn.size > limit ? firstSeq : null };
}

/** The entries of one turn, as far as the session as it was read knows of them. */
async function entriesOfTurn(store: Store, session: Session, turnId: string, afterSeq: number | undefined): Promise<readonly Entry[]> {
  const found: Entry[] = [];
  const belongs = (entry: Entry): boolean => belongsToTurn(entry) && entry.turnId === turnId && entry.seq <= session.lastSeq;
  if (afterSeq !== undefined) {
    for (let after = afterSeq; after < session.lastSeq;) {
      const page = await store.readEntries(session, { afterSeq: after, limit: pageEntries });
      if (page.length === 0) break;
      found.push(...page.filter(belongs));
      if (found.at(-1)?.kind === 'turn-ended') break;
      after = page.at(-1)?.seq ?? session.lastSeq;
    }
    return found;
  }
  for (let before = session.lastSeq + 1; before > 1;) {
    const page = await store.readEntries(session, { beforeSeq: before, limit: pageEntries });
    if (page.length === 0) break;
    found.unshift(...page.filter(belongs));
    if (found[0] !== undefined && beginsTurn(found[0])) break;
    before = page[0]?.seq ?? 1;
  }
  return found;
}

/** The turn that a message is in; null: it is in none. Reads the log from `afterSeq` on. */
export async function findMessageTurn(store: Store, session: Session, messageId: string, afterSeq: number): Promise<string | null> {
  for (let after = afterSeq; after < session.lastSeq;) {
    const page = await store.readEntries(session, { afterSeq: after, limit: pageEntries });
    const message = page.find((entry) => entry.kind === 'user-message' && entry.messageId === messageId);
    if (message?.kind === 'user-message') return message.turnId;
    after = page.at(-1)?.seq ?? session.lastSeq;
  }
  return null;
}

/** What waits for a turn names the turn that it is to open; what came too late for one changes nothing of it, and what is made of one comes after its end. */
const besideTurns: ReadonlySet<EntryKind> = new Set<EntryKind>(['message-queued', 'queued-message-edited', 'late-result', 'late-usage', 'labels-wanted', 'title-set', 'summary-set', 'label-failed']);

function belongsToTurn(entry: Entry): entry is Entry & { readonly turnId: string } {
  return 'turnId' in entry && !besideTurns.has(entry.kind);
}

/** Whether the entry is the first of its turn. */
export function beginsTurn(entry: Entry): entry is Entry & { readonly turnId: string } {
  return (entry.kind === 'user-message' && entry.steered !== true) || entry.kind === 'turn-started';
}

function viewTurn(session: Session, turnId: string, entries: readonly Entry[]): TurnView {
  const turn = foldTurn(turnId, entries);
  if (turn.status === 'ended' || session.turn?.id !== turnId) return turn;
  const status = statusOf(session);
  return { ...turn, status: status === 'requires_action' || status === 'waiting' ? status : 'running', actions: viewsOf(openActions(session.turn), entries) };
}

/** The turn before its first entry. */
export function turnBefore(id: string): TurnView {
  return { id, status: 'running', reason: null, error: null, text: '', steps: 0, usage: {}, messageId: null, startedAtMs: null, endedAtMs: null, actions: [], context: null };
}

/** The turn's entries, in order, as a view. What an open turn waits for is in its session's row. */
export function foldTurn(turnId: string, entries: readonly Entry[]): TurnView {
  return entries.reduce(turnAfter, turnBefore(turnId));
}

/** The turn after one more entry of its session; entries of other turns, and of none, change nothing. */
export function turnAfter(turn: TurnView, entry: Entry): TurnView {
  if (!belongsToTurn(entry) || entry.turnId !== turn.id) return turn;
  return afterEntry('attempt' in entry ? { ...turn, usage: addUsage(turn.usage, entry.attempt) } : turn, entry);
}

function afterEntry(turn: TurnView, entry: Entry): TurnView {
  switch (entry.kind) {
    case 'user-message':
      // Others may join it.
      return entry.steered === true ? turn : { ...turn, messageId: entry.messageId, startedAtMs: entry.atMs };
    case 'turn-started':
      return { ...turn, startedAtMs: entry.atMs };
    case 'assistant-step':
      return { ...turn, steps: turn.steps + 1, context: entry.attempt.context ?? turn.context, text: entry.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('') };
    case 'turn-ended':
      return { ...turn, status: 'ended', reason: entry.reason, error: entry.error ?? null, endedAtMs: entry.atMs };
    default:
      return turn;
  }
}

const summed = ['inputTokens', 'outputTokens', 'cachedInputTokens', 'reasoningTokens', 'costMicros'] as const;

function addUsage(sum: TurnUsage, { usage, costMicros }: AttemptRecord): TurnUsage {
  const more: TurnUsage = { ...usage, ...(costMicros === undefined ? {} : { costMicros }) };
  const added = summed.flatMap((name) => (sum[name] === undefined && more[name] === undefined ? [] : [[name, (sum[name] ?? 0) + (more[name] ?? 0)] as const]));
  return Object.fromEntries(added) as TurnUsage;
}
