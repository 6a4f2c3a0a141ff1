import { PromptHistory } from '../agent/prompt.ts';
import type { Entry } from '../core/entry.ts';
import { isSameSince, type Session } from '../core/session.ts';
import type { Store } from '../store/store.ts';
import { firstNotUnderstood } from './not-understood.ts';

const pageEntries = 500;

/** A history, and the fence of the session that it is of. */
interface Known {
  readonly history: PromptHistory;
  readonly fence: number;
}

/**
 * Histories of the sessions worked on lately, so that a turn reads only what is new. Entries change by redaction only: how many there were, and what is visible, is compared with the session; and whether it is
 * the same session still, not one that was imported after a deletion. So a history may be short and is never used stale. Bounded by the size of the texts, not by sessions.
 */
export class HistoryCache {
  readonly #charsMax: number;
  readonly #histories = new Map<string, Known>();
  #chars = 0;

  /** `charsMax`: about half a byte to two bytes of memory each. */
  constructor(charsMax: number) {
    this.#charsMax = charsMax;
  }

  /** Takes the session's history out of the cache as far as it is known, or begins one; {@link catchUp} does the rest. */
  take(session: Session): PromptHistory {
    const known = this.#remove(keyOf(session));
    return known !== undefined && isSameSince(session.fence, known.fence) && known.history.continuesTo(session) ? known.history : new PromptHistory(session.visible, session.redactions);
  }

  /** Two runs of one session may each put theirs: the one that goes further stays. */
  put(session: Session, history: PromptHistory): void {
    const other = this.#remove(keyOf(session));
    const own: Known = { history, fence: session.fence };
    const isLonger = other !== undefined && isSameSince(Math.max(other.fence, own.fence), Math.min(other.fence, own.fence)) && other.history.lastSeq > history.lastSeq;
    const longer = isLonger ? other : own;
    this.#histories.set(keyOf(session), longer);
    this.#chars += longer.history.textChars;
    for (const key of this.#histories.keys()) {
      if (this.#chars <= this.#charsMax) break;
      this.#remove(key);
    }
  }

  #remove(key: string): Known | undefined {
    const known = this.#histories.get(key);
    if (known === undefined) return undefined;
    this.#histories.delete(key);
    this.#chars -= known.history.textChars;
    return known;
  }
}

/**
 * Brings a history up to the session's last entry, or up to the first one that this version cannot read: then it returns that. A new one begins at the session's last summary: what that stands for is not read, however long
 * it has become (G11).
 */
export async function catchUp(store: Pick<Store, 'readEntries' | 'state'>, history: PromptHistory, session: Session): Promise<Entry | null> {
  if (history.lastSeq === 0 && session.compactedSeq !== null) await beginAtSummary(store, history, session, session.compactedSeq);
  while (history.lastSeq < session.lastSeq) {
    const entries = await store.readEntries(session, { afterSeq: history.lastSeq, limit: pageEntries });
    const strange = firstNotUnderstood(session, entries);
    // Whoever takes the history out of the cache again comes upon it again.
    history.append(strange === null ? entries : entries.filter(({ seq }) => seq < strange.seq));
    if (strange !== null || entries.length === 0) return strange;
  }
  return null;
}

async function beginAtSummary(store: Pick<Store, 'state'>, history: PromptHistory, session: Session, seq: number): Promise<void> {
  const [summary] = await store.state.readEntriesAt(session, [seq]);
  // Removed since the session was read: then it stands for nothing.
  if (summary?.kind !== 'history-compacted' || summary.redacted !== undefined) return;
  const kept = summary.keeps.length === 0 ? [] : await store.state.readEntriesAt(session, summary.keeps);
  history.beginBefore(summary, kept.toSorted((left, right) => left.seq - right.seq));
}

function keyOf({ tenant, id }: Session): string {
  return `${tenant}\n${id}`;
}
