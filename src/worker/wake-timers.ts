import type { System } from '../core/system.ts';

/** When a worker looks for work without being told to: every while, and when something that it knows of becomes due. */
export class WakeTimers {
  readonly #system: Pick<System, 'clock' | 'random'>;
  readonly #wake: () => void;
  #cancelPoll: (() => void) | null = null;
  #cancelDue: (() => void) | null = null;
  #dueAtMs = Number.POSITIVE_INFINITY;

  constructor(system: Pick<System, 'clock' | 'random'>, wake: () => void) {
    this.#system = system;
    this.#wake = wake;
  }

  /** Wakes again and again, from now on; `everyMs` is asked anew each time. Not all workers at once. */
  poll(everyMs: () => number): void {
    const { clock, random } = this.#system;
    this.#cancelPoll = clock.after(everyMs() * (0.75 + random.next() / 2), () => {
      this.#wake();
      this.poll(everyMs);
    });
  }

  /** Wakes at this time; the earliest counts. */
  dueAt(atMs: number): void {
    if (atMs >= this.#dueAtMs) return;
    const { clock } = this.#system;
    this.#cancelDue?.();
    this.#dueAtMs = atMs;
    this.#cancelDue = clock.after(Math.max(0, atMs - clock.nowMs()), () => {
      this.#dueAtMs = Number.POSITIVE_INFINITY;
      this.#wake();
    });
  }

  stop(): void {
    this.#cancelPoll?.();
    this.#cancelDue?.();
  }
}
