import { failedCall, stoppedCall, unknownCall } from './call-result.ts';
import { toolRules, type AgentRules } from './decide.ts';
import { Draft, type Change, type Circumstances } from './draft.ts';
import type { CallResult } from './entry.ts';
import { refuse, type Refusal } from './errors.ts';
import { isVisible } from './intervals.ts';
import { limits } from './limits.ts';
import { isLive, operationDueAtMs, outcomeOfStatus, type Operation, type OperationProgress, type OperationStatus } from './operation.ts';
import type { Session } from './session.ts';

/** What a transition of an operation is given, as it is under the locks: the session first, then the operation. */
export interface LoadedOperation {
  readonly operation: Operation;
  /** null when the transition did not ask for it. */
  readonly session: Session | null;
  /** Stored outcomes of the session's open calls; with the session. */
  readonly outcomes: readonly CallResult[];
}

/** What a transition of an operation does in one commit (G3): the operation's row, and what its end does to its session. */
export interface OperationChange<Reply> {
  readonly operation: Operation;
  readonly session: Change<null> | null;
  readonly reply: Reply;
}

export type OperationTransition<Reply> = (loaded: LoadedOperation) => OperationChange<Reply> | Refusal;

/** What a worker holds of an operation. */
export interface OperationLease {
  readonly worker: string;
  readonly fence: number;
}

export interface ClaimedOperation {
  readonly operation: Operation;
  /** `run`: begin it. `probe`: it may have run; its tool finds out first. `none`: there is nothing to run. */
  readonly work: 'run' | 'probe' | 'none';
}

type Ended = Exclude<OperationStatus, 'queued' | 'running'>;

/** The value of work that lost its fence: the operation was cancelled, completed or taken over (G4). */
const fenceLost: Refusal = refuse('fence_lost', 'the operation was cancelled, completed or taken over; this work no longer counts');

/** A worker takes an operation that nobody has. One whose worker died goes on by its tool's recovery (G6). Reads the session. */
export function claimOperation(worker: string, isDead: (worker: string) => boolean, rules: AgentRules, circumstances: Circumstances): OperationTransition<ClaimedOperation> {
  return (loaded) => {
    const { operation } = loaded;
    const { nowMs } = circumstances;
    const crashed = operation.worker !== null && isDead(operation.worker);
    const due = crashed ? 0 : operationDueAtMs(operation);
    if (due === null || due > nowMs) return refuse('not_claimable', 'the operation has ended, or somebody has it');
    const end = (status: Ended, result: CallResult): OperationChange<ClaimedOperation> => {
      const change = finish(loaded, status, result, circumstances);
      return { ...change, reply: { operation: change.operation, work: 'none' } };
    };
    if (operation.timeoutAtMs <= nowMs) return end('failed', failedCall(operation, 'operation_timeout', `${operation.toolName} did not end in time; it may still have had its effect`));
    const tool = toolRules(rules, operation.toolName);
    if (tool === undefined) return end(operation.attempts === 0 ? 'failed' : 'unknown', operation.attempts === 0 ? failedCall(operation, 'tool_changed', `the tool ${operation.toolName} is gone since the call was made; it did not run`) : unknownCall(operation));
    const crashes = operation.crashes + (crashed ? 1 : 0);
    if (crashes >= limits.operationCrashesMax) return end('unknown', { ...unknownCall(operation), code: 'poisoned' });
    const runsAgain = tool.recovery === 'rerun' || tool.recovery === 'rerun-keyed' || tool.recovery === 'probe';
    // It runs, and nobody has it: its worker died, or gave it back while it ran.
    if (operation.status === 'running' && !runsAgain) {
      if (operation.tokenHashes.length === 0) return end('unknown', unknownCall(operation));
      // Its work may have been given to somebody outside, who completes it or does not.
      const delegated = { ...operation, crashes, external: true, worker: null, fence: operation.fence + 1, updatedAtMs: nowMs };
      return { operation: delegated, session: null, reply: { operation: delegated, work: 'none' } };
    }
    const begun: Operation = {
      ...operation, status: 'running', worker, crashes, fence: operation.fence + 1, attempts: operation.attempts + 1, startedAtMs: operation.startedAtMs ?? nowMs, updatedAtMs: nowMs,
    };
    return { operation: begun, session: null, reply: { operation: begun, work: operation.attempts > 0 && tool.recovery === 'probe' ? 'probe' : 'run' } };
  };
}

function whenHeld<Reply>(lease: OperationLease, change: (loaded: LoadedOperation) => OperationChange<Reply>): OperationTransition<Reply> {
  return (loaded) => (isLive(loaded.operation) && loaded.operation.worker === lease.worker && loaded.operation.fence === lease.fence ? change(loaded) : fenceLost);
}

function only<Reply>(operation: Operation, reply: Reply): OperationChange<Reply> {
  return { operation, session: null, reply };
}

export function reportProgress(lease: OperationLease, progress: OperationProgress): OperationTransition<null> {
  return whenHeld(lease, ({ operation }) => only({ ...operation, progress, updatedAtMs: progress.atMs }, null));
}

/** Lets somebody outside complete the operation, with the token of which this is the hash. */
export function allowCompletion(lease: OperationLease, tokenHash: string, nowMs: number): OperationTransition<null> {
  return whenHeld(lease, ({ operation }) => only({ ...operation, tokenHashes: [...operation.tokenHashes, tokenHash].slice(-limits.completionTokensMax), updatedAtMs: nowMs }, null));
}

