import type { Entry } from '../core/entry.ts';
import { foldTranscript, type TranscriptMessage } from '../core/transcript.ts';
import type { Session } from '../core/session.ts';
import type { Store } from '../store/store.ts';

export interface TranscriptPage {
  /** In the order of the conversation. */
  readonly items: readonly TranscriptMessage[];
  /** Pass as `before` for the messages before these; null: these are the first. */
  readonly nextCursor: number | null;
}

/**
 * The last `limit` visible messages before a seq. Reads the log backwards and only as far as the page needs, so that opening a long session costs
 * what opening a short one does.
 */
export async function readTranscript(store: Store, session: Session, { before, limit }: { readonly before?: number | undefined; readonly limit: number }): Promise<TranscriptPage> {
  let entries: readonly Entry[] = [];
  let fromSeq = before ?? session.lastSeq + 1;
  // A message is at least one entry, a turn with a tool call five for two messages.
  const pageEntries = limit * 3 + 10;
  for (;;) {
    const page = await store.readEntries(session, { beforeSeq: fromSeq, limit: pageEntries });
    entries = [...page, ...entries];
    fromSeq = page[0]?.seq ?? 1;
    const reachedStart = page.length < pageEntries || fromSeq <= 1;
    const messages = wholeMessages(foldTranscript(entries, session.visible), reachedStart);
    if (messages.length < limit && !reachedStart) continue;
    const items = messages.slice(-limit);
    const first = items[0];
    const more = first !== undefined && (messages.length > items.length || !reachedStart);
    return { items, nextCursor: more ? first.metadata.seq : null };
  }
}

/** The first message of a read that does not begin at the log's start may be the rest of a turn that began before. */
function wholeMessages(messages: readonly TranscriptMessage[], reachedStart: boolean): readonly TranscriptMessage[] {
  if (reachedStart) return messages;
  const firstUser = messages.findIndex((message) => message.role === 'user');
  return firstUser === -1 ? [] : messages.slice(firstUser);
}
