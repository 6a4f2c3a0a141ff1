import type { Transition } from '../core/draft.ts';
import type { Entry } from '../core/entry.ts';
import { entryFormats, type EntryFormat } from '../core/entry-format.ts';
import { refuse } from '../core/errors.ts';
import { isVisible } from '../core/intervals.ts';
import type { Session } from '../core/session.ts';
import type { Clock } from '../core/system.ts';
import type { SessionRef } from '../store/store.ts';

/** Sessions remembered; of more, the one left longest ago is tried again. */
const sessionsMax = 10_000;

/**
 * Whether this version can make a prompt of a history with this entry in it. Of a kind that it does not know it cannot tell what belongs to the conversation; a ledger entry of a newer version changes
 * nothing of that.
 */
export function isUnderstood({ kind, v }: Pick<Entry, 'kind' | 'v'>): boolean {
  const format = (entryFormats as Readonly<Record<string, EntryFormat | undefined>>)[kind];
  return format !== undefined && (format.place === 'ledger' || v <= format.version);
}

/** The first entry of the visible history that a newer version wrote and this one cannot read; null: there is none. */
export function firstNotUnderstood({ visible }: Pick<Session, 'visible'>, entries: readonly Entry[]): Entry | null {
  return entries.find((entry) => !isUnderstood(entry) && isVisible(visible, entry.seq)) ?? null;
}

interface Left {
  readonly revision: number;
  askedAtMs: number;
}

/**
 * Sessions that this process has given back because their logs hold what it cannot read (a newer version works beside it). They are left to workers that can, and not claimed here again while their
 * revision is the same: looked at once in a poll, that costs a read and changes nothing.
 */
export class NotUnderstood {
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #left = new Map<string, Left>();
  #seen = 0;

  constructor(clock: Clock, pollMs: number) {
    this.#clock = clock;
    this.#pollMs = pollMs;
  }

  /** How many of them the last look for work has found: the next one sees past as many. */
  get seen(): number {
    return this.#seen;
  }

  /** Remembers a session, as of this revision. */
  leave(session: Session): void {
    this.forget(session);
    this.#left.set(keyOf(session), { revision: session.revision, askedAtMs: this.#clock.nowMs() });
    if (this.#left.size <= sessionsMax) return;
    for (const oldest of this.#left.keys()) {
      this.#left.delete(oldest);
      break;
    }
  }

  has(ref: SessionRef): boolean {
    return this.#left.has(keyOf(ref));
  }

  forget(ref: SessionRef): void {
    this.#left.delete(keyOf(ref));
  }

  /** What was found, without those that are remembered and were looked at lately. */
  sift<Ref extends SessionRef>(found: readonly Ref[]): readonly Ref[] {
    this.#seen = 0;
    if (this.#left.size === 0) return found;
    const nowMs = this.#clock.nowMs();
    return found.filter((ref) => {
      const left = this.#left.get(keyOf(ref));
      if (left === undefined) return true;
      this.#seen += 1;
      if (nowMs - left.askedAtMs < this.#pollMs) return false;
      left.askedAtMs = nowMs;
      return true;
    });
  }

  /** The same transition, but for a session that is remembered and has not moved. */
  guarding<Reply>(transition: Transition<Reply>): Transition<Reply> {
    return (loaded) => {
      const { session } = loaded;
      if (this.#left.get(keyOf(session))?.revision === session.revision) return refuse('not_claimable', `at revision ${session.revision} the log of the session holds what this version cannot read`);
      return transition(loaded);
    };
  }
}

function keyOf({ tenant, id }: SessionRef): string {
  return `${tenant}\n${id}`;
}
