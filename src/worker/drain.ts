import type { Entry } from '../core/entry.ts';
import { HoldfastError } from '../core/errors.ts';
import type { System } from '../core/system.ts';
import type { SessionRef, Store } from '../store/store.ts';
import type { Worker } from './worker.ts';

export interface Drained {
  /** Turns that ended here. */
  readonly turns: number;
  /** Operations that ended here. */
  readonly operations: number;
  /** Whether there is due work left that nobody has in hand: the time was too short. */
  readonly left: boolean;
}

export interface DrainsOptions {
  readonly store: Store;
  readonly system: Pick<System, 'clock'>;
  /** Names of those that are worked for. */
  readonly agents: readonly string[];
  /** Resolves when the hooks that were told of commits have been called, and what others left of hooks and labels has been seen to. */
  readonly delivered: () => Promise<void>;
}

/** How long to wait after a look for work that could take none of what it found. */
const pauseMs = 100;

/** Makes a worker, not yet started, that tells `committed` of its commits. */
export type MakeWorker = (committed: (ref: SessionRef, entries: readonly Entry[]) => void) => Worker;

interface Deadline {
  readonly isOver: boolean;
  readonly passed: Promise<void>;
}

/** For processes that work only when they are called: a worker for as long as there is work, or time. One at a time; each begins when the one before it is over. */
export class Drains {
  readonly #options: DrainsOptions;
  #worker: Worker | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: DrainsOptions) {
    this.#options = options;
  }

  /** The one that works just now. */
  get worker(): Worker | null {
    return this.#worker;
  }

  async run(deadlineMs: number, makeWorker: MakeWorker): Promise<Drained> {
    if (!(Number.isFinite(deadlineMs) && deadlineMs >= 0)) throw new HoldfastError('options_invalid', `deadlineMs is ${String(deadlineMs)}; it must be a number of milliseconds, not negative`);
    const { promise, resolve } = Promise.withResolvers<void>();
    const deadline = { isOver: false, passed: promise };
    const cancel = this.#options.system.clock.after(deadlineMs, () => {
      deadline.isOver = true;
      resolve();
    });
    const before = this.#last;
    const drained = this.#inTurn(before, deadline, makeWorker);
    // What became of one is its caller's matter; the next one only waits for its end.
    this.#last = Promise.allSettled([before, drained]);
    try {
      return await drained;
    } finally {
      cancel();
    }
  }

  /** Ends the one under way, handing over what it has; those that wait take nothing any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.stop();
    await this.#last;
  }

  async #inTurn(before: Promise<unknown>, deadline: Deadline, makeWorker: MakeWorker): Promise<Drained> {
    await Promise.race([before, deadline.passed]);
    if (this.#closed) return { turns: 0, operations: 0, left: true };
    if (this.#worker !== null) return { turns: 0, operations: 0, left: await this.#isLeft() };
    return this.#drain(deadline, makeWorker);
  }

  async #drain(deadline: Deadline, makeWorker: MakeWorker): Promise<Drained> {
    const done = { turns: 0, operations: 0 };
    const worker = makeWorker((_ref, entries) => {
      done.turns += entries.filter(({ kind }) => kind === 'turn-ended').length;
      done.operations += entries.filter(({ kind }) => kind === 'operation-ended').length;
    });
    this.#worker = worker;
    let isQuiet = false;
    try {
      // Whether this version may still work here: the process may have slept for long.
      await this.#options.store.migrate();
      await worker.start();
      while (!isQuiet && !deadline.isOver && !this.#closed) {
        isQuiet = await Promise.race([worker.isQuiet(), deadline.passed.then(() => false)]);
        if (!isQuiet) await this.#next(worker, deadline);
      }
    } finally {
      await worker.stop();
      this.#worker = null;
    }
    if (this.#closed) return { ...done, left: true };
    await Promise.race([this.#options.delivered(), deadline.passed]);
    return { ...done, left: !isQuiet && await this.#isLeft() };
  }

  /** Until there may be something new to find: something in hand has ended, or, with nothing in hand, a while has passed. */
  async #next(worker: Worker, { passed }: Deadline): Promise<void> {
    const { clock } = this.#options.system;
    const { promise, resolve } = Promise.withResolvers<void>();
    const isBusy = worker.runs + worker.operationRuns > 0;
    const cancel = isBusy ? () => undefined : clock.after(pauseMs, resolve);
    await Promise.race([passed, isBusy ? worker.somethingEnds() : promise]);
    cancel();
  }

  async #isLeft(): Promise<boolean> {
    const { store, system, agents } = this.#options;
    const query = { nowMs: system.clock.nowMs(), deadWorkers: (await store.findDeadWorkers()).dead, agents, limit: 1 };
    return (await store.findClaimable(query)).length > 0 || (await store.findClaimableOperations(query)).length > 0;
  }
}
