import { seededRandom } from '../fake-system.ts';

/** Draws that follow from a seed. */
export interface Chance {
  /** From 0 (included) to 1 (not). */
  next(): number;
  /** A whole number from 0 (included) to `bound` (not); 0 when the bound is. */
  below(bound: number): number;
  /** A whole number, both included. */
  between(least: number, most: number): number;
  /** True in this share of all draws. */
  happens(share: number): boolean;
  /** One of them; of none undefined. */
  pick<Item>(items: readonly Item[]): Item | undefined;
  /** One of them, by their weights. */
  weighted<Item extends { readonly weight: number }>(items: readonly Item[]): Item;
}

/** Draws of their own for whatever is named by a seed and labels: what one part of a run draws moves nothing in another. */
export function chanceOf(seed: number, ...labels: readonly (string | number)[]): Chance {
  const next = seededRandom(hashOf(`${seed} ${labels.join(' ')}`));
  const below = (bound: number): number => Math.floor(next() * bound);
  return {
    next, below,
    between: (least, most) => least + below(most - least + 1),
    happens: (share) => next() < share,
    pick: (items) => items[below(items.length)],
    weighted: (items) => {
      let rest = next() * items.reduce((sum, { weight }) => sum + weight, 0);
      const found = items.find(({ weight }) => (rest -= weight) < 0) ?? items.at(-1);
      if (found === undefined) throw new RangeError('there is nothing to draw from');
      return found;
    },
  };
}

/** FNV-1a, 32 bits. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let place = 0; place < text.length; place += 1) hash = Math.imul(hash ^ text.charCodeAt(place), 0x01000193);
  return hash >>> 0;
}
