import { HoldfastError } from '../core/errors.ts';
import type { IdPrefix, System } from '../core/system.ts';
import { realSystem } from '../system.ts';
import { simulatedId } from './simulated-id.ts';

export interface FakeSystemOptions {
  /** What the clock says first, in milliseconds since the epoch. Default 2026-01-01T00:00:00Z. */
  readonly startMs?: number;
  /** Decides all chance and is part of every id: two systems on one store need two seeds. Default 1. */
  readonly seed?: number;
}

/**
 * Time, ids and chance that a test owns. The clock stands still until the test moves it; ids and chance follow from the seed. Work that needs no time
 * (commits, promises, streams in memory) goes on by itself on the real event loop, in a fixed order.
 */
export interface FakeSystem extends System {
  readonly seed: number;
  /** Timers that have not fired. */
  readonly waitingTimers: number;
  /** Moves the clock on, firing timers at their times in order and letting everything they lead to get done before the next. */
  advance(ms: number): Promise<void>;
  /**
   * Fires timers in order until none is left. Rejects with code `not_idle` when that takes more than `limitMs` of the clock (default one day): something
   * repeats, like the polling of a running worker; use {@link advance} or {@link runUntil} then.
   */
  runUntilIdle(limitMs?: number): Promise<void>;
  /** Fires timers in order until the condition holds. Rejects with code `not_idle` when it does not within `limitMs` of the clock (default one day). */
  runUntil(condition: () => boolean | Promise<boolean>, limitMs?: number): Promise<void>;
  /** Lets everything get done that needs no time. Real I/O (sockets, child processes) is not waited for: wait for a signal of it. */
  settle(): Promise<void>;
}

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

const dayMs = 86_400_000;
/** Turns of the event loop without anything new after which everything counts as done. */
const quietTurns = 5;

/** Makes a {@link FakeSystem}. */
export function fakeSystem({ startMs = Date.UTC(2026, 0, 1), seed = 1 }: FakeSystemOptions = {}): FakeSystem {
  return new Simulated(startMs, seed);
}

class Simulated implements FakeSystem {
  readonly seed: number;
  readonly clock: System['clock'];
  readonly ids: System['ids'];
  readonly random: System['random'];
  readonly #eventLoop = realSystem().clock;
  #nowMs: number;
  #timers: Timer[] = [];
  #soonWaiting = 0;
  #activity = 0;
  #minted = 0;

  constructor(startMs: number, seed: number) {
    this.seed = seed;
    this.#nowMs = startMs;
    this.clock = { nowMs: () => this.#nowMs, monotonicMs: () => this.#nowMs, after: (delayMs, callback) => this.#after(delayMs, callback), soon: (callback) => this.#soon(callback) };
    this.ids = { mint: (prefix) => this.#mint(prefix), secret: () => this.#mint('res') };
    this.random = { next: seededRandom(seed) };
  }

  get waitingTimers(): number {
    return this.#timers.length;
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await this.settle();
    while (await this.#fireNext(untilMs)) continue;
    this.#nowMs = untilMs;
    await this.settle();
  }

  runUntilIdle(limitMs = dayMs): Promise<void> {
    return this.#run(() => this.#timers.length === 0, limitMs, 'timers still wait');
  }

  runUntil(condition: () => boolean | Promise<boolean>, limitMs = dayMs): Promise<void> {
    return this.#run(condition, limitMs, 'the condition does not hold');
  }

  async settle(): Promise<void> {
    for (let quiet = 0, seen = this.#activity; quiet < quietTurns; quiet += 1) {
      await new Promise<void>((resolve) => this.#eventLoop.soon(resolve));
      if (this.#soonWaiting === 0 && this.#activity === seen) continue;
      quiet = 0;
      seen = this.#activity;
    }
  }

  async #run(condition: () => boolean | Promise<boolean>, limitMs: number, complaint: string): Promise<void> {
    const untilMs = this.#nowMs + limitMs;
    await this.settle();
    while (!(await condition())) {
      if (!(await this.#fireNext(untilMs))) {
        throw new HoldfastError('not_idle', `${complaint} after ${limitMs} ms of the fake clock; ${this.#timers.length} timers wait`);
      }
    }
  }

  /** Fires the next timer that is due by then, at its own time. False when there is none. */
  async #fireNext(untilMs: number): Promise<boolean> {
    const next = this.#timers.reduce<Timer | null>((first, timer) => (first === null || timer.atMs < first.atMs ? timer : first), null);
    if (next === null || next.atMs > untilMs) return false;
    this.#timers = this.#timers.filter((timer) => timer !== next);
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    this.#activity += 1;
    next.callback();
    await this.settle();
    return true;
  }

  #after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), callback };
    this.#timers.push(timer);
    this.#activity += 1;
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  #soon(callback: () => void): void {
    this.#soonWaiting += 1;
    this.#activity += 1;
    this.#eventLoop.soon(() => {
      this.#soonWaiting -= 1;
      callback();
    });
  }

  #mint(prefix: IdPrefix): string {
    this.#minted += 1;
    return simulatedId(prefix, this.#nowMs, this.#minted, this.seed);
  }
}

/** Numbers from 0 (included) to 1 (not) that follow from the seed (Mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
