import { appendResults, withdrawActions } from '../advance.ts';
import { stoppedCall } from '../call-result.ts';
import type { Draft, Loaded } from '../draft.ts';
import { invariant } from '../errors.ts';
import { awaitedOperations, type OpenCall } from '../session.ts';
import { foldSegments, stoppedParts } from '../stream-parts.ts';
import type { Accept } from './transition.ts';

export interface StopCommand {
  /** Stop only this turn: a running one is ended, a queued one leaves the queue. Absent: whatever runs. */
  readonly turnId?: string;
  /** Keep the queue from going on. */
  readonly holdQueue?: boolean;
  /** Let the operations that the turn waits for go on; their results are kept, and nobody waits for them. Else they are cancelled. */
  readonly keepOperations?: boolean;
}

export interface StopReply {
  /** Whether this call ended a turn; false when there was nothing to stop, which is harmless. */
  readonly stopped: boolean;
  readonly turnId: string | null;
  readonly revision: number;
}

/** Ends the running turn in this commit (G9): what was shown stays, open calls are answered, and nothing later of it lands. */
export function acceptStop(command: StopCommand): Accept<StopReply> {
  return (draft, _circumstances, loaded) => {
    if (command.holdQueue === true && !draft.session.queueHeld && !draft.session.ended) draft.append({ kind: 'queue-held' });
    const { turn, queue } = draft.session;
    const queued = queue.find(({ turnId }) => turnId === command.turnId);
    const stopsRunning = turn !== null && (command.turnId === undefined || command.turnId === turn.id);
    if (stopsRunning) stopTurn(draft, loaded, { startsNext: true, ...(command.keepOperations === undefined ? {} : { keepOperations: command.keepOperations }) });
    else if (queued !== undefined) draft.append({ kind: 'message-unqueued', messageId: queued.messageId, reason: 'deleted' });
    return {
      stopped: stopsRunning || queued !== undefined,
      turnId: stopsRunning ? turn.id : (queued?.turnId ?? null),
      revision: draft.session.revision,
    };
  };
}

/** Whether a call that is cut off may have had its effect. */
export function mayHaveBegun({ dispatchedFence, mayHaveRun, operationId }: OpenCall): boolean {
  return dispatchedFence !== undefined || mayHaveRun === true || operationId !== undefined;
}

/** Ends the open turn as stopped. `chunks` is all that was shown of the attempt in flight, `outcomes` what its open calls have come to already. */
export function stopTurn(draft: Draft, { chunks, outcomes }: Pick<Loaded, 'chunks' | 'outcomes'>, options: { readonly startsNext: boolean; readonly keepOperations?: boolean }): void {
  const turn = draft.session.turn;
  invariant(turn !== null, 'a turn that is stopped is open');
  draft.set({ fence: draft.session.fence + 1, claim: null, crashes: 0 });
  if (turn.attempt !== null) {
    const attempt = { ...turn.attempt, durationMs: draft.nowMs - turn.attempt.startedAtMs, usage: null };
    const parts = stoppedParts(foldSegments(chunks));
    if (parts.length === 0) draft.append({ kind: 'attempt-stopped', turnId: turn.id, attempt });
    else draft.append({ kind: 'assistant-step', turnId: turn.id, attempt, parts, finishReason: 'interrupted', stopped: true });
    draft.dropChunks();
  }
  withdrawActions(draft);
  if (options.keepOperations !== true) draft.cancelOperations(awaitedOperations(draft.session));
  const step = draft.session.turn?.lastStep;
  if (step && step.openCalls.length > 0) {
    appendResults(draft, step.seq, step.openCalls.map((call) => outcomes.find(({ index }) => index === call.index) ?? stoppedCall(call, mayHaveBegun(call))));
  }
  draft.endTurn('stopped', { startsNext: options.startsNext });
}
