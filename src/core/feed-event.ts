import type { Entry } from './entry.ts';
import type { OpenAction } from './action.ts';
import { usageLimit } from './budget.ts';
import { refuse, type Refusal } from './errors.ts';
import { operationView, type Operation, type OperationView } from './operation.ts';
import { redactEntry } from './redact.ts';
import { openActions, statusOf, type QueuedMessage, type Session, type SessionStatus } from './session.ts';
import { foldSegment, remainderOf, segmentsAfter, type StreamedPart, type StreamOffsets, type StreamSegment } from './stream-parts.ts';

/** What a follower of a session is told. Every event carries the position from which following can go on after it. */
export type FeedEvent = { readonly position: string } & FeedEventBody;

export type FeedEventBody =
  | { readonly type: 'entry'; readonly entry: Entry }
  | { readonly type: 'chunk'; readonly attemptId: string; readonly turnId: string; readonly segments: readonly StreamSegment[] }
  /** All that was shown of this attempt is taken back: it failed, or its worker died. */
  | { readonly type: 'chunk-retracted'; readonly attemptId: string }
  | { readonly type: 'status'; readonly status: SessionStatus; readonly turnId: string | null }
  | { readonly type: 'queue'; readonly held: boolean; readonly messages: readonly QueuedMessage[] }
  /** The actions that wait to be resolved. */
  | { readonly type: 'action'; readonly turnId: string | null; readonly actions: readonly OpenAction[] }
  /** The operations that have not ended, with how far they are. */
  | { readonly type: 'operation'; readonly operations: readonly OperationView[] }
  | { readonly type: 'retry'; readonly attempt: number; readonly delayMs: number; readonly atMs: number; readonly reason: string };

/** What a follower has seen: the log up to `seq`, and of one attempt in flight so much of each part. */
export interface FeedCursor {
  readonly seq: number;
  readonly attemptId: string | null;
  readonly offsets: StreamOffsets;
}

export const feedStart: FeedCursor = { seq: 0, attemptId: null, offsets: [] };

/** Parts whose offsets a position holds, so that it fits into a header. Of further ones all is sent again, which the fold passes over. */
const positionPartsMax = 200;

/** The cursor as an opaque text: an SSE event id, `Last-Event-ID`, `?after=`. */
export function encodePosition({ seq, attemptId, offsets }: FeedCursor): string {
  return attemptId === null ? String(seq) : [seq, attemptId, ...offsets.slice(0, positionPartsMax)].join('.');
}

const positionForm = new RegExp(`^(\\d{1,15})(?:\\.([a-z]+_[0-9a-z]+)((?:\\.\\d{1,9}){0,${positionPartsMax}}))?$`);

export function decodePosition(position: string): FeedCursor | Refusal {
  const match = positionForm.exec(position);
  if (match === null) return refuse('bad_position', `${JSON.stringify(position.slice(0, 100))} is no position: use the id of an event of this session, or leave it out`);
  const offsets = match[3] === undefined || match[3] === '' ? [] : match[3].slice(1).split('.').map(Number);
  return { seq: Number(match[1]), attemptId: match[2] ?? null, offsets };
}

/** A consistent read of a session's end: the entries after a cursor, and the live output of the attempt in flight. */
export interface FeedTail {
  readonly session: Session;
  readonly entries: readonly Entry[];
  /** The entries reach to the log's end; only then does the live output follow. */
  readonly complete: boolean;
  readonly chunks: readonly StreamSegment[];
  /** The operations of the session that have not ended; read where the log's end is reached. */
  readonly operations: readonly Operation[];
}

/** What the state events said last, so that they are repeated only when it changes. */
export interface FeedState {
  readonly status: string;
  readonly queue: string;
  readonly actions: string;
  readonly operations: string;
}

/** What a follower takes to be so before it is told anything: from the log's beginning that there are no actions and no operations; later on it may know of some that are gone. */
export function feedStateBefore({ seq, attemptId }: FeedCursor): FeedState {
  const none = seq === 0 && attemptId === null ? '[]' : '';
  return { status: '', queue: '', actions: none, operations: none };
}

/**
 * The events that bring a follower from a cursor to a tail. Pure, so that live following and every resume are the same
 * code (G5). A follower that has seen part of an attempt is sent the rest of it before its step's entry.
 */
