import { refuse, type Refusal } from '../errors.ts';
import type { Accept } from './transition.ts';

export interface TransferReply {
  readonly revision: number;
  readonly owner: string;
}

/** Two sessions of one owner do not have the same external id. What the store says that looks at both. */
export function externalIdTaken({ owner, externalId, agent }: { readonly owner: string; readonly externalId: string; readonly agent: string }): Refusal {
  return refuse('external_id_taken', `${owner} has a session with the external id ${JSON.stringify(externalId)} already`, { agent });
}

/** Gives a session to another owner, with all that is its own. Repeating it is harmless. */
export function acceptTransfer(owner: string): Accept<TransferReply> {
  return (draft) => {
    const { owner: from } = draft.session;
    if (from !== owner) draft.append({ kind: 'owner-changed', from, to: owner });
    return { revision: draft.session.revision, owner };
  };
}
