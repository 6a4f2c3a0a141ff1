import type { SessionRef } from '../store/store.ts';

/**
 * Sessions that a worker has found and not taken, and since when. What a later look for work does not find is forgotten: somebody took it, or it has nothing to
 * do any more. So it holds no more than one look finds.
 */
export class LeftSessions {
  readonly #sinceMs = new Map<string, number>();

  get size(): number {
    return this.#sinceMs.size;
  }

  has(ref: SessionRef): boolean {
    return this.#sinceMs.has(keyOf(ref));
  }

  /** Notes that it is left. Returns how long it has been by now, in milliseconds: 0 the first time. */
  leave(ref: SessionRef, nowMs: number): number {
    const sinceMs = this.#sinceMs.get(keyOf(ref)) ?? nowMs;
    this.#sinceMs.set(keyOf(ref), sinceMs);
    return nowMs - sinceMs;
  }

  /** How long it has been left, in milliseconds; 0 for one that was not. */
  leftMs(ref: SessionRef, nowMs: number): number {
    return nowMs - (this.#sinceMs.get(keyOf(ref)) ?? nowMs);
  }

  forget(ref: SessionRef): void {
    this.#sinceMs.delete(keyOf(ref));
  }

  /** Forgets all but what a look for work has found. */
  keep(found: readonly SessionRef[]): void {
    const keys = new Set(found.map(keyOf));
    for (const key of this.#sinceMs.keys()) if (!keys.has(key)) this.#sinceMs.delete(key);
  }

  /** The same sessions, those that were left before the others. */
  first<Ref extends SessionRef>(found: readonly Ref[]): readonly Ref[] {
    return this.size === 0 ? found : [...found.filter((ref) => this.has(ref)), ...found.filter((ref) => !this.has(ref))];
  }
}

function keyOf({ tenant, id }: SessionRef): string {
  return `${tenant}\n${id}`;
}
