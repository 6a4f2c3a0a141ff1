import type { Entry } from '../core/entry.ts';
import { beginsTurn, turnAfter, turnBefore, type TurnView } from '../feed/turn-view.ts';
import type { SessionRef } from '../store/store.ts';

/** Sessions whose open turn is followed, and whose ended one is kept, at most: the oldest go first, and are read when they are asked for. */
const openMax = 1_024;
const endedMax = 256;

interface OpenTurn {
  readonly view: TurnView;
  /** Of the last entry that was seen of its session. */
  readonly seq: number;
  /** It has asked for something: whether it waits for that is not seen here. */
  readonly asked: boolean;
}

/** The turns of which this process has committed every entry itself, from the first on: how they stand is known without reading. As soon as another has committed something in between, the turn is not one of them any more. */
export class SeenTurns {
  readonly #open = new Map<string, OpenTurn>();
  /** The last of a session. */
  readonly #ended = new Map<string, TurnView>();

  /** Entries of a commit of this process, in the order of their session's log; none: its session may be gone. */
  committed(ref: SessionRef, entries: readonly Entry[]): void {
    const key = keyOf(ref);
    if (entries.every(({ kind }) => kind === 'entry-redacted')) this.#ended.delete(key);
    if (entries.length === 0) return;
    let open = this.#open.get(key) ?? null;
    for (const entry of entries) {
      const continues = open !== null && entry.seq === open.seq + 1;
      const view = beginsTurn(entry) ? turnBefore(entry.turnId) : continues ? (open?.view ?? null) : null;
      const next = view === null ? null : turnAfter(view, entry);
      if (next?.status === 'ended') keep(this.#ended, key, next, endedMax);
      const asked = entry.kind === 'action-opened' || (continues && open?.asked === true);
      open = next === null || next.status === 'ended' ? null : { view: next, seq: entry.seq, asked };
    }
    if (open === null) this.#open.delete(key);
    else keep(this.#open, key, open, openMax);
  }

  /** Another process has committed something to the session, or to any: null. What is open there may have ended, what has ended may be redacted, or gone. */
  changedElsewhere(ref: SessionRef | null): void {
    for (const turns of [this.#open, this.#ended]) {
      if (ref === null) turns.clear();
      else turns.delete(keyOf(ref));
    }
  }

  /** The turn, if it is the last that has ended. A fork has turns of the same ids. */
  ended(ref: SessionRef, turnId: string): TurnView | null {
    const last = this.#ended.get(keyOf(ref));
    return last?.id === turnId ? last : null;
  }

  /** Whether the session's open turn is this one, has asked for nothing, and nobody else has committed anything to it that this process has heard of. */
  goesOn(ref: SessionRef, turnId: string): boolean {
    const open = this.#open.get(keyOf(ref));
    return open?.view.id === turnId && !open.asked;
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

function keyOf({ tenant, id }: SessionRef): string {
  return `${tenant}\n${id}`;
}
