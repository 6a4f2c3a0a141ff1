import { refuse, type Refusal } from '../core/errors.ts';

/** Counts the open streams of this process, so that nobody holds more than their share (G15). */
export class StreamSlots {
  readonly #open = new Map<string, number>();

  /** Takes a place; call what is returned when the stream is over, once or more often. Refusal: `too_many_streams`. */
  take(whose: string, max: number): (() => void) | Refusal {
    const open = this.#open.get(whose) ?? 0;
    if (open >= max) return refuse('too_many_streams', `${max} event streams are open already; close one`, { max });
    this.#open.set(whose, open + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = (this.#open.get(whose) ?? 1) - 1;
      if (left > 0) this.#open.set(whose, left);
      else this.#open.delete(whose);
    };
  }

  get count(): number {
    let count = 0;
    for (const open of this.#open.values()) count += open;
    return count;
  }
}
