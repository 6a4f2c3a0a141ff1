import path from 'node:path';
import type { DiskNote } from './disk-trace.ts';

/**
 * What becomes of that which was done and not synced, when the power goes: `nothing` of it is left; `everything` is; the `beginning`, up to some point; or `pieces`: each change comes or
 * does not, in no order, and a write may come in part: sectors of it, some with bytes that nobody wrote.
 */
export type Fate = 'nothing' | 'everything' | 'beginning' | 'pieces';

export const fates: readonly Fate[] = ['nothing', 'everything', 'beginning', 'pieces'];

/** What lies on a disk: files with their bytes, and folders (null), by path. */
export type DiskContents = ReadonlyMap<string, Buffer | null>;

/** Something that lay on the disk, for sure, before anything was done to it. */
export interface Initial {
  readonly path: string;
  readonly inode: number;
  readonly content: Buffer | null;
}

/** What a disk writes at once, or not at all. */
const sectorBytes = 512;

type Change = { readonly number: number } & ({ readonly offset: number; readonly data: Buffer } | { readonly size: number });

/** A file by its inode: what is on the disk for sure, and what was done to it since. */
interface DiskFile {
  readonly isFolder: boolean;
  synced: Bytes;
  unsynced: Change[];
}

/** A name in a folder that came to be (of a file) or went (null), and may not be on the disk yet. */
interface NameChange {
  readonly number: number;
  readonly path: string;
  readonly file: DiskFile | null;
}

/**
 * A disk that forgets what was not synced. The bytes of a file are safe when a sync of it that began after they were written has ended; a name is safe when the folder that it is in has been synced so, which is less than
 * any file system promises that we know of.
 */
export class LossyDisk {
  readonly #inodes = new Map<number, DiskFile>();
  readonly #names = new Map<string, DiskFile>();
  #unsyncedNames: NameChange[] = [];
  readonly #syncs = new Map<string, number>();
  #number = 0;

  constructor(initial: readonly Initial[]) {
    for (const { path: name, inode, content } of initial) {
      const file = { isFolder: content === null, synced: Bytes.of(content ?? Buffer.alloc(0)), unsynced: [] };
      this.#inodes.set(inode, file);
      this.#names.set(name, file);
    }
  }

  apply(note: DiskNote): void {
    this.#number += 1;
    const number = this.#number;
    switch (note.kind) {
      case 'created': {
        const file = { isFolder: note.isFolder, synced: new Bytes(), unsynced: [] };
        this.#inodes.set(note.inode, file);
        this.#unsyncedNames.push({ number, path: note.path, file });
        break;
      }
      case 'removed':
        this.#unsyncedNames.push({ number, path: note.path, file: null });
        break;
      case 'written':
        this.#file(note).unsynced.push({ number, offset: note.offset, data: note.data });
        break;
      case 'truncated':
        this.#file(note).unsynced.push({ number, size: note.size });
        break;
      case 'sync-begun':
        this.#syncs.set(`${note.pid} ${note.inode}`, number);
        break;
      case 'synced':
        this.#sync(note, this.#syncs.get(`${note.pid} ${note.inode}`) ?? 0);
        break;
    }
  }

  #file({ inode, path: name }: DiskNote): DiskFile {
    const file = this.#inodes.get(inode);
    if (file === undefined) throw new Error(`nothing says how ${name} came to be on the disk`);
    return file;
  }

  #sync(note: DiskNote, upTo: number): void {
    if (note.isFolder) {
      const isSynced = (change: NameChange): boolean => change.number <= upTo && folderOf(change.path) === note.path;
      for (const change of this.#unsyncedNames.filter(isSynced)) rename(this.#names, change);
      this.#unsyncedNames = this.#unsyncedNames.filter((change) => !isSynced(change));
      return;
    }
    const file = this.#file(note);
    for (const change of file.unsynced) if (change.number <= upTo) file.synced.change(change);
    file.unsynced = file.unsynced.filter(({ number }) => number > upTo);
  }

  /** What is found on the disk if the power goes now; the disk itself stays as it is. */
  afterPowerLoss(fate: Fate, random: () => number): DiskContents {
    const survives = this.#survival(fate, random);
    const names = new Map(this.#names);
    for (const change of this.#unsyncedNames) if (survives(change.number)) rename(names, change);
    const contents = new Map<string, Buffer | null>();
    for (const [name, file] of [...names].toSorted(([left], [right]) => (left < right ? -1 : 1))) {
      const folder = folderOf(name);
      if (folder !== '' && !contents.has(folder)) continue;
      contents.set(name, file.isFolder ? null : contentOf(file, survives, fate === 'pieces' ? random : null));
    }
    return contents;
  }

  #survival(fate: Fate, random: () => number): (number: number) => boolean {
    if (fate === 'nothing') return () => false;
    if (fate === 'everything') return () => true;
    if (fate === 'pieces') {
      const share = 0.1 + 0.8 * random();
      return () => random() < share;
    }
    // What is not synced is mostly what was done last: so most points are close to the end.
    const last = Math.floor(this.#number - random() ** 4 * this.#number);
    return (number) => number <= last;
  }
}

function folderOf(name: string): string {
  const folder = path.dirname(name);
  return folder === '.' ? '' : folder;
}

function rename(names: Map<string, DiskFile>, { path: name, file }: NameChange): void {
  if (file === null) names.delete(name);
  else names.set(name, file);
}

function contentOf({ synced, unsynced }: DiskFile, survives: (number: number) => boolean, random: (() => number) | null): Buffer {
  const bytes = Bytes.of(synced.content);
  for (const change of unsynced) {
    if (!survives(change.number)) continue;
    if (random === null || 'size' in change || random() < 0.5) bytes.change(change);
    else tear(bytes, change, random);
  }
  return bytes.content;
}

/** Writes some sectors of a write, and into some of them something else. */
function tear(bytes: Bytes, { number, offset, data }: Extract<Change, { readonly data: Buffer }>, random: () => number): void {
  for (let from = 0; from < data.length;) {
    const until = Math.min(data.length, from + sectorBytes - ((offset + from) % sectorBytes));
    const sector = data.subarray(from, until);
    const chance = random();
    const other = chance < 0.1 ? Buffer.from(sector.map(() => Math.floor(random() * 256))) : null;
    if (chance < 0.55) bytes.change({ number, offset: offset + from, data: other ?? sector });
    from = until;
  }
}

/** The bytes of a file, which grows. */
class Bytes {
  #room = Buffer.alloc(0);
  #size = 0;

  /** With these bytes, which stay their owner's. */
  static of(content: Buffer): Bytes {
    const bytes = new Bytes();
    bytes.change({ number: 0, offset: 0, data: content });
    return bytes;
  }

  get content(): Buffer {
    return this.#room.subarray(0, this.#size);
  }

  change(change: Change): void {
    if ('size' in change) {
      this.#resize(change.size);
      return;
    }
    this.#resize(Math.max(this.#size, change.offset + change.data.length));
    change.data.copy(this.#room, change.offset);
  }

  #resize(size: number): void {
    if (size > this.#room.length) {
      const larger = Buffer.alloc(Math.max(size, this.#room.length * 2));
      this.content.copy(larger);
      this.#room = larger;
    }
    // What is cut off reads as zeros when the file grows again.
    if (size < this.#size) this.#room.fill(0, size, this.#size);
    this.#size = size;
  }
}
