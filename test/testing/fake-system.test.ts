import { describe, expect, it } from 'vitest';
import { fakeSystem, seededRandom } from '../../src/testing/fake-system.ts';

describe('the fake clock', () => {
  it('stands still until the test moves it, and fires timers at their own times, in order', async () => {
    const system = fakeSystem({ startMs: 1_000 });
    const fired: string[] = [];
    system.clock.after(30, () => fired.push(`c at ${system.clock.nowMs()}`));
    system.clock.after(10, () => {
      fired.push(`a at ${system.clock.nowMs()}`);
      system.clock.after(5, () => fired.push(`b at ${system.clock.nowMs()}`));
    });
    const cancel = system.clock.after(20, () => fired.push('never'));
    cancel();
    await system.settle();
    expect([fired, system.clock.nowMs()]).toEqual([[], 1_000]);
    await system.advance(29);
    expect([fired, system.clock.nowMs(), system.waitingTimers]).toEqual([['a at 1010', 'b at 1015'], 1_029, 1]);
    await system.advance(1);
    expect(fired).toEqual(['a at 1010', 'b at 1015', 'c at 1030']);
  });

  it('lets everything that a timer leads to get done before the next timer', async () => {
    const system = fakeSystem();
    const seen: string[] = [];
    const soon = (): Promise<void> => new Promise((resolve) => system.clock.soon(resolve));
    system.clock.after(1, () => {
      void (async () => {
        for (let turn = 0; turn < 20; turn += 1) await soon();
        seen.push('first');
      })();
    });
    system.clock.after(2, () => seen.push('second'));
    await system.advance(2);
    expect(seen).toEqual(['first', 'second']);
  });

  it('runs until nothing waits, and says when something never ends', async () => {
    const system = fakeSystem();
    let left = 3;
    const again = (): void => {
      left -= 1;
      if (left > 0) system.clock.after(1_000, again);
    };
    system.clock.after(1_000, again);
    await system.runUntilIdle();
    expect(left).toBe(0);
    const forever = (): void => void system.clock.after(1_000, forever);
    forever();
    await expect(system.runUntilIdle(60_000)).rejects.toMatchObject({ code: 'not_idle' });
  });

  it('runs until a condition holds, and no further', async () => {
    const system = fakeSystem({ startMs: 0 });
    let ticks = 0;
    const tick = (): void => {
      ticks += 1;
      system.clock.after(100, tick);
    };
    system.clock.after(100, tick);
    await system.runUntil(() => ticks === 7);
    expect([ticks, system.clock.nowMs()]).toEqual([7, 700]);
    await expect(system.runUntil(() => false, 500)).rejects.toMatchObject({ code: 'not_idle' });
  });
});

describe('fake ids and chance', () => {
  it('follow from the seed, and ids sort by time of minting', async () => {
    const mint = (seed: number): readonly string[] => {
      const { ids } = fakeSystem({ seed });
      return [ids.mint('ses'), ids.mint('ses'), ids.mint('turn')];
    };
    expect(mint(7)).toEqual(mint(7));
    expect(new Set([...mint(7), ...mint(8)]).size).toBe(6);
    const system = fakeSystem();
    const minted: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      minted.push(system.ids.mint('ses'), system.ids.mint('ses'));
      await system.advance(1);
    }
    expect(minted.toSorted()).toEqual(minted);
    expect(minted.every((id) => /^ses_[0-9a-hjkmnp-tv-z]{26}$/.test(id))).toBe(true);
  });

  it('are spread over the whole range', () => {
    const next = seededRandom(42);
    const draws = Array.from({ length: 10_000 }, next);
    expect(draws.every((draw) => draw >= 0 && draw < 1)).toBe(true);
    expect(Math.min(...draws)).toBeLessThan(0.01);
    expect(Math.max(...draws)).toBeGreaterThan(0.99);
    expect(draws.reduce((sum, draw) => sum + draw, 0) / draws.length).toBeCloseTo(0.5, 1);
  });
});
