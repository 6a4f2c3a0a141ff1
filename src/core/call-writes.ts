import type { CallResult } from './call-result.ts';
import { failedCall } from './call-result.ts';
import type { Draft } from './draft.ts';
import type { Refusal } from './errors.ts';
import type { NodeMove } from './node-entry.ts';

/** The transition that a step takes, and the call that takes it. */
export type TakenMove = NodeMove & { readonly callKey: string };

/** A step's results as its entry has them, and what else of them is to be in the same commit. */
export interface WrittenResults {
  readonly results: readonly CallResult[];
  /** null: the conversation stays where it is. */
  readonly move: TakenMove | null;
}

/**
 * The results of a step's calls as its entry has them: without their writes and transitions, which are made in the same commit, in call order. A call whose writes are not possible any more, or whose transition leads from a node
 * in which the conversation is no longer (a sibling went first, or somebody from outside), has failed, and nothing of either is made. Of a call that did not end as `done` nothing is written.
 */
export function withWritesMade(draft: Draft, stepSeq: number, given: readonly CallResult[]): WrittenResults {
  let present = draft.session.node;
  let move: TakenMove | null = null;
  const results = given.map((whole) => {
    const { nodeMove } = whole;
    const result = withoutWrites(whole);
    if (result.outcome !== 'done') return result;
    const callKey = `${draft.session.id}/${stepSeq}/${result.index}`;
    const stale = nodeMove === undefined ? null : refuseStale(nodeMove, present);
    if (stale !== null) return conflict(result, 'node_conflict', stale);
    const refused = writeState(draft, whole, callKey);
    if (refused !== null) return conflict(result, 'state_conflict', `The call ran, and the state that it was to write has changed meanwhile, so that nothing of it was written: ${refused.message}`);
    if (nodeMove !== undefined) {
      move = { ...nodeMove, callKey };
      present = nodeMove.to;
    }
    return result;
  });
  return { results, move };
}

function refuseStale({ from, to }: NodeMove, present: string | null): string | null {
  return from === present ? null : `The conversation has gone to ${present ?? 'no node'} meanwhile, so that the transition from ${from ?? 'no node'} to ${to} was not taken, and nothing that belongs to it was written.`;
}

function writeState(draft: Draft, { stateWrites }: CallResult, callKey: string): Refusal | null {
  if (stateWrites === undefined) return null;
  const turnId = draft.session.turn?.id;
  return draft.writeState(stateWrites.writes, { by: 'tool', callKey, ...(turnId === undefined ? {} : { turnId }), ...(stateWrites.actor === undefined ? {} : { actor: stateWrites.actor }) });
}

function conflict(result: CallResult, code: string, errorText: string): CallResult {
  const { startedAtMs, durationMs } = result;
  return { ...failedCall(result, code, errorText), ...(startedAtMs === undefined ? {} : { startedAtMs }), ...(durationMs === undefined ? {} : { durationMs }) };
}

/** What of a result others see. */
export function withoutWrites({ stateWrites: _writes, nodeMove: _move, ...result }: CallResult): CallResult {
  return result;
}
