/** The conversation is in another node from here on. It is of the timeline, so the present node follows rewinding, restoring and forking. */
export interface NodeEntered {
  readonly kind: 'node-entered';
  readonly node: string;
  /** null: it was in none. */
  readonly from: string | null;
  /** `start`: the first node, entered by itself, because the conversation begins, or because its agent has no such node any more as `from`. */
  readonly by: 'start' | 'tool' | 'api';
  /** The turn that was open. */
  readonly turnId?: string;
  /** The call that took the transition. */
  readonly callKey?: string;
  readonly reason?: string;
  /** No transition led there: it was entered by force. */
  readonly forced?: true;
}

/** What a call is to do when its step's results are committed: take the transition from one node to another, if the conversation is still in the first. */
export interface NodeMove {
  readonly from: string | null;
  readonly to: string;
  readonly reason?: string;
}
