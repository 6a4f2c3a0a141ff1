import type { Entry } from '../../../core/entry.ts';
import { isRefusal } from '../../../core/errors.ts';
import { decodePosition, emptyFeedView, type FeedEvent } from '../../../core/feed-event.ts';
import { foldSegments, streamedPartsOf, type StreamedPart, type StreamSegment } from '../../../core/stream-parts.ts';
import type { SessionRef } from '../../../store/store.ts';
import type { MakeCheck, Violated } from '../check.ts';
import type { Follower } from '../follower.ts';
import { eventsAfter } from '../events-after.ts';
import { hear, isSameKnowledge, knowledgeOf, type FollowedView } from '../followed-view.ts';
import type { World } from '../world.ts';

/** Once everything rests, whoever follows has heard all of it within so much time: the longest wait before coming back, and a look at the store where no hint came. */
const heardWithinMs = 60_000;

/** Nothing is heard that is not stored (G5), nor by those whose session it is no more (G13); who was cut however often knows at rest what a new follower hears, and so does whoever comes back from before. */
export const heardCheck: MakeCheck = (violated, world) => {
  const chunks = new ChunkArchive(world);
  return {
    heard: ({ follower, owner, ref, event }) => {
      const say = (guarantee: string, what: string): void => violated(guarantee, `${follower}, who follows ${ref.id}, hears ${event.type} at ${event.position}: ${what}`);
      if (!isOwners(world, owner, ref, event)) say('G13', 'the session has been given away before');
      if (event.type === 'entry') {
        const stored = storedEntry(world, ref, event.entry.seq).map((entry) => JSON.stringify(entry));
        if (!stored.includes(JSON.stringify(event.entry))) say('G5', `entry ${JSON.stringify(event.entry)} is stored as ${stored.join(' or ')}`);
      } else if (event.type === 'chunk') {
        const missing = event.segments.find((segment) => !chunks.has(ref, event.attemptId, segment));
        if (missing !== undefined) say('G5', `nobody stored ${JSON.stringify(missing)} of ${event.attemptId}`);
      }
    },
    atRest: async () => {
      for (const follower of world.followers) await checkAtRest(world, follower, violated);
    },
  };
};

/** As it is in the log now, and as it was added to it: a redaction may have come in between. */
function storedEntry({ database, observer }: World, ref: SessionRef, seq: number): readonly Entry[] {
  return [...database.rows.entriesAt(ref, [seq]), ...observer.log(ref).slice(seq - 1, seq)];
}

function isOwners({ observer }: World, owner: string, ref: SessionRef, { position }: FeedEvent): boolean {
  const session = observer.session(ref);
  if (session === null || session.owner === owner) return true;
  const given = observer.log(ref).findLast((entry) => entry.kind === 'owner-changed');
  const cursor = decodePosition(position);
  return given !== undefined && !isRefusal(cursor) && cursor.seq < given.seq;
}

/** All live output that was ever committed, removed since or not. */
class ChunkArchive {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
    const { database } = world.database;
    database.exec(`
      CREATE TEMP TABLE IF NOT EXISTS chunk_archive AS SELECT * FROM chunk LIMIT 0;
      DELETE FROM chunk_archive;
      CREATE TEMP TRIGGER IF NOT EXISTS archive_chunk AFTER INSERT ON main.chunk BEGIN
        INSERT INTO chunk_archive VALUES (new.tenant, new.session_id, new.attempt_id, new.ordinal, new.segments);
      END`);
  }

  /** Whether it was live output, or is of the step that came of it. */
  has(ref: SessionRef, attemptId: string, { part, offset, text }: StreamSegment): boolean {
    const holds = (parts: readonly StreamedPart[]): boolean => parts[part]?.text.slice(offset, offset + text.length) === text;
    if (holds(this.#shown(attemptId))) return true;
    const step = this.#world.observer.log(ref).find((entry) => entry.kind === 'assistant-step' && entry.attempt.id === attemptId);
    return step !== undefined && storedEntry(this.#world, ref, step.seq).some((entry) => entry.kind === 'assistant-step' && holds(streamedPartsOf(entry)));
  }

  #shown(attemptId: string): readonly StreamedPart[] {
    const rows = this.#world.database.database.prepare('SELECT segments FROM chunk_archive WHERE attempt_id = ? ORDER BY ordinal').pluck().all(attemptId) as string[];
    return foldSegments(rows.flatMap((segments) => JSON.parse(segments) as StreamSegment[]));
  }
}

async function checkAtRest(world: World, follower: Follower, violated: Violated): Promise<void> {
  const { time } = world;
  const untilMs = time.nowMs + heardWithinMs;
  for (;;) {
    if (follower.isGone) return;
    const { from } = follower.heard;
    const events = await eventsAfter(world, follower.ref.id, follower.owner, from);
    const fresh = events === null ? null : heardAfter({ from, view: emptyFeedView }, events);
    if (fresh !== null && isSameKnowledge(fresh, follower.heard)) break;
    if (time.nowMs >= untilMs) {
      violated('G5', `${follower.name} knows ${knowledgeOf(follower.heard)} at rest; who follows now ${fresh === null ? 'is told that the session is gone' : `hears ${knowledgeOf(fresh)}`}`);
      return;
    }
    await time.advance(1_000);
  }
  for (const tab of follower.oldTabs) {
    const { position } = tab.view;
    const events = await eventsAfter(world, follower.ref.id, follower.owner, position);
    const known = heardAfter(tab, events ?? []);
    if (!isSameKnowledge(known, follower.heard)) violated('G5', `${follower.name} knows ${knowledgeOf(follower.heard)}; cut at ${position} and coming back at rest, it knows ${knowledgeOf(known)}`);
  }
}

function heardAfter(heard: FollowedView, events: readonly FeedEvent[]): FollowedView {
  return events.reduce((before, event) => {
    const next = hear(before, event);
    if ('violates' in next) throw new RangeError(next.what);
    return next;
  }, heard);
}
