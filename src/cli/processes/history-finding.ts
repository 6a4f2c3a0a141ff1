import type { Entry } from '../../core/entry.ts';
import type { Session } from '../../core/session.ts';

/** Something that what clients saw, or what really ran, does not allow. */
export interface HistoryFinding {
  readonly count: 'lost' | 'duplicated' | 'unordered';
  /** The session, and what of it; empty for the run as a whole. */
  readonly where: string;
  readonly problem: string;
  readonly found?: string;
}

/** A session as it is in the store when the run is over, with its whole log. */
export interface LoggedSession {
  readonly session: Pick<Session, 'id' | 'revision' | 'lastSeq' | 'queue' | 'forkedFrom'>;
  readonly entries: readonly Entry[];
}
