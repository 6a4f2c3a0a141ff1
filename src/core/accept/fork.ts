import { appendResults } from '../advance.ts';
import { stoppedCall } from '../call-result.ts';
import { Draft, type Change, type Circumstances } from '../draft.ts';
import type { Entry, EntryDraft, SessionCreated } from '../entry.ts';
import { isTimeline } from '../entry-format.ts';
import { emptySession, type NewSession, type Session } from '../session.ts';
import { mayHaveBegun } from './stop.ts';

export interface ForkCommand extends Pick<SessionCreated, 'externalId' | 'title'> {
  /** The last turn that is copied; null: none is. */
  readonly turnId: string | null;
  readonly endAfterInactivityMs: number | null;
  readonly deleteAfterRestMs: number | null;
}

export interface ForkReply {
  readonly sessionId: string;
  readonly revision: number;
  readonly turns: number;
}

/**
 * A new session with a copy of another's visible history. `entries` are those to be copied, in order. Outcomes come along and nothing else of the work: calls that are not answered end as `stopped`, and
 * operations, actions and usage stay with the origin. The copy needs the origin no more.
 */
export function forkSession(origin: Session, entries: readonly Entry[], key: NewSession, { turnId, endAfterInactivityMs, deleteAfterRestMs, externalId, title }: ForkCommand, { nowMs }: Circumstances): Change<ForkReply> {
  const draft = new Draft(emptySession(key, nowMs), nowMs);
  const { agent, owner, metadata, subject, binding, threadId } = origin;
  const ownTitle = title ?? origin.title;
  draft.append({
    kind: 'session-created', agent, owner, metadata, ...(externalId === undefined ? {} : { externalId }), ...(ownTitle === null ? {} : { title: ownTitle }),
    ...(subject === null ? {} : { subject }), ...(binding === null ? {} : { binding }), ...(threadId === null ? {} : { threadId }), forkedFrom: { sessionId: origin.id, turnId },
  });
  draft.set({ endAfterInactivityMs, deleteAfterRestMs });
  const seqs = new Map<number, number>();
  for (const entry of entries) {
    if (isTimeline(entry)) seqs.set(entry.seq, draft.copy(copyOf(entry, seqs), entry.atMs).seq);
  }
  endOpenTurn(draft, origin);
  draft.rest();
  return draft.done({ sessionId: key.id, revision: draft.session.revision, turns: draft.session.turns });
}

/** The entry as the copy has it: its step is at another place there. Its own place and version it is given as it is appended. */
function copyOf(entry: Entry, seqs: ReadonlyMap<number, number>): EntryDraft {
  const stepSeq = 'stepSeq' in entry ? { stepSeq: seqs.get(entry.stepSeq) ?? 0 } : {};
  return { ...entry, ...stepSeq, copied: true } as EntryDraft;
}

/** Calls that have begun in the origin go on there: the copy's model is told that they may have had their effect. */
function endOpenTurn(draft: Draft, origin: Session): void {
  const { turn } = draft.session;
  if (turn === null) return;
  const begun = new Set(origin.turn?.lastStep?.openCalls.filter(mayHaveBegun).map(({ index }) => index));
  const step = turn.lastStep;
  if (step !== null && step.openCalls.length > 0) appendResults(draft, step.seq, step.openCalls.map((call) => stoppedCall(call, begun.has(call.index))));
  draft.endTurn('stopped', { startsNext: false });
}
