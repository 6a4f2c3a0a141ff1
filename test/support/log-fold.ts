import type { Entry } from '../../src/core/entry.ts';
import { isTimeline } from '../../src/core/entry-format.ts';
import { cutBefore, openAt } from '../../src/core/intervals.ts';
import { project } from '../../src/core/project.ts';
import { emptySession, type Session } from '../../src/core/session.ts';

/** The session as its log alone tells it, one entry further. */
export function foldEntry(before: Session, entry: Entry): Session {
  let session = before;
  if (isTimeline(entry) && session.visible.at(-1)?.toSeq !== null) session = { ...session, visible: openAt(session.visible, entry.seq) };
  if (entry.kind === 'branch-discarded') session = { ...session, visible: cutBefore(session.visible, entry.intervals[0]?.fromSeq ?? 0, session.lastSeq).kept };
  return project(session, entry);
}

/** The session as its log alone tells it. */
export function foldLog(log: readonly Entry[], { tenant, id, createdAtMs }: Session): Session {
  return log.reduce(foldEntry, emptySession({ tenant, id }, createdAtMs));
}

/** What a log tells of a session: all but the work in hand. */
export function toldByLog({ fence: _f, claim: _c, crashes: _x, endsAtMs: _e, endAfterInactivityMs: _i, updatedAtMs: _u, turn, ...rest }: Session) {
  if (turn === null) return { ...rest, turn };
  const { attempt: _a, retry: _r, lastStep, ...told } = turn;
  return { ...rest, turn: { ...told, lastStep: lastStep && { ...lastStep, openCalls: lastStep.openCalls.map(({ dispatchedFence: _d, mayHaveRun: _m, ended: _n, ...call }) => call) } } };
}
