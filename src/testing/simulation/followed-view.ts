import { isDeepStrictEqual } from 'node:util';
import { foldFeed, type FeedEvent, type FeedView } from '../../core/feed-event.ts';
import { streamedPartsOf } from '../../core/stream-parts.ts';
import type { Entry } from '../../core/entry.ts';

/** What somebody has heard of a session, and from where on. Immutable, so that an old tab is an old one of these. */
export interface FollowedView {
  /** The position after which following began; null: at the log's beginning. */
  readonly from: string | null;
  readonly view: FeedView;
}

/** The view after one more event, or why no guarantee allows this event here. */
export function hear({ from, view }: FollowedView, event: FeedEvent): FollowedView | { readonly violates: string; readonly what: string } {
  const fault = faultOf(from, view, event);
  if (fault !== null) return fault;
  try {
    return { from, view: foldFeed(view, event) };
  } catch (error) {
    return { violates: 'G5', what: `${event.type} at ${event.position} cannot be folded: ${String(error)}` };
  }
}

function faultOf(from: string | null, { entries, live }: FeedView, event: FeedEvent): { readonly violates: string; readonly what: string } | null {
  if (event.type === 'entry') {
    const { entry } = event;
    const before = entries.at(-1)?.seq ?? (from === null ? 0 : Number(from.split('.')[0]));
    if (entry.seq !== before + 1) return { violates: 'G5', what: `after entry ${before} comes entry ${entry.seq}` };
    if (live === null || entry.redacted !== undefined || !isStepOf(entry, live.attemptId)) return null;
    const shown = JSON.stringify(live.parts.map(({ text }) => text));
    const kept = JSON.stringify(streamedPartsOf(entry).map(({ text }) => text));
    return shown === kept ? null : { violates: entry.stopped === true ? 'G9' : 'G5', what: `${live.attemptId} was shown as ${shown} and is committed in entry ${entry.seq} as ${kept}` };
  }
  if (event.type !== 'chunk') return null;
  const ended = entries.find((entry) => 'attempt' in entry && entry.attempt.id === event.attemptId);
  return ended === undefined ? null : { violates: 'G9', what: `a chunk of ${event.attemptId} comes after entry ${ended.seq}, which ends it` };
}

function isStepOf(entry: Entry, attemptId: string): entry is Extract<Entry, { readonly kind: 'assistant-step' }> {
  return entry.kind === 'assistant-step' && entry.attempt.id === attemptId;
}

/** Whether the same is known; the position aside, which is a way of saying so and no knowledge. */
export function isSameKnowledge(left: FollowedView, right: FollowedView): boolean {
  const [one, other] = [knowledgeOf(left), knowledgeOf(right)];
  // What a redaction leaves has its fields in another order where it was folded than where it was stored.
  return one === other || isDeepStrictEqual(JSON.parse(one), JSON.parse(other));
}

export function knowledgeOf({ view: { position: _position, ...known } }: FollowedView): string {
  return JSON.stringify(known);
}
