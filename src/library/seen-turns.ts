import type { Entry } from '../core/entry.ts';
import { beginsTurn, turnAfter, turnBefore, type TurnView } from '../feed/turn-view.ts';
import type { SessionRef } from '../store/store.ts';

/** Sessions whose open turn is followed, and ended turns that are kept, at most: the oldest go first, and are read when they are asked for. */
const openMax = 1_024;
const endedMax = 256;

interface OpenTurn {
  readonly view: TurnView;
  /** Of the last entry that was seen of its session. */
  readonly seq: number;
}

/** The turns of which this process has committed every entry itself, from the first on: how they stand is known without reading. As soon as another has committed something in between, the turn is not one of them any more. */
export class SeenTurns {
  readonly #open = new Map<string, OpenTurn>();
  readonly #ended = new Map<string, TurnView>();

  /** Entries of a commit of this process, in the order of their session's log. */
  committed(ref: SessionRef, entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    const key = keyOf(ref);
    let open = this.#open.get(key) ?? null;
    for (const entry of entries) {
      const continues = open !== null && entry.seq === open.seq + 1;
      const view = beginsTurn(entry) ? turnBefore(entry.turnId) : continues ? (open?.view ?? null) : null;
      const next = view === null ? null : turnAfter(view, entry);
      if (next?.status === 'ended') keep(this.#ended, turnKeyOf(ref, next.id), next, endedMax);
      open = next === null || next.status === 'ended' ? null : { view: next, seq: entry.seq };
    }
    if (open === null) this.#open.delete(key);
    else keep(this.#open, key, open, openMax);
  }

  /** Another process has committed something to the session, or to any: null. What is open there may have ended. */
  changedElsewhere(ref: SessionRef | null): void {
    if (ref === null) this.#open.clear();
    else this.#open.delete(keyOf(ref));
  }

  /** The turn, if it has ended. A fork has turns of the same ids. */
  ended(ref: SessionRef, turnId: string): TurnView | null {
    return this.#ended.get(turnKeyOf(ref, turnId)) ?? null;
  }

  /** Whether the session's open turn is this one, and nobody else has committed anything to it that this process has heard of. */
  isOpen(ref: SessionRef, turnId: string): boolean {
    return this.#open.get(keyOf(ref))?.view.id === turnId;
  }
}

function keep<Value>(map: Map<string, Value>, key: string, value: Value, max: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= max) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    break;
  }
}

function turnKeyOf(ref: SessionRef, turnId: string): string {
  return `${keyOf(ref)}\n${turnId}`;
}

function keyOf({ tenant, id }: SessionRef): string {
  return `${tenant}\n${id}`;
}