export function feedEvents(cursor: FeedCursor, state: FeedState, tail: FeedTail): { readonly events: readonly FeedEvent[]; readonly cursor: FeedCursor; readonly state: FeedState } {
  const events: FeedEvent[] = [];
  let at = cursor;
  const emit = (body: FeedEventBody, next: FeedCursor = at): void => {
    at = next;
    events.push({ ...body, position: encodePosition(at) });
  };
  const attempt = tail.session.turn?.attempt ?? null;
  if (at.attemptId !== null && at.attemptId !== attempt?.id && tail.complete && !tail.entries.some((entry) => isStepOf(entry, at.attemptId))) {
    emit({ type: 'chunk-retracted', attemptId: at.attemptId }, { seq: at.seq, attemptId: null, offsets: [] });
  }
  for (const entry of tail.entries) {
    if (entry.seq <= at.seq) continue;
    if (entry.kind === 'assistant-step' && at.attemptId !== null && entry.attempt.id === at.attemptId) {
      const segments = remainderOf(entry, at.offsets);
      if (segments.length > 0) emit({ type: 'chunk', attemptId: at.attemptId, turnId: entry.turnId, segments }, grown(at, segments));
      emit({ type: 'entry', entry }, { seq: entry.seq, attemptId: null, offsets: [] });
      continue;
    }
    emit({ type: 'entry', entry }, { ...at, seq: entry.seq });
    if (entry.kind === 'attempt-failed' && entry.retry !== undefined) {
      emit({ type: 'retry', attempt: entry.attempt.number + 1, reason: entry.error.code, ...entry.retry });
    }
    if (entry.kind === 'budget-exhausted' && entry.retry !== undefined) emit({ type: 'retry', attempt: entry.nextAttempt, reason: usageLimit, ...entry.retry });
  }
  if (tail.complete && attempt !== null) {
    const seen = at.attemptId === attempt.id ? at.offsets : [];
    const segments = segmentsAfter(tail.chunks, seen);
    if (segments.length > 0) {
      emit({ type: 'chunk', attemptId: attempt.id, turnId: tail.session.turn?.id ?? '', segments }, grown({ seq: at.seq, attemptId: attempt.id, offsets: seen }, segments));
    }
  }
  return { events: [...events, ...stateEvents(tail, state, at)], cursor: at, state: tail.complete ? stateOf(tail) : state };
}

function isStepOf(entry: Entry, attemptId: string | null): boolean {
  return entry.kind === 'assistant-step' && entry.attempt.id === attemptId;
}

function grown(cursor: FeedCursor, segments: readonly StreamSegment[]): FeedCursor {
  const offsets = cursor.offsets.slice();
  for (const { part, offset, text } of segments) {
    while (offsets.length < part) offsets.push(0);
    offsets[part] = offset + text.length;
  }
  return { ...cursor, offsets };
}

function stateOf({ session, operations }: FeedTail): FeedState {
  return {
    status: `${statusOf(session)} ${session.turn?.id ?? ''}`,
    queue: JSON.stringify([session.queueHeld, session.queue]),
    actions: JSON.stringify(openActions(session.turn)),
    operations: operations.length === 0 ? '[]' : JSON.stringify(operations.map(operationView)),
  };
}

function stateEvents(tail: FeedTail, before: FeedState, cursor: FeedCursor): readonly FeedEvent[] {
  const { session, complete, operations } = tail;
  if (!complete) return [];
  const now = stateOf(tail);
  const position = encodePosition(cursor);
  const events: FeedEvent[] = [];
  if (now.queue !== before.queue) events.push({ type: 'queue', position, held: session.queueHeld, messages: session.queue });
  if (now.operations !== before.operations) events.push({ type: 'operation', position, operations: operations.map(operationView) });
  if (now.actions !== before.actions) events.push({ type: 'action', position, turnId: session.turn?.id ?? null, actions: openActions(session.turn) });
  if (now.status !== before.status) events.push({ type: 'status', position, status: statusOf(session), turnId: session.turn?.id ?? null });
  return events;
}

/** What a client knows of a session from its events. */
export interface FeedView {
  readonly position: string | null;
  readonly entries: readonly Entry[];
  /** The attempt being streamed. */
  readonly live: { readonly attemptId: string; readonly turnId: string; readonly parts: readonly StreamedPart[] } | null;
  readonly status: SessionStatus | null;
  readonly turnId: string | null;
  readonly queue: { readonly held: boolean; readonly messages: readonly QueuedMessage[] };
  readonly actions: readonly OpenAction[];
  readonly operations: readonly OperationView[];
}

export const emptyFeedView: FeedView = { position: null, entries: [], live: null, status: null, turnId: null, queue: { held: false, messages: [] }, actions: [], operations: [] };

/** Who has read an entry before its content was removed has it no more than who reads it now. */
function withoutContent(entries: readonly Entry[], { kind, atMs, ...rest }: Entry): readonly Entry[] {
  if (kind !== 'entry-redacted' || !('redactedSeq' in rest)) return entries;
  const { redactedSeq, by } = rest;
  return entries.map((entry) => (entry.seq === redactedSeq ? redactEntry(entry, { atMs, by }) : entry));
}

/**
 * The client's fold: the view after one more event. However often a stream was cut and resumed, at whatever position and
 * age, the fold of what was received equals that of the uninterrupted stream (G5).
 */
export function foldFeed(view: FeedView, event: FeedEvent): FeedView {
  const next = { ...view, position: event.position };
  switch (event.type) {
    case 'entry': {
      const { entry } = event;
      const ends = 'attempt' in entry && entry.attempt.id === view.live?.attemptId;
      return { ...next, entries: [...withoutContent(view.entries, entry), entry], live: ends ? null : view.live };
    }
    case 'chunk': {
      const parts = view.live?.attemptId === event.attemptId ? view.live.parts : [];
      return { ...next, live: { attemptId: event.attemptId, turnId: event.turnId, parts: event.segments.reduce(foldSegment, parts) } };
    }
    case 'chunk-retracted':
      return { ...next, live: view.live?.attemptId === event.attemptId ? null : view.live };
    case 'status':
      return { ...next, status: event.status, turnId: event.turnId };
    case 'queue':
      return { ...next, queue: { held: event.held, messages: event.messages } };
    case 'action':
      return { ...next, actions: event.actions };
    case 'operation':
      return { ...next, operations: event.operations };
    case 'retry':
      return next;
  }
}
