import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRefusal } from '../../src/core/errors.ts';
import {
  decodePosition, emptyFeedView, encodePosition, feedEvents, feedStart, feedStateBefore, foldFeed, type FeedCursor, type FeedEvent, type FeedState, type FeedTail, type FeedView,
} from '../../src/core/feed-event.ts';
import { callPart, liveText, PureSession, textPart, type Committed } from '../support/pure-session.ts';
import { happen, happeningsOf, newborn } from '../support/random-history.ts';
import { seedOf } from '../support/seed.ts';

const seed = seedOf('feed events');

interface Follower {
  readonly cursor: FeedCursor;
  readonly state: FeedState;
  readonly view: FeedView;
}

const atStart: Follower = { cursor: feedStart, state: feedStateBefore(feedStart), view: emptyFeedView };

/** What a store would read for a follower there, in pages of so many entries. */
function tailAt(pure: PureSession, { session, logLength, chunks, operations }: Committed, { seq }: FeedCursor, pageEntries = Number.POSITIVE_INFINITY): FeedTail {
  const entries = pure.log.slice(seq, Math.min(logLength, seq + pageEntries));
  const complete = seq + entries.length >= logLength;
  return { session, entries, complete, chunks: complete ? chunks : [], operations: complete ? operations : [] };
}

/** Follows to what was committed then; returns every event with what the follower knew after it. */
function follow(pure: PureSession, to: Committed, from: Follower, pageEntries?: number): { readonly follower: Follower; readonly events: readonly { readonly event: FeedEvent; readonly view: FeedView }[] } {
  const events: { event: FeedEvent; view: FeedView }[] = [];
  let { cursor, state, view } = from;
  for (;;) {
    const tail = tailAt(pure, to, cursor, pageEntries);
    const next = feedEvents(cursor, state, tail);
    for (const event of next.events) {
      view = foldFeed(view, event);
      events.push({ event, view });
    }
    ({ cursor, state } = next);
    if (tail.complete) return { follower: { cursor, state, view }, events };
  }
}

/** A stream that was cut: all that is left of it is what the client has folded, with the position of its last event. */
function resumed(view: FeedView): Follower {
  const cursor = view.position === null ? feedStart : decodePosition(view.position);
  if (isRefusal(cursor)) throw new Error(`a position of an event is one: ${view.position}`);
  return { cursor, state: feedStateBefore(cursor), view };
}

const followed = (view: FeedView) => ({ ...view, position: null });

/** Every event of an uninterrupted stream, with what was folded by then and the commit that brought it. */
function uninterrupted(pure: PureSession) {
  let follower = atStart;
  const events: { readonly event: FeedEvent; readonly view: FeedView; readonly commit: number }[] = [];
  const views = pure.history.map((committed, commit) => {
    const step = follow(pure, committed, follower);
    ({ follower } = step);
    events.push(...step.events.map((each) => ({ ...each, commit })));
    return follower.view;
  });
  return { events, views };
}

/** Cuts the stream after every one of its events, and resumes it at every later commit. */
function expectResumable(pure: PureSession, pageEntries?: number): number {
  const { events, views } = uninterrupted(pure);
  let resumes = 0;
  for (const [place, { view, commit }] of [{ view: emptyFeedView, commit: 0 }, ...events].entries()) {
    for (let later = commit; later < pure.history.length; later += later - commit < 3 ? 1 : 4) {
      const committed = pure.history[later];
      if (committed === undefined) continue;
      const { follower } = follow(pure, committed, resumed(view), pageEntries);
      expect(followed(follower.view), `cut after event ${place}, resumed at commit ${later}`).toEqual(followed(views[later] ?? emptyFeedView));
      resumes += 1;
    }
  }
  return resumes;
}

function running(): PureSession {
  const pure = new PureSession({ text: 'hello' });
  pure.claim();
  return pure;
}

