import type { ServerResponse } from 'node:http';

/** What a listener hands the app beside a request. All of it may be missing: the app also answers bare requests. */
export interface ListenerEnv {
  /** The connection's end of a reply, by which a stream is reset. */
  readonly outgoing?: ServerResponse;
  /** Aborted when the listener closes: what only waits ends then. */
  readonly closing?: AbortSignal;
}

/** The parts of an environment that are what they should be: other routers hand over other things. */
export function listenerEnv(env: unknown): ListenerEnv {
  const { outgoing, closing } = (typeof env === 'object' && env !== null ? env : {}) as Partial<Record<keyof ListenerEnv, unknown>>;
  return {
    ...(isOutgoing(outgoing) ? { outgoing } : {}),
    ...(closing instanceof AbortSignal ? { closing } : {}),
  };
}

function isOutgoing(value: unknown): value is ServerResponse {
  return typeof value === 'object' && value !== null && 'destroy' in value && 'writableFinished' in value;
}
