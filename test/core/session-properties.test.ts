import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PromptHistory } from '../../src/agent/prompt.ts';
import type { Entry, Interval } from '../../src/core/entry.ts';
import { entryFormats, isTimeline } from '../../src/core/entry-format.ts';
import { cutBefore, isVisible, openAt, wholeLog } from '../../src/core/intervals.ts';
import { dueAtMs, emptySession, project, type Session } from '../../src/core/session.ts';
import { happen, happeningsOf, newborn, type Happening } from '../support/random-history.ts';
import type { PureSession } from '../support/pure-session.ts';
import { seedOf } from '../support/seed.ts';

const runs = { seed: seedOf('session properties'), numRuns: 300 };
const histories = fc.tuple(fc.nat(11), happeningsOf(100));

/** Lets a history happen and looks after everything that changed the session. */
function afterEach([kind, history]: readonly [number, readonly Happening[]], look: (pure: PureSession, before: Session) => void): void {
  const pure = newborn(kind);
  look(pure, pure.session);
  for (const happening of history) {
    const before = pure.session;
    if (happen(pure, happening)) look(pure, before);
  }
}

/** The session as its log alone tells it. */
function folded(log: readonly Entry[], { tenant, id, createdAtMs }: Session): Session {
  let session = emptySession({ tenant, id }, createdAtMs);
  for (const entry of log) {
    if (isTimeline(entry) && session.visible.at(-1)?.toSeq !== null) session = { ...session, visible: openAt(session.visible, entry.seq) };
    if (entry.kind === 'branch-discarded') session = { ...session, visible: cutBefore(session.visible, entry.intervals[0]?.fromSeq ?? 0, session.lastSeq).kept };
    session = project(session, entry);
  }
  return session;
}

/** What a log tells of a session: all but the work in hand. */
function fromLog({ fence: _f, claim: _c, crashes: _x, endsAtMs: _e, endAfterInactivityMs: _i, updatedAtMs: _u, turn, ...rest }: Session) {
  if (turn === null) return { ...rest, turn };
  const { attempt: _a, retry: _r, lastStep, ...told } = turn;
  return { ...rest, turn: { ...told, lastStep: lastStep && { ...lastStep, openCalls: lastStep.openCalls.map(({ dispatchedFence: _d, ...call }) => call) } } };
}

function expectWellFormed(visible: readonly Interval[], lastSeq: number): void {
  for (const [place, { fromSeq, toSeq }] of visible.entries()) {
    expect(fromSeq).toBeGreaterThan(visible[place - 1]?.toSeq ?? 0);
    expect(toSeq === null ? place : toSeq).toBe(toSeq === null ? visible.length - 1 : Math.min(toSeq, lastSeq));
    if (toSeq !== null) expect(toSeq).toBeGreaterThanOrEqual(fromSeq);
  }
}

/** Each call of a prompt has one result in the message after it, and each result a call before it. */
function expectAnswered(pure: PureSession): void {
  const history = new PromptHistory(pure.session.visible);
  history.append(pure.log);
  let open = new Set<string>();
  for (const message of history.prompt('be kind')) {
    if (message.role === 'tool') {
      for (const part of message.content) if (part.type === 'tool-result') expect(open.delete(part.toolCallId), `a call ${part.toolCallId} for its result`).toBe(true);
      expect([...open]).toEqual([]);
      continue;
    }
    expect([...open], `results before a message of the ${message.role}`).toEqual([]);
    const calls = message.role === 'assistant' ? message.content.flatMap((part) => (part.type === 'tool-call' && part.providerExecuted !== true ? [part.toolCallId] : [])) : [];
    open = new Set(calls);
    expect(open.size).toBe(calls.length);
  }
  expect([...open]).toEqual([]);
}

