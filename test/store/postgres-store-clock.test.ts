import { describe, expect, it } from 'vitest';
import { StoreClock } from '../../src/store/postgres/store-clock.ts';

/** A database an hour ahead of this machine. `ask` takes so long until its answer, which says what time it was so much before its end. */
function clocks() {
  let monotonicMs = 5_000;
  let aheadMs = 3_600_000;
  const clock = new StoreClock({ nowMs: () => monotonicMs, monotonicMs: () => monotonicMs, after: () => () => undefined, soon: () => undefined });
  return {
    clock,
    databaseMs: () => monotonicMs + aheadMs,
    pass: (ms: number) => { monotonicMs += ms; },
    step: (ms: number) => { aheadMs += ms; },
    ask: (tookMs: number, beforeEndMs: number) => clock.during(() => {
      monotonicMs += tookMs;
      return Promise.resolve(monotonicMs + aheadMs - beforeEndMs);
    }, (nowMs) => nowMs),
  };
}

describe('the time of a Postgres store', () => {
  it('is the machine\'s before the database was asked, and then the database\'s', async () => {
    const { clock, ask, databaseMs } = clocks();
    expect(clock.nowMs()).toBe(5_000);
    await ask(2, 1);
    expect(clock.nowMs()).toBe(databaseMs());
  });

  it('is not moved by an answer that took long, such as one that was asked for again after a broken connection', async () => {
    const { clock, ask, databaseMs } = clocks();
    await ask(2, 1);
    await ask(600, 0);
    expect(clock.nowMs()).toBe(databaseMs());
    await ask(600, 600);
    expect(clock.nowMs()).toBe(databaseMs());
  });

  it('is made more exact by an answer that came sooner', async () => {
    const { clock, ask, databaseMs } = clocks();
    await ask(600, 0);
    expect(clock.nowMs()).toBe(databaseMs() + 300);
    await ask(2, 1);
    expect(clock.nowMs()).toBe(databaseMs());
  });

  it('follows a database whose clock was set, forwards and back, though its answer took longer', async () => {
    const { clock, ask, databaseMs, step } = clocks();
    await ask(2, 1);
    for (const ms of [10_000, -20_000]) {
      step(ms);
      await ask(20, 10);
      expect(clock.nowMs()).toBe(databaseMs());
    }
  });

  it('is asked for anew as clocks drift apart: after a minute an answer of some milliseconds counts', async () => {
    const { clock, ask, databaseMs, pass, step } = clocks();
    await ask(2, 1);
    pass(60_000);
    step(3);
    await ask(6, 3);
    expect(clock.nowMs()).toBe(databaseMs());
  });
});
