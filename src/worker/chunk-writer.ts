import { limits } from '../core/limits.ts';
import { utf8Bytes } from '../core/json.ts';
import type { StreamSegment } from '../core/stream-parts.ts';
import type { Clock } from '../core/system.ts';
import type { SessionRef, Store } from '../store/store.ts';

export interface ChunkTarget {
  readonly ref: SessionRef;
  readonly fence: number;
  readonly attemptId: string;
}

/**
 * Stores live output, packed: the first of it at once, then at most every `intervalMs` or 4 KB. Followers see a chunk when it is stored
 * and not before (G5). A model that has answered before its first chunk is due costs no chunk at all.
 */
export class ChunkWriter {
  readonly #store: Pick<Store, 'appendChunkIfHeld'>;
  readonly #clock: Clock;
  readonly #target: ChunkTarget;
  readonly #intervalMs: number;
  readonly #onLost: () => void;
  #waiting: StreamSegment[] = [];
  #waitingBytes = 0;
  #ordinal = 0;
  #cancelTimer: (() => void) | null = null;
  #due = false;
  #writing: Promise<void> | null = null;
  #closed = false;

  constructor(store: Pick<Store, 'appendChunkIfHeld'>, clock: Clock, target: ChunkTarget, intervalMs: number, onLost: () => void) {
    this.#store = store;
    this.#clock = clock;
    this.#target = target;
    this.#intervalMs = intervalMs;
    this.#onLost = onLost;
  }

  add(segments: readonly StreamSegment[]): void {
    if (this.#closed || segments.length === 0) return;
    const first = this.#ordinal === 0 && this.#waiting.length === 0 && this.#writing === null;
    for (const segment of segments) {
      this.#waiting = joined(this.#waiting, segment);
      this.#waitingBytes += utf8Bytes(segment.text);
    }
    if (this.#waitingBytes >= limits.chunkBytesMax) this.#flush();
    else if (first) this.#clock.soon(() => this.#flush());
    else if (this.#cancelTimer === null && this.#writing === null && this.#ordinal > 0) this.#startTimer();
  }

  /** Stores nothing more; resolves when what was being stored is. What was still waiting comes with the step. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#waiting = [];
    await this.#writing;
  }

  #startTimer(): void {
    this.#cancelTimer = this.#clock.after(this.#intervalMs, () => {
      this.#cancelTimer = null;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#closed || this.#waiting.length === 0) return;
    if (this.#writing !== null) {
      this.#due = true;
      return;
    }
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    const segments = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    const ordinal = this.#ordinal;
    this.#ordinal += 1;
    this.#writing = this.#write(ordinal, segments);
  }

  async #write(ordinal: number, segments: readonly StreamSegment[]): Promise<void> {
    let lost = false;
    try {
      lost = await this.#store.appendChunkIfHeld({ ...this.#target, ordinal, segments }) === 'fence-lost';
    } catch {
      // Live output is a convenience: the step's commit carries all of it, and says so if the store is gone.
      this.#closed = true;
    }
    this.#writing = null;
    if (lost) {
      this.#closed = true;
      this.#onLost();
    } else if (this.#due) {
      this.#due = false;
      this.#flush();
    } else if (this.#waiting.length > 0 && !this.#closed) {
      this.#startTimer();
    }
  }
}

/** Adjacent additions to one part are one segment. */
function joined(segments: StreamSegment[], segment: StreamSegment): StreamSegment[] {
  const last = segments.at(-1);
  if (last === undefined || last.part !== segment.part || last.offset + last.text.length !== segment.offset) return [...segments, segment];
  return [...segments.slice(0, -1), { ...last, text: last.text + segment.text }];
}
