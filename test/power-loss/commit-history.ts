import { createHash } from 'node:crypto';
import type { DiskNote } from './disk-trace.ts';

const walHeadBytes = 32;
const frameHeadBytes = 24;

/** Names the pages of a database: two with the same digest are the same, page for page. */
export function digestOf(pages: Iterable<Buffer>): string {
  const hash = createHash('sha1');
  for (const page of pages) hash.update(page);
  return hash.digest('hex');
}

type Written = Extract<DiskNote, { readonly kind: 'written' }>;

/**
 * The commits of a SQLite database, as processes wrote them to its write-ahead log (sqlite.org/fileformat2.html, 4): what the whole database was after each, taken from the bytes alone, without SQLite.
 * Number 0 is what there was before the first one.
 */
export class CommitHistory {
  readonly #database: string;
  readonly #pages: Map<number, Buffer>;
  readonly #latest = new Map<number, number>();
  readonly #numbers = new Map<string, number>();
  /** Written since the last commit, by their places in the log. */
  readonly #frames = new Map<number, { readonly page: number; readonly data: Buffer }>();
  #head: { readonly frame: number; readonly page: number; readonly pagesAfterCommit: number } | null = null;
  #pageBytes: number;
  #count = 0;
  #checkpoints = 0;

  /** `pages`: the database before the first commit; none where it is new. */
  constructor(databasePath: string, pages: readonly Buffer[]) {
    this.#database = databasePath;
    this.#pages = new Map(pages.map((page, place) => [place + 1, page]));
    this.#pageBytes = pages[0]?.length ?? 0;
    this.#numbers.set(digestOf(pages), 0);
  }

  /** How many commits there have been. */
  get count(): number {
    return this.#count;
  }

  /** How many times the log has been begun anew, all of it having been copied to the database. */
  get checkpoints(): number {
    return this.#checkpoints;
  }

  /** Number of the last commit of a process; 0: none yet. */
  latestOf(pid: number): number {
    return this.#latest.get(pid) ?? 0;
  }

  /** Number of the commit after which the database was so; null: it never was. */
  numberOf(digest: string): number | null {
    return this.#numbers.get(digest) ?? null;
  }

  apply(note: DiskNote): void {
    if (note.kind !== 'written') return;
    // The one page of a new database, which is written before it has a log.
    if (note.path === this.#database && this.#pageBytes === 0) this.#pages.set(1, note.data);
    if (note.path === `${this.#database}-wal`) this.#applyToLog(note);
  }

  #applyToLog({ offset, data, pid }: Written): void {
    if (offset === 0 && data.length === walHeadBytes) {
      if (this.#count > 0) this.#checkpoints += 1;
      this.#pageBytes = data.readUInt32BE(8);
      this.#frames.clear();
      return;
    }
    const frameBytes = frameHeadBytes + this.#pageBytes;
    const [frame, within] = [Math.floor((offset - walHeadBytes) / frameBytes), (offset - walHeadBytes) % frameBytes];
    if (within === 0 && data.length === frameHeadBytes) {
      this.#head = { frame, page: data.readUInt32BE(0), pagesAfterCommit: data.readUInt32BE(4) };
      return;
    }
    const head = this.#head;
    if (within !== frameHeadBytes || data.length !== this.#pageBytes || head?.frame !== frame) throw new Error(`the log has a write of ${data.length} bytes at ${offset}, which is no part of a frame`);
    this.#frames.set(frame, { page: head.page, data });
    if (head.pagesAfterCommit > 0) this.#commit(frame, head.pagesAfterCommit, pid);
  }

  /** What lies behind the commit's frame was written by a transaction that was rolled back. */
  #commit(lastFrame: number, pages: number, pid: number): void {
    for (const [place, { page, data }] of [...this.#frames].toSorted(([left], [right]) => left - right)) if (place <= lastFrame) this.#pages.set(page, data);
    this.#frames.clear();
    this.#count += 1;
    this.#latest.set(pid, this.#count);
    const neverWritten = Buffer.alloc(this.#pageBytes);
    this.#numbers.set(digestOf(Array.from({ length: pages }, (_, place) => this.#pages.get(place + 1) ?? neverWritten)), this.#count);
  }
}
