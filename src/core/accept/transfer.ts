import type { Accept } from './transition.ts';

export interface TransferReply {
  readonly revision: number;
  readonly owner: string;
}

/** Gives a session to another owner, with all that is its own. Repeating it is harmless. */
export function acceptTransfer(owner: string): Accept<TransferReply> {
  return (draft) => {
    const { owner: from } = draft.session;
    if (from !== owner) draft.append({ kind: 'owner-changed', from, to: owner });
    return { revision: draft.session.revision, owner };
  };
}
