import type { CommandHost, CommandOptions, CommandReply } from '../commands/command-host.ts';
import { isRefusal, refuse, RefusedError, type Refusal } from '../core/errors.ts';
import type { StoreTransaction } from '../store/store.ts';
import type { Feed } from '../feed/feed.ts';
import type { TurnWaiters } from './turn-waiters.ts';

/** What handles work with. */
export interface HandleHost {
  readonly commands: CommandHost;
  readonly feed: Feed;
  readonly waiters: TurnWaiters;
}

/** How a call is made once though it is sent twice, and only if nothing has changed. */
export type CallOptions = Omit<CommandOptions, 'principal' | 'transaction'>;

export interface SendOptions extends CallOptions {
  /**
   * On Postgres only: your own transaction, as the client of `pg` on which you have awaited `BEGIN`, or what `holdfast.transaction` gives. What is sent and what you write land together with your `COMMIT`, or not at all. A
   * refusal writes nothing and leaves the transaction usable. Until the commit nobody else sees any of it, and whoever changes the same session waits; after it call `holdfast.wake()`, or ask the turn for its `result` or
   * `stream`. Throws `StoreError` code `store_unsupported` on a store without transactions, `transaction_failed` when another one made the same at the same time, and the driver's error when a statement fails: then
   * roll back.
   */
  readonly transaction?: StoreTransaction | undefined;
}

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
