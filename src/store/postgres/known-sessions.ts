import type { CallResult } from '../../core/entry.ts';
import type { Session } from '../../core/session.ts';
import type { SessionRef } from '../store.ts';

/** A session as this process knows it: as of the commit that it names. */
export interface KnownSession {
  readonly session: Session;
  readonly commitId: string;
  /** The outcomes that are stored of its open calls. */
  readonly outcomes: readonly CallResult[];
}

/**
 * The sessions that this process has lately read or changed, so that the next change can be tried without reading first: the commit checks that the row is still the one that is known. It may be
 * old, never wrong. Bounded; the one not used for longest goes first.
 */
export class KnownSessions {
  readonly #sessionsMax: number;
  readonly #known = new Map<string, KnownSession>();

  constructor(sessionsMax: number) {
    this.#sessionsMax = sessionsMax;
  }

  get(ref: SessionRef): KnownSession | null {
    return this.#known.get(keyOf(ref)) ?? null;
  }

  remember(known: KnownSession): void {
    const key = keyOf(known.session);
    this.#known.delete(key);
    this.#known.set(key, known);
    if (this.#known.size <= this.#sessionsMax) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      break;
    }
  }

  forget(ref: SessionRef): void {
    this.#known.delete(keyOf(ref));
  }
}

function keyOf({ tenant, id }: SessionRef): string {
  return `${tenant}\n${id}`;
}
