import type { HistoryItem } from './history-item.ts';

/** What a compaction would put a summary in place of. */
export interface CompactionPlan {
  /** The summary that stands there already; null: there is none. */
  readonly earlier: string | null;
  /** What is to be summarised. A call and its result are never apart. */
  readonly covered: readonly HistoryItem[];
  readonly throughSeq: number;
  readonly keeps: readonly number[];
  /** Tokens that go, and tokens of the history that stay, estimated. */
  readonly coveredTokens: number;
  readonly restTokens: number;
}

/**
 * Where a history would be cut: as early as what follows has at most `tailTokens`, which stays word for word. `unanswered` are seqs of messages that stay in any case. null: nothing would go
 * but what comes again by itself (an earlier summary, context).
 */
export function planCompaction(items: readonly HistoryItem[], unanswered: ReadonlySet<number>, tailTokens: number): CompactionPlan | null {
  const cut = cutBefore(items, tailTokens);
  const before = items.slice(0, cut);
  const last = before.at(-1);
  // A summary may have the seq of a message that it keeps.
  const stays = before.filter(({ kind, seq }) => kind === 'said' && unanswered.has(seq));
  const goes = before.filter((item) => isSaid(item) && !stays.includes(item));
  if (last === undefined || goes.length === 0) return null;
  const [first] = before;
  return {
    earlier: first?.kind === 'summary' ? (first.text ?? '') : null,
    // What is asked is told with what was done about it.
    covered: before.filter(isSaid),
    throughSeq: last.seq, keeps: stays.map(({ seq }) => seq),
    coveredTokens: tokensOf(goes), restTokens: tokensOf([...stays, ...items.slice(cut)]),
  };
}

/** Context comes again by itself in its present version. */
function isSaid({ kind }: HistoryItem): boolean {
  return kind !== 'summary' && kind !== 'context';
}

/** Results follow on their calls: no cut comes between. */
function cutBefore(items: readonly HistoryItem[], tailTokens: number): number {
  let cut = items.length;
  for (let place = items.length - 1, tokens = 0; place >= 0; place -= 1) {
    const item = items[place];
    if (item === undefined) break;
    tokens += item.tokens;
    if (tokens > tailTokens) break;
    if (item.kind !== 'results') cut = place;
  }
  return cut;
}

function tokensOf(items: readonly HistoryItem[]): number {
  return items.reduce((sum, { tokens }) => sum + tokens, 0);
}
