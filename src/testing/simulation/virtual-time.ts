import { HoldfastError } from '../../core/errors.ts';
import { realSystem } from '../../system.ts';

interface Event {
  readonly atMs: number;
  /** Of two at the same time, the one that was asked for first. */
  readonly place: number;
  readonly callback: () => void;
  cancelled: boolean;
}

/**
 * Time that goes on only when nothing is left to be done at it. What happens at one moment happens in the order in which it was asked for, each thing with all that it leads to at once (promises) before the next: so a run is the same
 * each time. Only work outside of this process ({@link during}) is waited for in real time.
 */
export class VirtualTime {
  nowMs: number;
  readonly #eventLoop = realSystem().clock;
  readonly #heap: Event[] = [];
  #places = 0;
  #outside = 0;
  /** Nothing can have been begun since all promises were run. */
  #isSettled = false;
  #outsideEnded: (() => void) | null = null;

  constructor(startMs: number) {
    this.nowMs = startMs;
  }

  /** Calls back after so many milliseconds, whole ones as clocks tell them; 0: after all that is to happen now already. Returns what cancels it. */
  after(delayMs: number, callback: () => void): () => void {
    const event: Event = { atMs: this.nowMs + Math.max(0, Math.ceil(delayMs)), place: this.#places, callback, cancelled: false };
    this.#places += 1;
    push(this.#heap, event);
    return () => {
      event.cancelled = true;
    };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }

  /** Something that is done elsewhere, as by a database server: time stands still meanwhile. */
  async during<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#outside += 1;
    try {
      return await work();
    } finally {
      this.#outside -= 1;
      this.#outsideEnded?.();
    }
  }

  /** Lets the next thing happen that is due by then, with all that it leads to at once. False: there is none; then it is that time. */
  async step(untilMs: number): Promise<boolean> {
    if (!this.#isSettled) await this.#settled();
    const next = this.#next();
    if (next === null || next.atMs > untilMs) {
      this.nowMs = Math.max(this.nowMs, untilMs);
      // Whoever hears of it may begin something.
      this.#isSettled = false;
      return false;
    }
    pop(this.#heap);
    this.nowMs = Math.max(this.nowMs, next.atMs);
    next.callback();
    await this.#settled();
    return true;
  }

  /** Goes on until the condition holds, which is looked at after each thing that happens. Rejects with code `not_idle` when it does not hold within so much time. */
  async until(condition: () => boolean, withinMs: number, what: string): Promise<void> {
    const untilMs = this.nowMs + withinMs;
    while (!condition()) {
      if (!(await this.step(untilMs)) && !condition()) throw new HoldfastError('not_idle', `${what}: not within ${withinMs} ms`);
    }
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    while (await this.step(untilMs)) continue;
  }

  /** One turn of the event loop runs all promises that can go on. */
  async #settled(): Promise<void> {
    do {
      if (this.#outside > 0) await new Promise<void>((resolve) => (this.#outsideEnded = resolve));
      await new Promise<void>((resolve) => this.#eventLoop.soon(resolve));
    } while (this.#outside > 0);
    this.#isSettled = true;
  }

  #next(): Event | null {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined) return null;
      if (!first.cancelled) return first;
      pop(this.#heap);
    }
  }
}

function isBefore(left: Event, right: Event): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.place < right.place);
}

function push(heap: Event[], event: Event): void {
  let place = heap.push(event) - 1;
  while (place > 0) {
    const parent = (place - 1) >> 1;
    const above = heap[parent];
    if (above === undefined || !isBefore(event, above)) break;
    heap[place] = above;
    place = parent;
  }
  heap[place] = event;
}

/** Takes the first out. */
function pop(heap: Event[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let place = 0;
  for (;;) {
    const left = heap[2 * place + 1];
    const right = heap[2 * place + 2];
    if (left === undefined) break;
    const isRight = right !== undefined && isBefore(right, left);
    const child = isRight ? right : left;
    if (!isBefore(child, last)) break;
    heap[place] = child;
    place = 2 * place + (isRight ? 2 : 1);
  }
  heap[place] = last;
}
