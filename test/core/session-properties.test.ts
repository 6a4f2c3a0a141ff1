import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Interval } from '../../src/core/entry.ts';
import { entryFormats, isTimeline } from '../../src/core/entry-format.ts';
import { isVisible, wholeLog } from '../../src/core/intervals.ts';
import { isLive, type Operation } from '../../src/core/operation.ts';
import { awaitedOperations, dueAtMs, openActions, type Session } from '../../src/core/session.ts';
import { counterChanges, sumCounts } from '../../src/core/usage.ts';
import { unansweredIn } from '../support/answered-prompt.ts';
import { foldLog, toldByLog } from '../support/log-fold.ts';
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

function expectWellFormed(visible: readonly Interval[], lastSeq: number): void {
  for (const [place, { fromSeq, toSeq }] of visible.entries()) {
    expect(fromSeq).toBeGreaterThan(visible[place - 1]?.toSeq ?? 0);
    expect(toSeq === null ? place : toSeq).toBe(toSeq === null ? visible.length - 1 : Math.min(toSeq, lastSeq));
    if (toSeq !== null) expect(toSeq).toBeGreaterThanOrEqual(fromSeq);
  }
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
      expect(toldByLog(session)).toEqual(toldByLog(foldLog(log, session)));
    })), runs);
  });

  it('its visible history is a list of stretches in order, and every entry of the timeline is in it, or comes back by redo, or is in a branch', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log, branches }) => {
      expectWellFormed(session.visible, session.lastSeq);
      const left = [...(session.rewound === null ? [] : [session.rewound.intervals]), ...[...branches.values()].map(({ intervals }) => intervals)];
      for (const intervals of left) expectWellFormed(intervals, session.lastSeq);
      for (const { before, intervals } of branches.values()) expectWellFormed([...before, ...intervals], session.lastSeq);
      for (const entry of log.filter(isTimeline)) {
        expect([session.visible, ...left].some((intervals) => isVisible(intervals, entry.seq)), `entry ${entry.seq} (${entry.kind})`).toBe(true);
        if (session.rewound !== null) expect(isVisible(session.visible, entry.seq) && isVisible(session.rewound.intervals, entry.seq)).toBe(false);
      }
      expect(session.branches).toBe(branches.size);
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
      expect(unansweredIn(pure.log, pure.session.visible)).toBe(null);
    })), runs);
    expect(prompts).toBeGreaterThan(runs.numRuns);
  });

  it('it is at rest, held by a worker, due at some time, waiting for somebody to answer, or for an operation that lives', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, operations }) => {
      const waits = openActions(session.turn).length > 0 || awaitedOperations(session).some(({ id }) => isLive(operations.get(id) as Operation));
      expect(session.turn === null || session.claim !== null || dueAtMs(session) !== null || waits).toBe(true);
      expect(session.turn === null && session.claim !== null).toBe(false);
      expect(session.ended && (session.turn !== null || session.queue.length > 0 || dueAtMs(session) !== null)).toBe(false);
      // At rest, messages wait only where somebody holds them, or after a failure.
      if (session.turn === null && session.queue.length > 0) expect(session.queueHeld || session.lastTurn?.reason === 'failed').toBe(true);
    })), runs);
  });

  it('each attempt is counted once, and its usage with it', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }) => {
      const attempts = log.flatMap((entry) => ('attempt' in entry && entry.attempt !== undefined && !('scripted' in entry) ? [entry.attempt] : []));
      expect(new Set(attempts.map(({ id }) => id)).size).toBe(attempts.length);
      expect(session.usage.attempts).toBe(attempts.length);
      const known = [...attempts, ...log.flatMap((entry) => (entry.kind === 'late-usage' ? [entry.late] : []))];
      expect(session.usage.inputTokens).toBe(known.reduce((sum, { usage }) => sum + (usage?.inputTokens ?? 0), 0));
      expect(session.usage.costMicros ?? 0).toBe(known.reduce((sum, { costMicros = 0 }) => sum + costMicros, 0));
      const counted = sumCounts(counterChanges(session, log).map(({ count }) => count));
      expect([counted.attempts, counted.inputTokens, counted.costMicros]).toEqual([session.usage.attempts, session.usage.inputTokens, session.usage.costMicros ?? 0]);
      expect(counted.attemptsWithoutUsage).toBe(attempts.length - new Set(known.filter(({ usage }) => usage !== null).map(({ id }) => id)).size);
    })), runs);
  });

  it('each turn begins once and ends once, one after the other', () => {
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }) => {
      let open: string | null = null;
      const begun = new Set<string>();
      for (const entry of log) {
        if ((entry.kind === 'user-message' && entry.steered !== true) || entry.kind === 'turn-started') {
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

  it('no generated title takes the place of a person\'s, set or taken away, unless that was redacted; and a summary is of a turn that is visible', () => {
    let labels = 0;
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }) => {
      let isPersons = false;
      for (const entry of log) {
        if (entry.kind === 'title-set' && entry.by === 'generated') expect(isPersons, `entry ${entry.seq}`).toBe(false);
        if (entry.kind === 'title-set' || entry.kind === 'summary-set') labels += 1;
        if (entry.kind === 'title-set' && entry.by === 'person') isPersons = true;
        if (entry.kind === 'entry-redacted' && entry.clears.includes('title')) isPersons = false;
      }
      if (session.summary !== null) expect(isVisible(session.visible, session.summary.endSeq)).toBe(true);
      expect(session.labelling === null || session.labelling.attempts.length <= 2).toBe(true);
    })), runs);
    expect(labels).toBeGreaterThan(100);
  });

  it('its row stays small, however long its log grows', () => {
    let longest = 0;
    fc.assert(fc.property(histories, (history) => afterEach(history, ({ session, log }) => {
      longest = Math.max(longest, log.length);
      expect(JSON.stringify(session).length - JSON.stringify(session.visible).length).toBeLessThan(16_000);
      expect(session.visible.length).toBeLessThanOrEqual(1 + log.filter(({ kind }) => kind === 'history-rewound' || kind === 'branch-restored' || kind === 'branch-discarded').length);
      expect(session.queue.length).toBeLessThanOrEqual(20);
    })), runs);
    expect(longest).toBeGreaterThan(40);
  });
});

describe('the histories', () => {
  it('hold every kind of entry, so that what is said above is said of each', () => {
    const kinds = new Set<string>();
    for (const history of fc.sample(histories, { ...runs, numRuns: 1_500 })) afterEach(history, ({ log }) => { for (const { kind } of log) kinds.add(kind); });
    expect(Object.keys(entryFormats).filter((kind) => !kinds.has(kind))).toEqual([]);
    expect(newborn(2).session.visible).toBe(wholeLog);
  });
});
