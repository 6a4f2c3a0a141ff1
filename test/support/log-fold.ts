import type { Entry } from '../../src/core/entry.ts';
import { project } from '../../src/core/project.ts';
import { emptySession, type Session } from '../../src/core/session.ts';

/** The session as its log alone tells it, one entry further. */
export function foldEntry(before: Session, entry: Entry): Session {
  return project(before, entry);
}

/** The session as its log alone tells it. */
export function foldLog(log: readonly Entry[], { tenant, id, createdAtMs }: Session): Session {
  return log.reduce(foldEntry, emptySession({ tenant, id }, createdAtMs));
}

/** What a log tells of a session: all but the work in hand. */
export function toldByLog({ fence: _f, claim: _c, crashes: _x, endsAtMs: _e, endAfterInactivityMs: _i, deleteAfterRestMs: _d, deletesAtMs: _t, updatedAtMs: _u, labelling: _l, turn, ...rest }: Session) {
  if (turn === null) return { ...rest, turn };
  const { attempt: _a, retry: _r, lastStep, ...told } = turn;
  return { ...rest, turn: { ...told, lastStep: lastStep && { ...lastStep, openCalls: lastStep.openCalls.map(({ dispatchedFence: _d, mayHaveRun: _m, ended: _n, ...call }) => call) } } };
}
