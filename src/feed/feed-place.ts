import { encodePosition, type FeedCursor, type FeedEvent, type FeedState } from '../core/feed-event.ts';

/** What a reader of a session's events knows, as a place to read on from. */
export interface FeedPlace {
  readonly cursor: FeedCursor;
  readonly state: FeedState;
  readonly attemptId: string | null;
  readonly ordinal: number;
}

export interface FeedStep {
  readonly place: FeedPlace;
  readonly events: readonly FeedEvent[];
  /** The events reach to what is committed now. */
  readonly complete: boolean;
}

/** Whether two readers have seen the same, so that what comes next is the same for both. */
export function isSamePlace(left: FeedPlace, right: FeedPlace): boolean {
  return encodePosition(left.cursor) === encodePosition(right.cursor) && isSameState(left.state, right.state);
}

function isSameState(left: FeedState, right: FeedState): boolean {
  return left.status === right.status && left.queue === right.queue && left.actions === right.actions && left.operations === right.operations;
}
