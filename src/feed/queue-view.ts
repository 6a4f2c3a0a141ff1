import type { Entry, MessageContent } from '../core/entry.ts';
import type { Session } from '../core/session.ts';
import type { Store } from '../store/store.ts';

/** A message that waits. The published schema. */
export interface QueuedMessageView extends MessageContent {
  /** The turn it will open. */
  readonly turnId: string;
  /** Its text parts, one after the other. */
  readonly text: string;
  /** It joins the running turn before its next generation; if that ends first, it opens its own. */
  readonly steer?: true;
  readonly queuedAtMs: number;
}

/** The messages of the queue, the next one first. The content of each is in the entry that the queue names; entries do not change, so that both fit. */
export async function readQueue(store: Store, session: Session): Promise<readonly QueuedMessageView[]> {
  const entries = await Promise.all(session.queue.map(({ seq }) => store.readEntries(session, { afterSeq: seq - 1, limit: 1 })));
  return session.queue.flatMap(({ turnId, queuedAtMs, steer }, place): QueuedMessageView[] => {
    const entry = entries[place]?.[0];
    if (entry === undefined || !holdsMessage(entry)) return []; // the session was deleted meanwhile
    const { messageId, parts, actor, model, clientTools, metadata, visibility } = entry;
    const text = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
    return [{
      messageId, turnId, text, parts, ...(actor && { actor }), ...(model !== undefined && { model }), ...(clientTools && { clientTools }), ...(metadata && { metadata }), ...(visibility && { visibility }),
      ...(steer === true ? { steer } : {}), queuedAtMs,
    }];
  });
}

function holdsMessage(entry: Entry): entry is Entry & MessageContent {
  return entry.kind === 'message-queued' || entry.kind === 'queued-message-edited';
}
