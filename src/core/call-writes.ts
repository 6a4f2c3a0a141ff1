import type { CallResult } from './call-result.ts';
import { failedCall } from './call-result.ts';
import type { Draft } from './draft.ts';

/**
 * The results of a step's calls as its entry has them: without their writes, which are made in the same commit, in call order. A call whose writes are not possible any more has failed, and none of
 * them is made. Of a call that did not end as `done` nothing is written.
 */
export function withWritesMade(draft: Draft, stepSeq: number, results: readonly CallResult[]): readonly CallResult[] {
  return results.map((given) => {
    const { stateWrites, ...result } = given;
    if (stateWrites === undefined || result.outcome !== 'done') return result;
    const turnId = draft.session.turn?.id;
    const callKey = `${draft.session.id}/${stepSeq}/${result.index}`;
    const refused = draft.writeState(stateWrites.writes, { by: 'tool', callKey, ...(turnId === undefined ? {} : { turnId }), ...(stateWrites.actor === undefined ? {} : { actor: stateWrites.actor }) });
    if (refused === null) return result;
    const { startedAtMs, durationMs } = result;
    return {
      ...failedCall(result, 'state_conflict', `The call ran, and the state that it was to write has changed meanwhile, so that nothing of it was written: ${refused.message}`),
      ...(startedAtMs === undefined ? {} : { startedAtMs }), ...(durationMs === undefined ? {} : { durationMs }),
    };
  });
}

/** What of a result others see. */
export function withoutWrites({ stateWrites: _writes, ...result }: CallResult): CallResult {
  return result;
}
