import type { CommandHost, CommandOptions, CommandReply } from '../commands/command-host.ts';
import { isRefusal, refuse, RefusedError, type Refusal } from '../core/errors.ts';
import type { Feed } from '../feed/feed.ts';
import type { TurnWaiters } from './turn-waiters.ts';

/** What handles work with. */
export interface HandleHost {
  readonly commands: CommandHost;
  readonly feed: Feed;
  readonly waiters: TurnWaiters;
}

/** How a call is made once though it is sent twice, and only if nothing has changed. */
export type CallOptions = Omit<CommandOptions, 'principal'>;

/** The reply, or the refusal as an error. */
export function value<Reply>(result: CommandReply<Reply> | Refusal): Reply {
  return found(result).reply;
}

/** What was found, or the refusal as an error. */
export function found<Found extends object>(result: Found | Refusal): Found {
  if (isRefusal(result)) throw new RefusedError(result);
  return result;
}

/** Thrown by what waits or follows when its Holdfast is closed. */
export function shuttingDown(): RefusedError {
  return new RefusedError(refuse('shutting_down', 'this Holdfast is closed; the session goes on, and another one can follow it'));
}
