import type { Entry } from '../core/entry.ts';
import { entryFormats } from '../core/entry-format.ts';
import { canonicalJson, type JsonValue } from '../core/json.ts';
import { callFaults, summaryFaults } from '../core/log-faults.ts';
import { project } from '../core/project.ts';
import { dueAtMs, emptySession, statusOf, type Session } from '../core/session.ts';
import type { SessionRows } from '../store/administration.ts';
import { examineBranches } from './examine-branches.ts';
import { examineWork, type WorkRows } from './examine-work.ts';
import type { Finding } from './finding.ts';

/** A session's row: its columns, and the session in its body. */
export type SessionRow = Pick<SessionRows, 'columns' | 'session'>;

/** Compares a session's row with its log, the log with itself, and both with what the work in hand refers to. Pure; `entries` is the whole log in order. */
export function examineSession({ columns, session }: SessionRow, entries: readonly Entry[], work: WorkRows): readonly Finding[] {
  const sessionId = session.id;
  const found = (code: string, message: string): Finding => ({ code, message, sessionId });
  const gap = entries.findIndex((entry, place) => entry.seq !== place + 1);
  // What is missing from the log makes everything after it wrong: that is said once.
  if (gap !== -1) return [found('log_gap', `entry ${gap + 1} is followed by seq ${entries[gap]?.seq}; seqs must be dense`)];
  if (entries.some((entry) => entryFormats[entry.kind] === undefined)) return [];
  return [
    ...columnFindings(columns, session).map((message) => found('row_mismatch', message)),
    ...projectionFindings(session, entries).map((message) => found('projection_mismatch', message)),
    ...callFaults(entries, session.turn?.lastStep?.seq ?? null).map((message) => found('call_results', message)),
    ...summaryFaults(entries).map((message) => found('compaction', message)),
    ...examineBranches(entries, work.branches).map((message) => found('branch_mismatch', message)),
    ...stuckFindings(columns, session).map((message) => found('stuck', message)),
    ...examineWork(session, entries, work),
  ];
}

function columnFindings(columns: SessionRow['columns'], session: Session): readonly string[] {
  const expected: SessionRow['columns'] = {
    tenant: session.tenant, id: session.id, owner: session.owner, agent: session.agent, external_id: session.externalId, title_lower_case: session.title?.toLowerCase() ?? null,
    status: statusOf(session), archived: session.archived ? 1 : 0, active_at_ms: session.activeAtMs, due_at_ms: dueAtMs(session),
    worker: session.claim?.worker ?? null, fence: session.fence, attempt_id: session.turn?.attempt?.id ?? null,
  };
  return Object.entries(expected).flatMap(([name, value]) =>
    asEnginesTakeIt(columns[name] ?? null) === asEnginesTakeIt(value) ? [] : [`column ${name} is ${JSON.stringify(columns[name] ?? null)}, its session says ${JSON.stringify(value)}`]);
}

/** Not every engine takes every text: a NUL, or half a character, stands as the replacement character in a column for searching. */
function asEnginesTakeIt(value: string | number | null): string | number | null {
  return typeof value === 'string' ? value.replaceAll('\0', '\u{FFFD}').toWellFormed() : value;
}

/** The fields that the log decides: everything but the work in hand. */
function projectionFindings(session: Session, entries: readonly Entry[]): readonly string[] {
  let folded: Session;
  try {
    folded = entries.reduce(foldEntry, emptySession(session, entries[0]?.atMs ?? session.createdAtMs));
  } catch (error) {
    return [`the log cannot be folded: ${error instanceof Error ? error.message : String(error)}`];
  }
  const expected = logDerived(folded);
  return Object.entries(logDerived(session)).flatMap(([name, value]) => {
    const wanted = expected[name] ?? null;
    return canonicalJson(value) === canonicalJson(wanted) ? [] : [`${name} is ${canonicalJson(value)}; folded from the log it is ${canonicalJson(wanted)}`];
  });
}

function foldEntry(session: Session, entry: Entry): Session {
  return project(session, entry);
}

/** What the log decides of a session: all but the work in hand. */
export function logDerived(session: Session): Readonly<Record<string, JsonValue>> {
  const { fence: _fence, claim: _claim, crashes: _crashes, endAfterInactivityMs: _endAfterInactivityMs, endsAtMs: _endsAtMs, deleteAfterRestMs: _deleteAfterRestMs, deletesAtMs: _deletesAtMs, updatedAtMs: _updatedAtMs, labelling: _labelling, turn, ...derived } = session;
  return { ...(derived as unknown as Record<string, JsonValue>), turn: turnFromLog(turn) };
}

/** A turn without the attempt in flight, the retry that waits, the dispatch of its calls and the outcomes stored ahead, which are no entries. */
function turnFromLog(turn: Session['turn']): JsonValue {
  if (turn === null) return null;
  const { attempt: _attempt, retry: _retry, lastStep, ...rest } = turn;
  const openCalls = lastStep?.openCalls.map(({ dispatchedFence: _dispatchedFence, mayHaveRun: _mayHaveRun, ended: _ended, ...call }) => call);
  return { ...rest, lastStep: lastStep === null ? null : { ...lastStep, openCalls } } as unknown as JsonValue;
}

/** Work that is to be done has somebody who does it, or a time at which somebody looks (G7). */
function stuckFindings({ worker, due_at_ms: due }: SessionRow['columns'], session: Session): readonly string[] {
  const status = statusOf(session);
  if (status === 'running' && worker === null) return ['it is running, and no worker has it'];
  if (status === 'ready' && due === null) return ['it is ready, and has no time at which a worker looks at it'];
  return [];
}