describe('a stream of events', () => {
  it('folds to the same wherever it is cut and whenever it is resumed', () => {
    let resumes = 0;
    fc.assert(fc.property(fc.nat(11), happeningsOf(70, 20), (kind, history) => {
      const pure = newborn(kind);
      for (const happening of history) happen(pure, happening);
      resumes += expectResumable(pure);
    }), { seed, numRuns: 120 });
    console.log(`feed events: ${resumes} resumes`);
    expect(resumes).toBeGreaterThan(10_000);
  }, 60_000);

  it('folds to the same when it is read in small pages', () => {
    fc.assert(fc.property(fc.nat(11), happeningsOf(30), fc.integer({ min: 1, max: 4 }), (kind, history, pageEntries) => {
      const pure = newborn(kind);
      for (const happening of history) happen(pure, happening);
      expectResumable(pure, pageEntries);
    }), { seed, numRuns: 30 });
  }, 60_000);

  it('shows a client nothing that is not stored: the live parts are those of the attempt in flight', () => {
    fc.assert(fc.property(fc.nat(11), happeningsOf(40), (kind, history) => {
      const pure = newborn(kind);
      for (const happening of history) happen(pure, happening);
      for (const [commit, view] of uninterrupted(pure).views.entries()) {
        const { session, chunks, logLength } = pure.history[commit] ?? { session: pure.session, chunks: [], logLength: 0 };
        expect(view.entries).toEqual(pure.log.slice(0, logLength));
        expect(view.live?.attemptId ?? null).toBe(chunks.length > 0 ? session.turn?.attempt?.id : null);
        expect([view.turnId, view.queue.messages]).toEqual([session.turn?.id ?? null, session.queue]);
      }
    }), { seed, numRuns: 60 });
  });

  it('survives a cut at every place of an answer that is retracted, tried again, shown anew and committed', () => {
    const pure = running();
    pure.show({ part: 0, type: 'reasoning', offset: 0, text: '' }, { part: 0, type: 'reasoning', offset: 0, text: '🤔' }, liveText(0, '', 1), liveText(0, 'Hal', 1));
    pure.failed();
    pure.untilDue();
    pure.claim();
    pure.show(liveText(0, 'Hello '));
    pure.show(liveText(6, '😀'));
    pure.takeOver();
    pure.show(liveText(0, 'Hello '), liveText(6, '😀 you'));
    pure.show(liveText(12, '!'));
    pure.generated([textPart('Hello 😀 you!'), callPart(0, 'look')]);
    pure.results();
    pure.show(liveText(0, 'By'));
    pure.stop();
    expect(expectResumable(pure)).toBeGreaterThan(100);
    const types = uninterrupted(pure).events.map(({ event }) => event.type);
    expect(types.filter((type) => type === 'chunk-retracted').length).toBe(2);
    expect(new Set(types)).toEqual(new Set(['entry', 'queue', 'status', 'chunk', 'chunk-retracted', 'retry']));
  });

  it('sends the rest of an attempt that was seen in part before its step', () => {
    const pure = running();
    pure.show(liveText(0, 'Hel'));
    const { follower } = follow(pure, pure.history.at(-1) as Committed, atStart);
    pure.generated([textPart('Hello 😀'), { type: 'reasoning', text: 'ok' }]);
    const { events } = follow(pure, pure.history.at(-1) as Committed, follower);
    expect(events.map(({ event }) => event).slice(0, 2)).toMatchObject([
      { type: 'chunk', segments: [{ part: 0, offset: 3, text: 'lo 😀' }, { part: 1, type: 'reasoning', offset: 0, text: 'ok' }] },
      { type: 'entry', entry: { kind: 'assistant-step' } },
    ]);
  });

  it('does not show the text of a step to whom its attempt was not shown: the step has it', () => {
    const pure = running();
    pure.generated([textPart('Hello')]);
    const { events } = follow(pure, pure.history.at(-1) as Committed, atStart);
    expect(events.map(({ event }) => event.type)).toEqual(['entry', 'entry', 'entry', 'entry', 'queue', 'status']);
  });

  it('begins with a retraction where what was seen is gone', () => {
    const pure = running();
    pure.show(liveText(0, 'half'));
    const { follower } = follow(pure, pure.history.at(-1) as Committed, atStart);
    pure.takeOver();
    const { events } = follow(pure, pure.history.at(-1) as Committed, follower);
    expect(events.map(({ event }) => event.type)).toEqual(['chunk-retracted', 'entry']);
    expect(events.at(-1)?.view.live).toBe(null);
  });

  it('says when a failed attempt is tried again', () => {
    const pure = running();
    pure.failed({ code: 'rate_limit' }, 3_000);
    const { events } = follow(pure, pure.history.at(-1) as Committed, atStart);
    expect(events.map(({ event }) => event)).toContainEqual({ type: 'retry', attempt: 2, delayMs: 3_000, atMs: 4_000, reason: 'rate_limit', position: '3' });
  });

  it('tells status and queue when they change, and once to everybody who begins', () => {
    const pure = running();
    const first = follow(pure, pure.history.at(-1) as Committed, atStart);
    expect(first.events.slice(-2).map(({ event }) => event.type)).toEqual(['queue', 'status']);
    pure.show(liveText(0, 'x'));
    expect(follow(pure, pure.history.at(-1) as Committed, first.follower).events.map(({ event }) => event.type)).toEqual(['chunk']);
    pure.send('next');
    expect(follow(pure, pure.history.at(-1) as Committed, first.follower).events.map(({ event }) => event.type)).toEqual(['entry', 'chunk', 'queue']);
    expect(follow(pure, pure.history.at(-1) as Committed, resumed(first.follower.view)).events.slice(-4).map(({ event }) => event.type)).toEqual(['queue', 'operation', 'action', 'status']);
  });

  it('says nothing where nothing is new', () => {
    const pure = running();
    pure.show(liveText(0, 'x'));
    const { follower } = follow(pure, pure.history.at(-1) as Committed, atStart);
    expect(follow(pure, pure.history.at(-1) as Committed, follower).events).toEqual([]);
  });

  it('gives each event a position of its own reach: positions never go back in the log', () => {
    const pure = running();
    pure.show(liveText(0, 'a'), liveText(1, 'b'));
    pure.generated([textPart('ab'), callPart(0, 'look')]);
    pure.results();
    const seqs = uninterrupted(pure).events.map(({ event }) => Number(event.position.split('.')[0]));
    expect(seqs).toEqual(seqs.toSorted((left, right) => left - right));
  });
});

