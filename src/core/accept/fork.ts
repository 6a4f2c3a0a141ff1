import { appendResults } from '../advance.ts';
import { stoppedCall } from '../call-result.ts';
import { Draft, type Change, type Circumstances } from '../draft.ts';
import type { Entry, EntryDraft, SessionCreated } from '../entry.ts';
import { isTimeline } from '../entry-format.ts';
import { enterFirstNode, type NodeRules } from '../node.ts';
import { emptySession, type NewSession, type Session } from '../session.ts';
import { mayHaveBegun } from './stop.ts';

export interface ForkCommand extends Pick<SessionCreated, 'externalId' | 'title'> {
  /** The last turn that is copied; null: none is. */
  readonly turnId: string | null;
  readonly endAfterInactivityMs: number | null;
  readonly deleteAfterRestMs: number | null;
  /** The agent's nodes: a copy in which none was entered begins in the first one. */
  readonly nodes?: NodeRules;
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
export function forkSession(origin: Session, entries: readonly Entry[], key: NewSession, { turnId, endAfterInactivityMs, deleteAfterRestMs, externalId, title, nodes }: ForkCommand, { nowMs }: Circumstances): Change<ForkReply> {
  const draft = new Draft(emptySession(key, nowMs), nowMs);
  const { agent, owner, metadata, subject, binding, threadId } = origin;
  // A title that was made of a turn stays one: it is not a person's, and goes with what it was made of.
  const madeOf = title === undefined ? (origin.titleFrom?.turnId ?? null) : null;
  const ownTitle = title ?? (madeOf === null ? origin.title : null);
  draft.append({
    kind: 'session-created', agent, owner, metadata, ...(externalId === undefined ? {} : { externalId }), ...(ownTitle === null ? {} : { title: ownTitle }),
    ...(subject === null ? {} : { subject }), ...(binding === null ? {} : { binding }), ...(threadId === null ? {} : { threadId }), forkedFrom: { sessionId: origin.id, turnId },
  });
  if (madeOf !== null) draft.append({ kind: 'title-set', title: origin.title, by: 'generated', turnId: madeOf });
  draft.set({ endAfterInactivityMs, deleteAfterRestMs });
  const seqs = new Map<number, number>();
  for (const entry of entries) {
    if (isTimeline(entry)) seqs.set(entry.seq, draft.copy(copyOf(entry, seqs), entry.atMs).seq);
  }
  endOpenTurn(draft, origin);
  if (draft.session.node === null) enterFirstNode(draft, nodes);
  draft.rest();
  return draft.done({ sessionId: key.id, revision: draft.session.revision, turns: draft.session.turns });
}

/** The entry as the copy has it: its step is at another place there. Its own place and version it is given as it is appended. */
function copyOf(entry: Entry, seqs: ReadonlyMap<number, number>): EntryDraft {
  const there = (seq: number): number => seqs.get(seq) ?? 0;
  const stepSeq = 'stepSeq' in entry ? { stepSeq: there(entry.stepSeq) } : {};
  const covers = entry.kind === 'history-compacted' ? { throughSeq: there(entry.throughSeq), keeps: entry.keeps.map(there) } : {};
  return { ...entry, ...stepSeq, ...covers, copied: true } as EntryDraft;
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
