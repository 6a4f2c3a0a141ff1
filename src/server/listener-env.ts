/** What a listener hands the app beside a request. It may be missing: the app also answers bare requests. */
export interface ListenerEnv {
  /** Aborted when the listener closes: what only waits ends then. */
  readonly closing?: AbortSignal;
}

/** The parts of an environment that are what they should be: other routers hand over other things. */
export function listenerEnv(env: unknown): ListenerEnv {
  const { closing } = (typeof env === 'object' && env !== null ? env : {}) as { readonly closing?: unknown };
  return closing instanceof AbortSignal ? { closing } : {};
}
