import { appendResults, withdrawActions } from '../advance.ts';
import { stoppedCall } from '../call-result.ts';
import { Draft, type Change, type Circumstances } from '../draft.ts';
import type { Entry, EntryKind } from '../entry.ts';
import { InvariantError, refuse, type Refusal } from '../errors.ts';
import type { Branch } from '../history.ts';
import { closedAt } from '../intervals.ts';
import { limits } from '../limits.ts';
import { callFaults, historyFaults, placeFault, summaryFaults } from '../log-faults.ts';
import { isLive, type Operation } from '../operation.ts';
import { cancelled } from '../operation-transitions.ts';
import { project } from '../project.ts';
import { emptySession, fencesPerMs, type NewSession, type Session } from '../session.ts';
import { holdWaiting } from './move.ts';

/** A whole session of another store: its log, and the little that its log does not say. */
export interface ImportLogCommand {
  /** The whole log, in order. */
  readonly entries: readonly Entry[];
  /** The rows of its operations; those that the log does not name are left out. */
  readonly operations: readonly Operation[];
  /** Of the session's row, what is no entry. */
  readonly beside: Pick<Session, 'updatedAtMs' | 'endAfterInactivityMs' | 'endsAtMs' | 'deleteAfterRestMs' | 'deletesAtMs'>;
  /** Calls of the step at which an open turn stands that have not begun, by index: nothing can have come of them. */
  readonly notBegun: readonly number[];
}

export interface ImportLogReply {
  readonly sessionId: string;
  readonly revision: number;
  readonly turns: number;
  /** The turn that was open, and has ended as `stopped`. */
  readonly stoppedTurnId: string | null;
  /** Operations that lived: they go on where they are from, and are `cancelled` here. */
  readonly leftOperations: readonly string[];
}

/**
 * The same session again: the same log, and by that the same history, branches, state, queue and usage. At rest it is equal to its origin. Of one that was not, nothing is run twice: its open turn ends as `stopped`, calls
 * without a result too, what waited for somebody is withdrawn, operations that lived stay with the origin, and waiting messages are held. Refusal: `invalid_request`, when it is no log that the engine could have written; its
 * details name the entry.
 */
export function importLog(key: NewSession, command: ImportLogCommand, { nowMs }: Pick<Circumstances, 'nowMs'>): Change<ImportLogReply> | Refusal {
  const { entries, beside } = command;
  const folded = foldWithBranches(key, entries);
  if ('refused' in folded) return folded;
  const faults = [...summaryFaults(entries), ...callFaults(entries, folded.session.turn?.lastStep?.seq ?? null), ...[folded.session.visible, ...folded.branches.map(({ intervals }) => intervals)].flatMap((history) => historyFaults(entries, history))];
  if (faults[0] !== undefined) return refuse('invalid_request', faults[0]);
  const { session } = folded;
  const { turn, operations: live } = session;
  // Beyond all that it can have had here, if it was here before and was deleted: what was in flight then is not taken for work on this one (G4).
  const draft = new Draft({ ...session, ...beside, fence: Math.floor(nowMs) * fencesPerMs, updatedAtMs: Math.max(beside.updatedAtMs, session.updatedAtMs) }, nowMs);
  // Each has its own entry that says so, and its row says the same.
  for (const { id: operationId, ...operation } of live) draft.append({ kind: 'operation-ended', operationId, ...operation, status: 'cancelled' });
  if (turn !== null) endOpenTurn(draft, command.notBegun);
  else if (live.length > 0) draft.rest();
  const reply: ImportLogReply = { sessionId: key.id, revision: draft.session.revision, turns: draft.session.turns, stoppedTurnId: turn?.id ?? null, leftOperations: live.map(({ id }) => id) };
  const change = draft.done(reply);
  return {
    ...change, entries: [...entries, ...change.entries], operations: rowsOf(command.operations, draft.session, entries, draft.nowMs), imported: true,
    ...(folded.branches.length === 0 ? {} : { branches: { filed: folded.branches, restored: [] } }),
  };
}

interface Folded {
  readonly session: Session;
  readonly branches: readonly Branch[];
}

