/** The nodes of the conversation, as a tool has them. */
export interface ToolNode {
  /** The present one, as of the step; null: the agent has no nodes. */
  readonly name: string | null;
  /**
   * Takes a transition of the present node. It lands in the commit of the call's step, if the call ends as `done`: with its result, or not at all. When the conversation has gone elsewhere by then, because a sibling
   * went first or somebody from outside, the call ends as `failed` with code `node_conflict`, and nothing that it wrote through `state` lands either. Of several in one call the last one counts. Throws `RefusedError`: `nodes_not_used`, `node_unknown`,
   * `node_not_allowed`, `invalid_request` (in a tool with `background` or `transaction`, and when the call has ended).
   */
  enter(node: string, options?: { readonly reason?: string }): void;
}