describe('a position', () => {
  it('is read as it was written', () => {
    const cursors = fc.record({
      seq: fc.nat(999_999_999), attemptId: fc.option(fc.constantFrom('att_01j0abcdefghjkmnpqrstvwxyz', 'att_1', 'att_0')),
      offsets: fc.array(fc.nat(999_999_999), { maxLength: 50 }),
    });
    fc.assert(fc.property(cursors, (cursor) => {
      const written = encodePosition(cursor);
      expect(decodePosition(written)).toEqual(cursor.attemptId === null ? { ...cursor, offsets: [] } : cursor);
      // It goes into a header and an address as it is.
      expect(encodeURIComponent(written)).toBe(written);
    }), { seed });
  });

  it.each(['', ' ', 'x', '-1', '1.', '.1', '1.2', '1.att_', '1.att_a.', '1.att_a.-1', '1.att_a.1.', '1.att_a.1x', '1.att_A', '1.ATT_a', '1.5', '1e3', '0x1', '1 ', ' 1', '1\n', '1.att_a.1\n', '1.att_a..1', '9'.repeat(16), `1.att_a.${'9'.repeat(10)}`, '１', 'null', 'undefined', '1,2'])('%j is none, and is refused', (text) => {
    expect(decodePosition(text)).toMatchObject({ refused: 'bad_position' });
  });

  it('of an attempt with very many parts still fits into a header, and what it leaves out is sent again and folded once', () => {
    const pure = running();
    pure.show(...Array.from({ length: 1_500 }, (_, part) => liveText(0, 'x'.repeat(part % 3), part)));
    const { follower } = follow(pure, pure.history.at(-1) as Committed, atStart);
    expect(follower.view.position?.length).toBeLessThan(2_000);
    pure.show(liveText(2, ' and more', 1_499));
    const again = follow(pure, pure.history.at(-1) as Committed, resumed(follower.view));
    expect(again.follower.view.live?.parts).toEqual(follow(pure, pure.history.at(-1) as Committed, follower).follower.view.live?.parts);
    expect(again.follower.view.live?.parts.at(-1)).toEqual({ type: 'text', text: 'xx and more' });
  });

  it('that is much too long is refused, and not repeated whole', () => {
    const refusal = decodePosition('9'.repeat(1_000_000));
    expect(isRefusal(refusal) && refusal.message.length).toBeLessThan(300);
  });
});
