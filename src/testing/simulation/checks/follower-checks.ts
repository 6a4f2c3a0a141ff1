import { isRefusal } from '../../../core/errors.ts';
import { decodePosition, emptyFeedView, type FeedEvent } from '../../../core/feed-event.ts';
import type { SessionRef } from '../../../store/store.ts';
import type { MakeCheck, WatchedWorld } from '../check.ts';
import { eventsAfter } from '../events-after.ts';
import { hear, isSameKnowledge, knowledgeOf, type FollowedView } from '../followed-view.ts';
import type { Follower } from '../follower.ts';
import type { Violated } from '../happenings.ts';

/** Once everything rests, whoever follows has heard all of it within so much time: the longest wait before coming back, and a look at the store where no hint came. */
const heardWithinMs = 60_000;

/** G13: who followed a session as its owner hears nothing of it that came after it was given away. */
export const onlyOwnersFollow: MakeCheck = (violated, world) => ({
  heard({ follower, owner, ref, event }) {
    if (!isOwners(world, owner, ref, event)) violated('G13', `${follower} hears ${event.type} at ${event.position} of ${ref.id}, which is no more ${owner}'s then`);
  },
});

/** G5: who was cut however often, wherever, and came back to any process knows at rest what a new follower hears; and so does who comes back at rest from long ago. */
export const followersKnowAll: MakeCheck = (violated) => ({
  async atRest(world) {
    for (const follower of world.followers) await checkAtRest(world, follower, violated);
  },
});

function isOwners({ observer }: WatchedWorld, owner: string, ref: SessionRef, { position }: FeedEvent): boolean {
  const session = observer.session(ref);
  if (session === null || session.owner === owner) return true;
  const given = observer.log(ref).findLast((entry) => entry.kind === 'owner-changed');
  const cursor = decodePosition(position);
  return given !== undefined && !isRefusal(cursor) && cursor.seq < given.seq;
}

async function checkAtRest(world: WatchedWorld, follower: Follower, violated: Violated): Promise<void> {
  const anew = (): FollowedView => ({ from: follower.heard.from, view: emptyFeedView });
  await comesToKnow(world, follower, anew, (known) => violated('G5', `${follower.name} knows ${knowledgeOf(follower.heard)} at rest; who follows now ${known === null ? 'is told that the session is gone' : `hears ${knowledgeOf(known)}`}`));
  for (const tab of follower.oldTabs) {
    await comesToKnow(world, follower, () => tab, (known) => violated('G5', `${follower.name} knows ${knowledgeOf(follower.heard)}; cut at ${tab.view.position} and coming back at rest, it ${known === null ? 'is told that the session is gone' : `knows ${knowledgeOf(known)}`}`));
  }
}

/** Whoever has heard so much and goes on from there comes to know what the follower knows, in time: titles and the like may still be added meanwhile, and what an agent keeps no longer than so may go. */
async function comesToKnow(world: WatchedWorld, follower: Follower, heardSoFar: () => FollowedView, doesNot: (known: FollowedView | null) => void): Promise<void> {
  const { time } = world;
  const untilMs = time.nowMs + heardWithinMs;
  for (;;) {
    const heard = heardSoFar();
    const events = await eventsAfter(world, follower.ref.id, follower.owner, heard.view.position ?? heard.from);
    if (follower.isGone || world.observer.session(follower.ref) === null) return;
    const known = events === null ? null : heardAfter(heard, events);
    if (known !== null && isSameKnowledge(known, follower.heard)) return;
    if (time.nowMs >= untilMs) return doesNot(known);
    await time.advance(1_000);
  }
}

function heardAfter(heard: FollowedView, events: readonly FeedEvent[]): FollowedView {
  return events.reduce((before, event) => {
    const next = hear(before, event);
    if ('violates' in next) throw new RangeError(next.what);
    return next;
  }, heard);
}
