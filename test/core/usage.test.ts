import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dateOfDay, dayBeginsMs, dayOf, dayOfDate, monthOf } from '../../src/core/calendar.ts';
import { decisive, exhaustedBy, periodDays, usageLimitError, type Budget, type Exhausted } from '../../src/core/budget.ts';
import { costMicrosOf } from '../../src/core/price.ts';
import { noCount, usageShardOf } from '../../src/core/usage.ts';
import { dueAtMs } from '../../src/core/session.ts';
import { limits } from '../../src/core/limits.ts';
import { callPart, PureSession, textPart } from '../support/pure-session.ts';
import { seedOf } from '../support/seed.ts';

const runs = { seed: seedOf('usage'), numRuns: 2_000 };
const times = fc.integer({ min: 0, max: Date.UTC(2199, 11, 31) });

describe('a price', () => {
  const price = { input: 1.25, output: 10, cachedInput: 0.125 };

  it('is for a million tokens: of each kind its own, cached ones in place of others, thoughts as what is said unless they have one', () => {
    expect(costMicrosOf({ inputTokens: 1_000_000, outputTokens: 0 }, price)).toBe(1_250_000);
    expect(costMicrosOf({ inputTokens: 1_000, cachedInputTokens: 800, outputTokens: 100, reasoningTokens: 60 }, price)).toBe(250 + 100 + 1_000);
    expect(costMicrosOf({ inputTokens: 0, outputTokens: 100, reasoningTokens: 60 }, { ...price, reasoning: 2 })).toBe(400 + 120);
    expect(costMicrosOf({ inputTokens: 10, cachedInputTokens: 99, outputTokens: 1, reasoningTokens: 5 }, { input: 1, output: 1, cachedInput: 3, reasoning: 7 })).toBe(30 + 7);
  });

  it('is rounded once for an attempt, to whole millionths, halves up', () => {
    expect([1, 2, 3, 4].map((inputTokens) => costMicrosOf({ inputTokens, outputTokens: 0 }, { input: 0.25, output: 1 }))).toEqual([0, 1, 1, 1]);
  });

  it('makes no cost known where usage is not, or only half of it, or where there is none', () => {
    expect([costMicrosOf(null, price), costMicrosOf({ inputTokens: 5 }, price), costMicrosOf({ outputTokens: 5 }, price), costMicrosOf({ inputTokens: 5, outputTokens: 5 }, undefined)]).toEqual([null, null, null, null]);
  });
});

describe('a day', () => {
  it('is that of the calendar in UTC, whatever the time', () => {
    fc.assert(fc.property(times, (atMs) => {
      const date = new Date(atMs).toISOString().slice(0, 10);
      expect([dateOfDay(dayOf(atMs)), dayOfDate(date)]).toEqual([date, dayOf(atMs)]);
      expect(monthOf(dayOf(atMs))).toEqual({ year: new Date(atMs).getUTCFullYear(), month: new Date(atMs).getUTCMonth() + 1 });
    }), runs);
  });

  it('that the calendar does not have is none', () => {
    expect(['2026-02-29', '2026-13-01', '2026-00-10', '2026-01-32', '1969-12-31', '26-01-01', '2026-1-1', '', 'today'].map(dayOfDate)).toEqual(Array.from({ length: 9 }, () => null));
    expect(dayOfDate('2024-02-29')).not.toBe(null);
  });
});

describe('the period of a budget', () => {
  it('holds its time, begins at midnight of UTC, and is followed by the next without a gap', () => {
    fc.assert(fc.property(times, fc.constantFrom('day', 'week', 'month'), (atMs, period) => {
      const { fromDay, endDay } = periodDays(period, atMs);
      const [begin, end] = [new Date(dayBeginsMs(fromDay)), new Date(dayBeginsMs(endDay))];
      expect(begin.getTime() <= atMs && atMs < end.getTime()).toBe(true);
      expect(periodDays(period, end.getTime()).fromDay).toBe(endDay);
      if (period === 'day') expect(endDay - fromDay).toBe(1);
      if (period === 'week') expect([begin.getUTCDay(), endDay - fromDay]).toEqual([1, 7]);
      if (period === 'month') expect([begin.getUTCDate(), end.getUTCDate(), (begin.getUTCMonth() + 1) % 12]).toEqual([1, 1, end.getUTCMonth()]);
    }), runs);
  });
});

