import type { Entry, MessagePart } from '../entry.ts';
import { refuse } from '../errors.ts';
import { summariesOf } from '../history.ts';
import { canonicalJson } from '../json.ts';
import { previewOf } from '../project.ts';
import { isRedactable, isSummarised, labelledTurnOf } from '../redact.ts';
import type { EntryRedacted } from '../redaction-entry.ts';
import type { Session } from '../session.ts';
import type { Accept } from './transition.ts';

export interface RedactCommand {
  /** The entry as the log has it, and those that hold the same content: a message that waited, and what it became; what an operation came to, and what the model was given of it. */
  readonly entries: readonly Entry[];
  readonly by: string;
  /** Operations whose results are among the entries. Those that an entry names need not be named. */
  readonly operationIds?: readonly string[];
  /** The message was seen to wait: what it becomes may not be among the entries. */
  readonly waits?: boolean;
  /** The operation whose result was seen to wait for the model: once it is given, there is one more entry. */
  readonly undelivered?: string | null;
}

export interface RedactReply {
  readonly revision: number;
  /** Whether there was something to remove; false: it has been removed before. */
  readonly redacted: boolean;
}

/** Removes the content of an entry for good and leaves a tombstone. Not of the turn that runs: its content is in use. Reads the entries, which somebody else may have redacted since, and the marks, which say of a summary that has come since. */
export function acceptRedact({ entries, by, operationIds = [], waits = false, undelivered = null }: RedactCommand): Accept<RedactReply> {
  return (draft, _circumstances, loaded) => {
    const { turn, queue, deliveries } = draft.session;
    const isBeingGiven = undelivered !== null && !deliveries.some(({ operationId }) => operationId === undelivered);
    const since = entries.some(isSummarised) ? summariesOf(loaded.marks ?? [], Math.min(...entries.map(({ seq }) => seq))) : [];
    const summary = since.find((seq) => entries.every((entry) => entry.seq !== seq));
    if (summary !== undefined) return refuse('session_busy', `the history was compacted meanwhile (entry ${summary}); ask again`, { seq: summary });
    let redacted = false;
    for (const read of entries) {
      const entry = loaded.entries?.find(({ seq }) => seq === read.seq) ?? read;
      if (!isRedactable(entry)) return refuse('invalid_request', `entry ${entry.seq} (${entry.kind}) has no content that can be removed`, { seq: entry.seq });
      const isInUse = waits || isBeingGiven || (turn !== null && 'turnId' in entry && entry.turnId === turn.id) || queue.some(({ seq }) => seq === entry.seq);
      if (isInUse) return refuse('session_busy', `entry ${entry.seq} belongs to a turn that runs or waits; let it end, stop it, or take its message from the queue`, { seq: entry.seq });
      const turnId = labelledTurnOf(entry);
      const isLabelled = [draft.session.titleFrom, draft.session.summary].some((label) => label !== null && label.turnId === turnId && !entries.some(({ seq }) => seq === label.seq));
      if (isLabelled) return refuse('session_busy', `a title or a summary has been made of entry ${entry.seq} just now; ask again, so that it goes too`, { seq: entry.seq });
      if (entry.redacted !== undefined) continue;
      redacted = true;
      draft.redact(entry, { atMs: draft.nowMs, by }, 'operationId' in entry ? [...operationIds, entry.operationId] : operationIds);
      draft.append({
        kind: 'entry-redacted', redactedSeq: entry.seq, redactedKind: entry.kind, by, clears: clearsOf(draft.session, entry), ...('messageId' in entry ? { messageId: entry.messageId } : {}),
      });
    }
    return { revision: draft.session.revision, redacted };
  };
}

/** What the session's row still says of the entry. */
function clearsOf({ preview, title, metadata, summary, simulator }: Session, entry: Entry): EntryRedacted['clears'] {
  const parts = 'parts' in entry && entry.kind !== 'assistant-step' ? (entry.parts as readonly MessagePart[]) : [];
  const ownTitle = entry.kind === 'title-set' || entry.kind === 'session-created' ? (entry.title ?? null) : null;
  const ownMetadata = entry.kind === 'metadata-set' || entry.kind === 'session-created' ? entry.metadata : undefined;
  return [
    ...(preview !== null && previewOf(parts) === preview ? ['preview' as const] : []),
    ...(ownTitle !== null && ownTitle === title ? ['title' as const] : []),
    ...(ownMetadata !== undefined && canonicalJson(ownMetadata) === canonicalJson(metadata) ? ['metadata' as const] : []),
    ...(entry.kind === 'summary-set' && entry.seq === summary?.seq ? ['summary' as const] : []),
    ...(entry.kind === 'simulator-set' && entry.simulator !== null && entry.simulator.persona === simulator?.persona ? ['simulator' as const] : []),
  ];
}
