import type { CommandReply } from '../commands/command-host.ts';
import type { SendReply } from '../core/accept/send.ts';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import type { FeedEvent } from '../core/feed-event.ts';
import { limits } from '../core/limits.ts';
import { ownerScope } from '../commands/command-host.ts';
import { errorFields } from './problem.ts';
import { isPossibleId, noSession, replayedHeader, type Call } from './route.ts';
import { eventStreamResponse } from './sse.ts';

type StreamCall = Call<unknown, unknown>;

export interface StreamRange {
  /** Position to go on after; absent: from the beginning of the log. */
  readonly after?: string | undefined;
  readonly isLast?: (event: FeedEvent) => boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Takes one of the caller's places for a stream. Refusals: `too_many_streams`, `shutting_down`. */
export function reserveStream({ host, principal, env }: StreamCall): (() => void) | Refusal {
  if (host.feed.closed || env.closing?.aborted === true) return refuse('shutting_down', 'this process is closing; another one answers');
  // Without authentication everybody is the same owner.
  return host.authenticated
    ? host.streamSlots.take(JSON.stringify([principal.tenant, principal.owner]), limits.streamsPerOwnerMax)
    : host.streamSlots.take('', limits.streamsUnauthenticatedMax);
}

/** The events of the path's session as a stream, which gives back its place when it is over. Refusals: `session_not_found`, `bad_position`. */
export async function openStream({ host, principal, param, env, request }: StreamCall, release: () => void, { after, isLast, headers }: StreamRange): Promise<Response | Refusal> {
  const id = param('id');
  const owner = ownerScope(principal);
  const opened = isPossibleId(id) ? await host.feed.open({ tenant: principal.tenant, id, owner }, after) : noSession(id);
  if (isRefusal(opened)) return opened;
  const { ref, cursor } = opened;
  return eventStreamResponse({
    feed: host.feed, system: host.commands.system, ref, from: cursor, closing: env.closing, signal: request.signal, onOver: release,
    ...(isLast === undefined ? {} : { isLast }),
    ...(owner === undefined ? {} : { mayFollow: async () => (await host.commands.store.readSession({ ...ref, owner })) !== null }),
    ...(headers === undefined ? {} : { headers }),
    onReset: (reason) => host.log(reason === 'lags' ? 'info' : 'error', 'stream-reset', { session: ref.id, ...(reason === 'lags' ? { reason } : errorFields(reason)) }),
  });
}

/**
 * The stream of a sent message's turn: from the message's entry to the end of the turn or to where it waits for an action, or to where the message leaves the queue. A message
 * that is to join the running turn is followed in that one once it has, else in its own; where that one waits for an action, so does the message.
 */
export function turnStream({ reply: { turnId, messageId, revision, steers }, replayed }: CommandReply<SendReply>, isNote = false): StreamRange {
  let hasJoined = steers === undefined;
  let messageTurnId = steers?.turnId ?? turnId;
  return {
    // The last that a send writes is its message, so that the revision is the seq of that entry; after a note at rest comes the end of its turn.
    after: String(revision - (isNote && steers === undefined ? 2 : 1)),
    isLast: (event) => {
      if (event.type === 'status') return event.status === 'requires_action' && event.turnId === messageTurnId;
      if (event.type !== 'entry') return false;
      const { entry } = event;
      if (entry.kind === 'user-message' && entry.messageId === messageId) {
        hasJoined = true;
        messageTurnId = entry.turnId;
      }
      return (hasJoined && entry.kind === 'turn-ended' && entry.turnId === messageTurnId) || (entry.kind === 'message-unqueued' && entry.messageId === messageId);
    },
    headers: replayedHeader(replayed),
  };
}
