import type { Entry, ErrorInfo, TurnEndReason, Usage } from '../core/entry.ts';
import type { Session } from '../core/session.ts';
import type { SessionRef, Store } from '../store/store.ts';

const pageEntries = 200;

/** A turn as clients see it. */
export interface TurnView {
  readonly id: string;
  /** `queued`: its message waits. `running`: it goes on, whether or not somebody works on it this moment. */
  readonly status: 'queued' | 'running' | 'ended';
  readonly reason: TurnEndReason | null;
  readonly error: ErrorInfo | null;
  /** Text of its last generation. */
  readonly text: string;
  readonly steps: number;
  /** Sum over its attempts whose usage is known. */
  readonly usage: Usage;
  readonly messageId: string | null;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
}

/** The turn as of now; null when the session has no such turn. `afterSeq`: where it is known to begin after, so that less is read. */
export async function readTurn(store: Store, session: Session, turnId: string, afterSeq?: number): Promise<TurnView | null> {
  const queued = session.queue.find((message) => message.turnId === turnId);
  if (queued !== undefined) return { ...emptyTurn(turnId), status: 'queued', messageId: queued.messageId };
  const entries = await entriesOfTurn(store, session, turnId, session.turn?.id === turnId ? session.turn.startedSeq - 1 : afterSeq);
  return entries.length === 0 ? null : foldTurn(turnId, entries);
}

/** Turns in their order, the last `limit` of them before a seq; `nextCursor` for those before. */
export async function listTurns(store: Store, session: Session, { before, limit }: { readonly before?: number | undefined; readonly limit: number }): Promise<{ readonly items: readonly TurnView[]; readonly nextCursor: number | null }> {
  const byTurn = new Map<string, Entry[]>();
  let fromSeq = before ?? session.lastSeq + 1;
  while (fromSeq > 1 && byTurn.size <= limit) {
    const page = await store.readEntries(session, { beforeSeq: fromSeq, limit: pageEntries });
    if (page.length === 0) break;
    for (const entry of page.toReversed()) {
      if ('turnId' in entry && entry.kind !== 'message-queued' && entry.kind !== 'queued-message-edited') byTurn.set(entry.turnId, [entry, ...(byTurn.get(entry.turnId) ?? [])]);
    }
    fromSeq = page[0]?.seq ?? 1;
  }
  // The one beyond the limit may have been read in part.
  const turns = [...byTurn].slice(0, limit).reverse();
  const firstSeq = turns[0]?.[1][0]?.seq ?? 1;
  return { items: turns.map(([turnId, entries]) => foldTurn(turnId, entries)), nextCursor: byTurn.size > limit || fromSeq > 1 ? firstSeq : null };
}

async function entriesOfTurn(store: Store, ref: SessionRef & Pick<Session, 'lastSeq'>, turnId: string, afterSeq: number | undefined): Promise<readonly Entry[]> {
  const found: Entry[] = [];
  const belongs = (entry: Entry): boolean => 'turnId' in entry && entry.turnId === turnId && entry.kind !== 'message-queued' && entry.kind !== 'queued-message-edited';
  if (afterSeq !== undefined) {
    for (let after = afterSeq; after < ref.lastSeq;) {
      const page = await store.readEntries(ref, { afterSeq: after, limit: pageEntries });
      if (page.length === 0) break;
      found.push(...page.filter(belongs));
      if (found.at(-1)?.kind === 'turn-ended') break;
      after = page.at(-1)?.seq ?? ref.lastSeq;
    }
    return found;
  }
  for (let before = ref.lastSeq + 1; before > 1;) {
    const page = await store.readEntries(ref, { beforeSeq: before, limit: pageEntries });
    if (page.length === 0) break;
    found.unshift(...page.filter(belongs));
    if (found[0]?.kind === 'user-message' || found[0]?.kind === 'turn-started') break;
    before = page[0]?.seq ?? 1;
  }
  return found;
}

function emptyTurn(id: string): TurnView {
  return { id, status: 'running', reason: null, error: null, text: '', steps: 0, usage: {}, messageId: null, startedAtMs: null, endedAtMs: null };
}

/** The turn's entries, in order, as a view. */
export function foldTurn(turnId: string, entries: readonly Entry[]): TurnView {
  return entries.reduce<TurnView>((turn, entry): TurnView => {
    switch (entry.kind) {
      case 'user-message':
        return { ...turn, messageId: entry.messageId, startedAtMs: entry.atMs };
      case 'turn-started':
        return { ...turn, startedAtMs: entry.atMs };
      case 'assistant-step':
        return {
          ...turn, steps: turn.steps + 1, usage: addUsage(turn.usage, entry.attempt.usage),
          text: entry.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join(''),
        };
      case 'attempt-failed':
        return { ...turn, usage: addUsage(turn.usage, entry.attempt.usage) };
      case 'turn-ended':
        return { ...turn, status: 'ended', reason: entry.reason, error: entry.error ?? null, endedAtMs: entry.atMs };
      default:
        return turn;
    }
  }, emptyTurn(turnId));
}

function addUsage(sum: Usage, usage: Usage | null): Usage {
  if (usage === null) return sum;
  const names = ['inputTokens', 'outputTokens', 'cachedInputTokens', 'reasoningTokens'] as const;
  const added = names.flatMap((name) => (sum[name] === undefined && usage[name] === undefined ? [] : [[name, (sum[name] ?? 0) + (usage[name] ?? 0)] as const]));
  return Object.fromEntries(added) as Usage;
}
