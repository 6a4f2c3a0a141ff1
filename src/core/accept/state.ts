import { isRefusal } from '../errors.ts';
import { itemOf, type StateItem, type StateProvenance, type StateWrite } from '../state.ts';
import { refuseEnded, type Accept } from './transition.ts';

export interface StateReply {
  readonly revision: number;
  /** What was written, where a value was. */
  readonly item: StateItem | null;
  /** Keys whose values are other than they were. */
  readonly changed: number;
}

/** Writes of the conversation's own state. They are of the timeline: what could have been brought back by `redo` is a branch then. Reads the state. */
export function acceptState(writes: readonly StateWrite[], provenance: Omit<StateProvenance, 'atMs'>): Accept<StateReply> {
  return (draft) => {
    const refused = refuseEnded(draft.session, 'writing state') ?? draft.writeState(writes, provenance);
    if (isRefusal(refused)) return refused;
    const entries = draft.appendState();
    const [first] = entries;
    return { revision: draft.session.revision, item: first?.kind === 'state-changed' ? itemOf(first, draft.nowMs) : null, changed: entries.length };
  };
}