describe('a budget', () => {
  const nowMs = Date.UTC(2026, 2, 4, 12); // a Wednesday
  const today = dayOf(nowMs);
  const budget: Budget = { per: 'owner', unit: 'tokens', period: 'week', limit: 100 };
  const used = (day: number, inputTokens: number) => ({ day, count: { ...noCount, inputTokens, outputTokens: 5, costMicros: inputTokens * 1_000 } });

  it('is used up when the days of its period, and what a commit adds, have come to its limit', () => {
    expect(exhaustedBy(budget, [used(today - 3, 1_000), used(today - 2, 40), used(today, 44), used(today + 5, 1_000)], noCount, nowMs)).toBe(null);
    const more = { ...noCount, outputTokens: 6 };
    expect(exhaustedBy(budget, [used(today - 2, 40), used(today, 44)], more, nowMs)).toEqual({
      per: 'owner', unit: 'tokens', period: 'week', limit: 100, used: 100, resetAtMs: Date.UTC(2026, 2, 9), whenExhausted: 'fail',
    });
  });

  it('of money is in the currency of the prices, counted in millionths', () => {
    expect(exhaustedBy({ ...budget, unit: 'cost', limit: 0.05 }, [used(today, 49)], noCount, nowMs)).toBe(null);
    expect(exhaustedBy({ ...budget, unit: 'cost', limit: 0.05, period: 'month' }, [used(today, 50)], noCount, nowMs)).toMatchObject({ limit: 50_000, used: 50_000, resetAtMs: Date.UTC(2026, 3, 1) });
  });

  it('of nothing is used up at once', () => {
    expect(exhaustedBy({ ...budget, limit: 0 }, [], noCount, nowMs)).toMatchObject({ used: 0 });
  });

  it('that fails the turn decides before one that lets it wait, and of those the one that lasts longest', () => {
    const of = (whenExhausted: 'fail' | 'wait', resetAtMs: number): Exhausted => ({ per: 'owner', unit: 'tokens', period: 'day', limit: 1, used: 1, resetAtMs, whenExhausted });
    expect(decisive([])).toBe(null);
    expect(decisive([of('wait', 5), of('wait', 9), of('wait', 7)])?.resetAtMs).toBe(9);
    expect(decisive([of('wait', 9), of('fail', 5)])).toEqual(of('fail', 5));
  });
});