/** The tool has returned and somebody outside goes on: no worker is held until the completion, or until its time is over. */
export function delegateOperation(lease: OperationLease, nowMs: number): OperationTransition<null> {
  return whenHeld(lease, ({ operation }) => only({ ...operation, external: true, worker: null, fence: operation.fence + 1, updatedAtMs: nowMs }, null));
}

/** Gives an operation back in order, which is no crash. One that has not begun is as it was before it was claimed; of one that has begun, its tool's recovery decides what the next claimant does (G6). */
export function releaseOperation(lease: OperationLease, begun: boolean, nowMs: number): OperationTransition<null> {
  return whenHeld(lease, ({ operation }) => {
    const released: Operation = { ...operation, worker: null, fence: operation.fence + 1, updatedAtMs: nowMs };
    if (begun) return only(released, null);
    const attempts = operation.attempts - 1;
    return only(attempts === 0 ? { ...released, status: 'queued', attempts, startedAtMs: null } : { ...released, attempts }, null);
  });
}

/** The end of an operation that its tool has run. Reads the session. */
export function settleOperation(lease: OperationLease, result: CallResult, circumstances: Circumstances): OperationTransition<null> {
  return whenHeld(lease, (loaded) => finish(loaded, statusOfResult(result), result, circumstances));
}

export interface OperationEndReply {
  readonly operationId: string;
  readonly status: OperationStatus;
}

/** The end of an operation from outside, by a one-time token. A second completion is harmless, a wrong token finds nothing. Reads the session. */
export function completeOperation(tokenHash: string, result: CallResult, circumstances: Circumstances): OperationTransition<OperationEndReply> {
  return (loaded) => {
    const { operation } = loaded;
    if (!operation.tokenHashes.includes(tokenHash)) return refuse('operation_not_found', `there is no operation ${operation.id}`);
    return endFromOutside(loaded, statusOfResult(result), result, circumstances);
  };
}

/** Ends an operation that lives. Cancelling one that has ended is harmless. Reads the session. */
export function cancelOperation(circumstances: Circumstances): OperationTransition<OperationEndReply> {
  return (loaded) => endFromOutside(loaded, 'cancelled', cancelledCall(loaded.operation), circumstances);
}

function endFromOutside(loaded: LoadedOperation, status: Ended, result: CallResult, circumstances: Circumstances): OperationChange<OperationEndReply> {
  const { operation } = loaded;
  if (!isLive(operation)) return only(operation, { operationId: operation.id, status: operation.status });
  return { ...finish(loaded, status, result, circumstances), reply: { operationId: operation.id, status } };
}

/** An operation that a change of its session cancels: its session has been told already. */
export function cancelled(operation: Operation, nowMs: number): Operation {
  return isLive(operation) ? ended(operation, 'cancelled', cancelledCall(operation), nowMs) : operation;
}

function cancelledCall(operation: Operation): CallResult {
  return { ...stoppedCall(operation, operation.attempts > 0), errorText: operation.attempts > 0 ? 'The operation was cancelled while it ran. It may have had its effect.' : 'The operation was cancelled before it began.' };
}

function statusOfResult({ outcome }: CallResult): Ended {
  if (outcome === 'done') return 'succeeded';
  return outcome === 'unknown' ? 'unknown' : 'failed';
}

function ended(operation: Operation, status: Ended, result: CallResult, nowMs: number): Operation {
  const { index, toolCallId, toolName } = operation;
  const own: CallResult = { ...result, index, toolCallId, toolName, outcome: result.outcome === 'failed' ? 'failed' : outcomeOfStatus[status] };
  return { ...operation, status, result: own, worker: null, external: false, fence: operation.fence + 1, endedAtMs: nowMs, updatedAtMs: nowMs };
}

/**
 * Ends an operation and tells its session: an awaited call has its outcome; a detached result is given to the model in the running turn or in
 * a new one, if the branch that holds its call is the visible one.
 */
function finish({ operation, session, outcomes }: LoadedOperation, status: Ended, result: CallResult, { nowMs, mintId }: Circumstances): OperationChange<null> {
  const over = ended(operation, status, result, nowMs);
  if (session === null || over.result === null) return only(over, null);
  const draft = new Draft(session, nowMs, outcomes);
  const { id: operationId, mode, stepSeq, index, toolCallId, toolName } = operation;
  const isAwaited = session.turn?.lastStep?.seq === stepSeq && session.turn.lastStep.openCalls.some((call) => call.operationId === operationId && call.ended !== true);
  const isDelivered = mode === 'detach' && !session.ended && isVisible(session.visible, stepSeq);
  draft.append({
    kind: 'operation-ended', operationId, mode, stepSeq, index, toolCallId, toolName, status,
    ...(isAwaited ? {} : { result: over.result }), ...(isDelivered ? { deliveryTurnId: mintId('turn') } : {}),
  });
  if (isAwaited) draft.keepOutcome(over.result);
  // Who cancelled it knows; the model hears of it in the next turn.
  if (isDelivered && status !== 'cancelled') draft.startDelivery();
  draft.rest();
  return { operation: over, session: draft.done(null), reply: null };
}
