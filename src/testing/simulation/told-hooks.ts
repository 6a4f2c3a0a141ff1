import type { Entry } from '../../core/entry.ts';
import type { Hooks } from '../../worker/hooks.ts';
import { chanceOf } from './chance.ts';
import type { Met } from './met.ts';
import type { Weather } from './plan.ts';
import type { SimulatedProcess } from './simulated-process.ts';

const slowMsMax = 5_000;

export interface HookSurroundings {
  readonly seed: number;
  readonly weather: () => Weather;
  readonly met: Met;
  readonly trace: (line: () => string) => void;
}

/** Who was told by hooks of what, in all processes: as the weather has it they throw, hang for as long as their process lives, or take long. */
export class ToldHooks {
  readonly #surroundings: HookSurroundings;
  /** Calls that came to their end. */
  readonly #told = new Set<string>();
  /** Calls that hang, with those who made them. */
  readonly #hanging = new Map<string, SimulatedProcess>();

  constructor(surroundings: HookSurroundings) {
    this.#surroundings = surroundings;
  }

  /** Whether somebody was told of it: a hook heard it out, or hangs with it in a process that lives. */
  wasTold(sessionId: string, { seq }: Pick<Entry, 'seq'>): boolean {
    const key = keyOf(sessionId, seq);
    return this.#told.has(key) || this.#hanging.get(key)?.lives === true;
  }

  /** The hooks of one process, all that there are. */
  of(process: SimulatedProcess): Hooks {
    let calls = 0;
    const hear = async ({ sessionId, entry }: { readonly sessionId: string; readonly entry: Pick<Entry, 'seq'> }): Promise<void> => {
      await process.awake();
      calls += 1;
      await this.#hear(process, keyOf(sessionId, entry.seq), calls);
    };
    return { onTurnEnd: hear, onStepEnd: hear, onActionRequired: hear, onOperationEnd: hear };
  }

  async #hear(process: SimulatedProcess, key: string, call: number): Promise<void> {
    const { seed, weather, met, trace } = this.#surroundings;
    const chance = chanceOf(seed, 'hook', process.name, call);
    if (chance.happens(weather().hooksFail)) {
      met.weather('hooksFail');
      const how = chance.pick(['throws', 'hangs', 'is slow']);
      trace(() => `a hook of ${process.name} ${how} at ${key}`);
      if (how === 'throws') throw new Error('the simulation let the hook fail');
      if (how === 'hangs') {
        this.#hanging.set(key, process);
        return new Promise<void>(() => undefined);
      }
      await new Promise<void>((resolve) => void process.system.clock.after(chance.below(slowMsMax), resolve));
    }
    this.#told.add(key);
  }
}

function keyOf(sessionId: string, seq: number): string {
  return `${sessionId} ${seq}`;
}
