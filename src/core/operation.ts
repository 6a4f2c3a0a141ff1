import type { CallResult, Outcome } from './call-result.ts';

/** `await`: the turn waits for its result, which is the call's. `detach`: the call is answered at once, the result comes later. */
export type OperationMode = 'await' | 'detach';

/** How a call runs that runs as an operation. */
export interface CallOperation {
  readonly mode: OperationMode;
  readonly key?: string;
}

export type OperationStatus = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'unknown';

/** How far an operation says it is. */
export interface OperationProgress {
  /** From 0 to 1. */
  readonly fraction: number;
  readonly text?: string;
  readonly atMs: number;
}

/** A long-running tool execution with a life, a fence and a row of its own (design section 7). */
export interface Operation {
  readonly tenant: string;
  readonly id: string;
  readonly sessionId: string;
  readonly owner: string;
  readonly agent: string;
  readonly turnId: string;
  /** Its call is `(stepSeq, index)`. */
  readonly stepSeq: number;
  readonly index: number;
  readonly toolCallId: string;
  readonly toolName: string;
  /** Seq of the entry that holds the input with which the call was approved, where a person changed it. */
  readonly inputSeq: number | null;
  readonly mode: OperationMode;
  /** While it lives, no other of the same key starts. Scoped to owner, agent and tool. */
  readonly key: string | null;
  readonly status: OperationStatus;
  /** Times it was begun. */
  readonly attempts: number;
  /** Claims that ended by the death of their worker. */
  readonly crashes: number;
  readonly progress: OperationProgress | null;
  /** Grows whenever work in flight for it must no longer count (G4). */
  readonly fence: number;
  readonly worker: string | null;
  /** SHA-256 of the tokens with which it may be completed from outside; none: it completes itself. */
  readonly tokenHashes: readonly string[];
  /** Its tool has returned and somebody outside completes it: no worker runs it. */
  readonly external: boolean;
  /** When it must have ended. */
  readonly timeoutAtMs: number;
  /** How its call ended, once it has. */
  readonly result: CallResult | null;
  readonly createdAtMs: number;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly updatedAtMs: number;
}

/** What a session's row says of an operation that has not ended. */
export interface LiveOperation {
  readonly id: string;
  readonly mode: OperationMode;
  readonly stepSeq: number;
  readonly index: number;
  readonly toolCallId: string;
  readonly toolName: string;
}

/** A detached operation's result that the model has not been given yet. */
export interface Delivery {
  readonly operationId: string;
  /** The entry that holds the result. */
  readonly seq: number;
  /** The step that holds its call. */
  readonly stepSeq: number;
  /** The turn that it opens if none is running when its time comes; null: it has been opened, and was stopped before the model was given the result. */
  readonly turnId: string | null;
}

interface OperationEntry {
  readonly operationId: string;
  readonly stepSeq: number;
  readonly index: number;
  readonly toolCallId: string;
  readonly toolName: string;
}

export interface OperationStarted extends OperationEntry {
  readonly kind: 'operation-started';
  readonly turnId: string;
  readonly mode: OperationMode;
}

/** An operation ended. That of a call which waited for it is in the step's results; a detached one has its result here. */
export interface OperationEnded extends OperationEntry {
  readonly kind: 'operation-ended';
  readonly mode: OperationMode;
  readonly status: OperationStatus;
  readonly result?: CallResult;
  /** The model is to be given the result: in the running turn, or in this one. */
  readonly deliveryTurnId?: string;
}

/** A detached operation's result, given to the model. */
export interface OperationResult extends OperationEntry {
  readonly kind: 'operation-result';
  readonly turnId: string;
  readonly result: CallResult;
}

/** The real result of a call that came after the call had been given up: shown beside its outcome, and changing nothing. */
export interface LateResult {
  readonly kind: 'late-result';
  readonly turnId: string;
  readonly stepSeq: number;
  readonly result: CallResult;
}

/** An operation as clients see it: the published schema. */
export interface OperationView extends Pick<Operation, 'id' | 'sessionId' | 'turnId' | 'stepSeq' | 'index' | 'toolCallId' | 'toolName' | 'mode' | 'status' | 'attempts' | 'progress' | 'external' | 'result' | 'timeoutAtMs' | 'createdAtMs' | 'startedAtMs' | 'endedAtMs'> {}

export function operationView(operation: Operation): OperationView {
  const { id, sessionId, turnId, stepSeq, index, toolCallId, toolName, mode, status, attempts, progress, external, result, timeoutAtMs, createdAtMs, startedAtMs, endedAtMs } = operation;
  return { id, sessionId, turnId, stepSeq, index, toolCallId, toolName, mode, status, attempts, progress, external, result, timeoutAtMs, createdAtMs, startedAtMs, endedAtMs };
}

export function isLive({ status }: Pick<Operation, 'status'>): boolean {
  return status === 'queued' || status === 'running';
}

/** When somebody must look at it although nothing happens to it; 0 for work that nobody holds. null: never. */
export function operationDueAtMs(operation: Operation): number | null {
  if (!isLive(operation)) return null;
  if (operation.external) return operation.timeoutAtMs;
  return operation.worker === null ? 0 : null;
}

/** What an operation's status means for its call (G6). */
export const outcomeOfStatus: Readonly<Record<Exclude<OperationStatus, 'queued' | 'running'>, Outcome>> = {
  succeeded: 'done', failed: 'failed', cancelled: 'stopped', unknown: 'unknown',
};