describe('a turn whose budget is used up', () => {
  const exhausted = (pure: PureSession, whenExhausted: 'fail' | 'wait', resetAtMs = pure.nowMs + 3_600_000): Exhausted => ({ per: 'tenant', unit: 'cost', period: 'month', limit: 2_500_000, used: 2_600_000, resetAtMs, whenExhausted });

  it('fails before its generation, and says which budget, how much of it was used, and when it begins anew', () => {
    const pure = new PureSession({ text: 'hello' });
    pure.exhausted = exhausted(pure, 'fail', Date.UTC(2026, 4, 1));
    expect(pure.claim()).toBe(null);
    expect([pure.work, pure.status]).toEqual([null, 'failed']);
    expect(pure.last('budget-exhausted')).toMatchObject({ per: 'tenant', unit: 'cost', period: 'month', limit: 2_500_000, used: 2_600_000, resetAtMs: Date.UTC(2026, 4, 1), nextAttempt: 1 });
    expect(pure.session.lastTurn?.error).toEqual({ ...usageLimitError(pure.exhausted), code: 'usage_limit' });
    expect(pure.session.lastTurn?.error?.message).toContain('2.6 of 2.5 of cost this month; it begins anew with 2026-05-01');
    pure.exhausted = null;
    pure.send('again');
    pure.claim();
    expect(pure.work?.kind).toBe('generate');
  });

  it('keeps what it has: its calls are run and answered, and only then it fails', () => {
    const pure = new PureSession({ text: 'hello' });
    pure.claim();
    pure.exhausted = exhausted(pure, 'fail');
    pure.generated([callPart(0, 'look')]);
    expect(pure.work?.kind).toBe('run-calls');
    pure.results();
    expect([pure.entries('tool-results').length, pure.status, pure.session.lastTurn?.error?.code]).toEqual([1, 'failed', 'usage_limit']);
  });

  it('ends with its answer, if it has one already', () => {
    const pure = new PureSession({ text: 'hello' });
    pure.claim();
    pure.exhausted = exhausted(pure, 'fail');
    pure.generated([textPart('done')]);
    expect([pure.status, pure.entries('budget-exhausted')]).toEqual(['idle', []]);
  });

  it('waits like a retry, with nobody on it, until the budget begins anew; it is looked at in between, and says so only once', () => {
    const pure = new PureSession({ text: 'hello' });
    const resetAtMs = pure.nowMs + 150_000;
    pure.exhausted = exhausted(pure, 'wait', resetAtMs);
    pure.claim();
    expect([pure.work, pure.status, pure.session.claim]).toEqual([null, 'ready', null]);
    expect(pure.session.turn?.retry).toMatchObject({ atMs: resetAtMs, reason: 'usage_limit', attempt: 1 });
    expect(dueAtMs(pure.session)).toBe(pure.nowMs + limits.budgetLookMs);
    expect(pure.claim()).toMatchObject({ refused: 'not_claimable' });
    for (const wantMs of [limits.budgetLookMs * 2, 150_000]) {
      pure.untilDue();
      expect(pure.claim()).toBe(null);
      expect([pure.work, dueAtMs(pure.session)]).toEqual([null, 1_000 + wantMs]);
    }
    expect(pure.entries('budget-exhausted').length).toBe(1);
    pure.untilDue();
    pure.exhausted = null;
    pure.claim();
    expect(pure.work?.kind).toBe('generate');
    pure.generated([textPart('at last')]);
    expect(pure.status).toBe('idle');
  });

  it('goes on when somebody looks after the budget was raised, though it has not begun anew', () => {
    const pure = new PureSession({ text: 'hello' });
    pure.exhausted = exhausted(pure, 'wait');
    pure.claim();
    pure.exhausted = null;
    pure.untilDue();
    pure.claim();
    expect([pure.nowMs, pure.work?.kind]).toEqual([1_000 + limits.budgetLookMs, 'generate']);
  });

  it('says it again when it waits for another time', () => {
    const pure = new PureSession({ text: 'hello' });
    pure.exhausted = exhausted(pure, 'wait', pure.nowMs + 90_000);
    pure.claim();
    pure.untilDue();
    pure.exhausted = exhausted(pure, 'wait', pure.nowMs + 900_000);
    pure.claim();
    expect(pure.entries('budget-exhausted').map(({ resetAtMs }) => resetAtMs)).toEqual([91_000, 961_000]);
  });

  it('is stopped like any other, and the message behind it waits or fails by itself', () => {
    const pure = new PureSession({ text: 'hello' });
    pure.exhausted = exhausted(pure, 'wait');
    pure.claim();
    pure.send('and then?');
    expect([pure.status, pure.session.queue.length]).toEqual(['ready', 1]);
    pure.stop();
    expect([pure.session.turn?.retry, pure.session.queue.length]).toEqual([null, 0]);
    pure.claim();
    expect(pure.entries('budget-exhausted').length).toBe(2);
    pure.stop();
    expect(pure.status).toBe('idle');
  });

  it.each(['fail', 'wait'] as const)('that was queued when the budget was used up does so when its turn comes, in the commit that ends the turn before it: %s', (whenExhausted) => {
    const pure = new PureSession({ text: 'hello' });
    pure.claim();
    pure.send('and then?');
    pure.exhausted = exhausted(pure, whenExhausted);
    pure.generated([textPart('done')]);
    expect(pure.log.slice(-4).map(({ kind }) => kind)).toEqual(whenExhausted === 'fail'
      ? ['turn-ended', 'user-message', 'budget-exhausted', 'turn-ended']
      : ['assistant-step', 'turn-ended', 'user-message', 'budget-exhausted']);
    expect([pure.status, pure.session.claim, pure.session.turns]).toEqual([whenExhausted === 'fail' ? 'failed' : 'ready', null, 2]);
  });

  it('takes in nothing that was to join it before it goes on', () => {
    const pure = new PureSession({ text: 'hello' });
    pure.exhausted = exhausted(pure, 'wait');
    pure.claim();
    pure.send('by the way', 'steer');
    pure.untilDue();
    pure.claim();
    expect(pure.session.queue.length).toBe(1);
    pure.exhausted = null;
    pure.untilDue();
    pure.claim();
    expect([pure.session.queue.length, pure.work?.kind]).toEqual([0, 'generate']);
  });
});

describe('the shard of a session', () => {
  it('is one of sixteen, each of which gets its share', () => {
    const counts = new Map<number, number>();
    for (let number = 0; number < 4_000; number += 1) {
      const shard = usageShardOf(`ses_01kdvdna${number.toString(32).padStart(6, '0')}`);
      counts.set(shard, (counts.get(shard) ?? 0) + 1);
    }
    expect([counts.size, Math.min(...counts.values()) > 100]).toEqual([16, true]);
  });
});
