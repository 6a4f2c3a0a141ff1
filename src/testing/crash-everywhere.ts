import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Agent } from '../agent/agent.ts';
import { HoldfastError } from '../core/errors.ts';
import type { System } from '../core/system.ts';
import { createHoldfast, type Holdfast } from '../create-holdfast.ts';
import { openStoreUrl, type StoreSettings, type StoreSource } from '../store-url.ts';
import { realSystem } from '../system.ts';
import { crashStore, type AroundCall, type StoreCall } from './crash-store.ts';

/** Where a process died: before or after a call of its store that changes what is stored. */
export interface StoreDeath {
  readonly when: 'before' | 'after';
  /** The how manieth such call it is, from 1. */
  readonly number: number;
  /** As the port names it: `update`. */
  readonly name: string;
}

/** What is played in a run, by a process that dies and by one that goes on. */
export interface CrashScenario {
  /** The agents of both processes. What they do to the world outside, they do to the same. */
  readonly agents: readonly Agent[];
  /** What a client does, until nothing is left to be done. After a death it is played again from its beginning, as a client repeats what had no answer: with the same external ids and idempotency keys. */
  readonly play: (holdfast: Holdfast) => Promise<unknown>;
  /** What must hold then; else it throws. */
  readonly check: (holdfast: Holdfast, death: StoreDeath | null) => unknown;
}

export interface CrashEverywhereOptions {
  /** A scenario that is not over within so much time, after a death, fails. Default 20,000. */
  readonly withinMs?: number;
}

/** Come by themselves, at times of their own. */
const housekeeping: ReadonlySet<string> = new Set(['renewWorker', 'removeDeadWorkers', 'sweep']);

/**
 * "What if it dies here?", at each place. Runs a scenario of yours again and again, each time made anew and on a new SQLite file: first to its end; then the process dies before its first call of the store that changes something, after it, before the second, and so on until it gets
 * through, and another one opens the file and goes on. What a tool has begun when its process dies goes on, as a request does that was sent. Resolves with all deaths that there were. Rejects with `HoldfastError` code `crash_scenario_failed`, which says where the process died, when the
 * scenario does not hold (the `cause`) or is not over in time.
 */
export async function crashEverywhere(scenario: () => CrashScenario, { withinMs = 20_000 }: CrashEverywhereOptions = {}): Promise<readonly StoreDeath[]> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-crash-'));
  const run = (number: number, when: StoreDeath['when']): Promise<StoreDeath | null> => runOnce(scenario(), new MortalProcess(`sqlite:${join(folder, `${when}-${number}.db`)}`, number, when), withinMs);
  const deaths: StoreDeath[] = [];
  try {
    await run(Number.POSITIVE_INFINITY, 'before');
    for (let number = 1; ; number += 1) {
      const died = [await run(number, 'before'), await run(number, 'after')].filter((death) => death !== null);
      if (died.length === 0) return deaths;
      deaths.push(...died);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runOnce({ agents, play, check }: CrashScenario, mortal: MortalProcess, withinMs: number): Promise<StoreDeath | null> {
  const late = Promise.withResolvers<never>();
  const cancel = realSystem().clock.after(withinMs, () => late.reject(new HoldfastError('not_idle', `not over within ${withinMs} ms`)));
  let death: StoreDeath | null = null;
  const whole = async (): Promise<void> => {
    death = await Promise.race([mortal.live(agents, play), mortal.died]);
    await using holdfast = await createHoldfast({ agents, store: mortal.url });
    if (death !== null) await play(holdfast);
    await check(holdfast, death);
  };
  try {
    await Promise.race([whole(), late.promise]);
    return death;
  } catch (error) {
    throw new HoldfastError('crash_scenario_failed', `${describeDeath(death)}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    cancel();
  }
}

function describeDeath(death: StoreDeath | null): string {
  return death === null ? 'without a death' : `after a death ${death.when} change ${death.number} of the store (${death.name})`;
}

/** A process whose store, timers and answers end at a call of the store. */
class MortalProcess {
  readonly url: string;
  readonly #number: number;
  readonly #when: StoreDeath['when'];
  readonly #death = Promise.withResolvers<StoreDeath>();
  readonly #timers = new Set<() => void>();
  #changes = 0;
  #isDead = false;
  /** It has got through: nothing is left to die at. */
  #isOver = false;
  #close: () => Promise<void> = () => Promise.resolve();

  constructor(url: string, number: number, when: StoreDeath['when']) {
    this.url = url;
    this.#number = number;
    this.#when = when;
  }

  get died(): Promise<StoreDeath> {
    return this.#death.promise;
  }

  /** Resolves with null when it got through, and has ended in order; never, when it dies. */
  async live(agents: readonly Agent[], play: CrashScenario['play']): Promise<null> {
    await using holdfast = await createHoldfast({ agents, store: this.#store(), system: this.#system() });
    await play(holdfast);
    this.#isOver = true;
    return null;
  }

  #store(): StoreSource {
    const around: AroundCall = async (call, perform) => {
      if (this.#isDead) return never();
      if (this.#isOver || !this.#isMortal(call)) return this.#whileAlive(perform());
      if (this.#when === 'after') await perform();
      await this.#die(call);
      return never();
    };
    return {
      open: async (settings: StoreSettings) => {
        // The file's own timers end when it is closed.
        const inner = await openStoreUrl(this.url, { ...settings, system: realSystem() });
        this.#close = () => inner.close();
        return crashStore(inner, around);
      },
    };
  }

  #isMortal({ name, writes }: StoreCall): boolean {
    if (!writes || housekeeping.has(name)) return false;
    this.#changes += 1;
    return this.#changes === this.#number;
  }

  /** What comes back to a process that has died meanwhile does not. */
  async #whileAlive<Result>(performed: Promise<Result>): Promise<Result> {
    try {
      return await performed;
    } finally {
      if (this.#isDead) await never();
    }
  }

  /** Its file is closed as the operating system closes it, so that others see at once that it is dead. */
  async #die({ name }: StoreCall): Promise<void> {
    this.#isDead = true;
    for (const cancel of this.#timers) cancel();
    await this.#close();
    this.#death.resolve({ when: this.#when, number: this.#number, name });
  }

  #system(): System {
    const system = realSystem();
    const after: System['clock']['after'] = (delayMs, callback) => {
      if (this.#isDead) return () => undefined;
      const cancelTimer = system.clock.after(delayMs, () => {
        this.#timers.delete(cancel);
        callback();
      });
      const cancel = (): void => {
        this.#timers.delete(cancel);
        cancelTimer();
      };
      this.#timers.add(cancel);
      return cancel;
    };
    return { ...system, clock: { ...system.clock, after, soon: (callback) => system.clock.soon(() => { if (!this.#isDead) callback(); }) } };
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