describe('whatever happens to a session', () => {
  it('its seqs are dense, and time, revision and fence never go back', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }, before) => {
      expect(log.map(({ seq }) => seq)).toEqual(log.map((_entry, place) => place + 1));
      expect(session.lastSeq).toBe(log.length);
      expect([session.revision >= before.revision, session.fence >= before.fence, session.updatedAtMs >= before.updatedAtMs, session.revision <= session.lastSeq]).toEqual([true, true, true, true]);
      expect(log.every(({ atMs }, place) => atMs >= (log[place - 1]?.atMs ?? 0))).toBe(true);
    })), runs);
  });

  it('its row is the fold of its log', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }) => {
      expect(fromLog(session)).toEqual(fromLog(folded(log, session)));
    })), runs);
  });

  it('its visible history is a list of stretches in order, and every entry of the timeline is in it or in a branch, and not in both', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }) => {
      expectWellFormed(session.visible, session.lastSeq);
      const discarded = log.flatMap((entry) => (entry.kind === 'branch-discarded' ? [entry.intervals] : []));
      for (const intervals of discarded) expectWellFormed(intervals, session.lastSeq);
      for (const entry of log.filter(isTimeline)) {
        const places = [session.visible, ...discarded].filter((intervals) => isVisible(intervals, entry.seq)).length;
        expect(places, `entry ${entry.seq} (${entry.kind})`).toBe(1);
      }
    })), runs);
  });

  it('each call of a step has exactly one result once its turn is over, and at most one before', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }) => {
      for (const step of log) {
        if (step.kind !== 'assistant-step') continue;
        const calls = step.parts.flatMap((part) => (part.type === 'tool-call' && part.providerExecuted !== true ? [part.index] : []));
        const results = log.flatMap((entry) => (entry.kind === 'tool-results' && entry.stepSeq === step.seq ? [entry.results.map(({ index }) => index)] : []));
        expect(results.length <= 1).toBe(true);
        if (results[0] !== undefined) expect(results[0]).toEqual(calls);
        else if (calls.length > 0) expect(session.turn?.lastStep?.seq).toBe(step.seq);
      }
    })), runs);
  });

  it('no prompt of a generation that begins has a call without its result', () => {
    let prompts = 0;
    fc.assert(fc.property(histories, (history) => afterEach(history, (pure, before) => {
      const attempt = pure.session.turn?.attempt;
      if (!attempt || attempt.id === before.turn?.attempt?.id) return;
      prompts += 1;
      expectAnswered(pure);
    })), runs);
    expect(prompts).toBeGreaterThan(runs.numRuns);
  });

  it('it is at rest, held by a worker, or due at some time', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session }) => {
      expect(session.turn === null || session.claim !== null || dueAtMs(session) !== null).toBe(true);
      expect(session.turn === null && session.claim !== null).toBe(false);
      expect(session.ended && (session.turn !== null || session.queue.length > 0 || dueAtMs(session) !== null)).toBe(false);
      // At rest, messages wait only where somebody holds them, or after a failure.
      if (session.turn === null && session.queue.length > 0) expect(session.queueHeld || session.lastTurn?.reason === 'failed').toBe(true);
    })), runs);
  });

  it('each attempt is counted once, and its usage with it', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }) => {
      const attempts = log.flatMap((entry) => ('attempt' in entry ? [entry.attempt] : []));
      expect(new Set(attempts.map(({ id }) => id)).size).toBe(attempts.length);
      expect(session.usage.attempts).toBe(attempts.length);
      expect(session.usage.inputTokens).toBe(attempts.reduce((sum, { usage }) => sum + (usage?.inputTokens ?? 0), 0));
    })), runs);
  });

  it('each turn begins once and ends once, one after the other', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }) => {
      let open: string | null = null;
      const begun = new Set<string>();
      for (const entry of log) {
        if (entry.kind === 'user-message' || entry.kind === 'turn-started') {
          expect([open, begun.has(entry.turnId)]).toEqual([null, false]);
          open = entry.turnId;
          begun.add(open);
        } else if (isTimeline(entry)) {
          expect('turnId' in entry ? entry.turnId : null).toBe(open);
          if (entry.kind === 'turn-ended') open = null;
        }
      }
      expect(session.turn?.id ?? null).toBe(open);
      expect(session.turns).toBe(begun.size);
    })), runs);
  });

  it('its row stays small, however long its log grows', () => {
    let longest = 0;
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }) => {
      longest = Math.max(longest, log.length);
      expect(JSON.stringify(session).length - JSON.stringify(session.visible).length).toBeLessThan(8_000);
      expect(session.visible.length).toBeLessThanOrEqual(session.branches + 1);
      expect(session.queue.length).toBeLessThanOrEqual(20);
    })), runs);
    expect(longest).toBeGreaterThan(40);
  });
});

describe('the histories', () => {
  it('hold every kind of entry, so that what is said above is said of each', () => {
    const kinds = new Set<string>();
    for (const history of fc.sample(histories, runs)) afterEach(history, ({ log }) => { for (const { kind } of log) kinds.add(kind); });
    expect(Object.keys(entryFormats).filter((kind) => !kinds.has(kind))).toEqual([]);
    expect(newborn(2).session.visible).toBe(wholeLog);
  });
});
