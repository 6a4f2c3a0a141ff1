import { refuse } from '../errors.ts';
import { compactableAfter } from '../history.ts';
import { isAtRest, statusOf } from '../session.ts';
import { refuseEnded, type Accept } from './transition.ts';

export interface CompactCommand {
  /** What the summary is to keep, or to leave out. */
  readonly instructions?: string;
  /** Seqs of summaries whose content has been removed: they stand for nothing. */
  readonly removed?: readonly number[];
}

export interface CompactReply {
  /** The turn that makes the summary. */
  readonly turnId: string;
  readonly messageId: null;
  readonly revision: number;
  readonly queued: false;
}

/** At rest, opens a turn that puts a summary in place of the history before it and then ends. Refused where nothing has been said since the last one. Reads the marks. */
export function acceptCompact({ instructions, removed = [] }: CompactCommand): Accept<CompactReply> {
  return (draft, { mintId }, loaded) => {
    const { session } = draft;
    const ended = refuseEnded(session, 'compacting');
    if (ended !== null) return ended;
    const status = statusOf(session);
    if (session.archived) return refuse('session_archived', 'the session is archived; unarchive it to compact its history', { status });
    if (!isAtRest(session)) return refuse('session_busy', 'a turn is running; its history can be compacted when it has ended', { status, turnId: session.turn?.id });
    if (!compactableAfter((loaded.marks ?? []).filter(({ seq }) => !removed.includes(seq)), session.visible)) return refuse('nothing_to_compact', 'nothing has been said since the history was last compacted', { status });
    const turnId = mintId('turn');
    draft.append({ kind: 'turn-started', turnId, origin: 'compaction', ...(instructions === undefined ? {} : { instructions }) });
    return { turnId, messageId: null, revision: draft.session.revision, queued: false };
  };
}
