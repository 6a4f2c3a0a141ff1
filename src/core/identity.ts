/** Who or what is spoken of or speaks: a type and an id in the user's own system. */
export interface Identity {
  readonly type: string;
  readonly id: string;
}

/** Where the agent is installed in the user's own system. */
export interface Binding {
  readonly id: string;
  readonly workspaceId?: string;
  readonly botId?: string;
}