function foldWithBranches(key: NewSession, entries: readonly Entry[]): Folded | Refusal {
  const branches = new Map<string, Branch>();
  let session = emptySession(key, entries[0]?.atMs ?? 0);
  for (const entry of entries) {
    const fault = entryFault(session, entry) ?? placeFault(entries, entry) ?? branchFault(branches, entry);
    if (fault !== null) return refuse('invalid_request', `entry ${entry.seq}: ${fault}`, { seq: entry.seq });
    try {
      session = project(session, entry);
    } catch (error) {
      // What would be a bug in a log of ours is a fault of a file.
      if (!(error instanceof InvariantError)) throw error;
      return refuse('invalid_request', `entry ${entry.seq}, ${entry.kind}, does not fit what comes before it: ${error.message}`, { seq: entry.seq });
    }
    if (entry.kind === 'branch-discarded') {
      const { branchId: id, fromTurnId, turns, before = closedAt(session.visible, entry.seq - 1), intervals } = entry;
      branches.set(id, { id, discardedAtMs: entry.atMs, fromTurnId, turns, before, intervals });
    }
    if (entry.kind === 'branch-restored') branches.delete(entry.branchId);
  }
  if (entries.length === 0) return refuse('invalid_request', 'the log is empty');
  return { session, branches: [...branches.values()] };
}

/** What is said in a turn, and how that ends. */
const ofOpenTurn: ReadonlySet<EntryKind> = new Set<EntryKind>(['user-message', 'assistant-step', 'tool-results', 'operation-result', 'turn-ended']);

/** Why an entry cannot be the log's next one; null: it can. */
function entryFault({ lastSeq, turn }: Session, entry: Entry): string | null {
  if (entry.seq !== lastSeq + 1) return `it follows entry ${lastSeq}; seqs are dense from 1`;
  if ((entry.kind === 'session-created') !== (lastSeq === 0)) return 'a log begins with session-created, and has it nowhere else';
  const opens = entry.kind === 'turn-started' || (entry.kind === 'user-message' && entry.steered !== true);
  if (opens && turn !== null) return `it opens a turn while ${turn.id} is open`;
  if (opens || !ofOpenTurn.has(entry.kind) || !('turnId' in entry)) return null;
  return entry.turnId === turn?.id ? null : `it is of turn ${String(entry.turnId)}, and ${turn === null ? 'none' : turn.id} is open`;
}

function branchFault(branches: ReadonlyMap<string, Branch>, entry: Entry): string | null {
  if (entry.kind === 'branch-restored') return branches.has(entry.branchId) ? null : `there is no branch ${entry.branchId}`;
  if (entry.kind !== 'branch-discarded') return null;
  if (branches.has(entry.branchId)) return `there is a branch ${entry.branchId} already`;
  return branches.size < limits.branchesMax ? null : `it has more than ${limits.branchesMax} branches`;
}

/** As a stop ends it: only what is known not to have begun is said not to have had an effect. Nothing goes on by itself afterwards. */
function endOpenTurn(draft: Draft, notBegun: readonly number[]): void {
  draft.set({ fence: draft.session.fence + 1 });
  withdrawActions(draft);
  const step = draft.session.turn?.lastStep;
  if (step && step.openCalls.length > 0) appendResults(draft, step.seq, step.openCalls.map((call) => stoppedCall(call, !notBegun.includes(call.index))));
  draft.endTurn('stopped', { startsNext: false });
  holdWaiting(draft);
}

/** One that lived, or ended after the log was read, is cancelled here, as the log says; none of them is anybody's to run or to complete. */
function rowsOf(operations: readonly Operation[], { tenant, id: sessionId, owner, agent }: Session, entries: readonly Entry[], nowMs: number): readonly Operation[] {
  const started = new Set(entries.flatMap((entry) => (entry.kind === 'operation-started' ? [entry.operationId] : [])));
  const ended = new Set(entries.flatMap((entry) => (entry.kind === 'operation-ended' ? [entry.operationId] : [])));
  return operations.filter(({ id }) => started.has(id)).map((operation) => {
    const own: Operation = { ...operation, tenant, sessionId, owner, agent, worker: null, tokenHashes: [] };
    if (ended.has(own.id) && !isLive(own)) return own;
    return cancelled({ ...own, status: own.startedAtMs === null ? 'queued' : 'running' }, nowMs);
  });
}
