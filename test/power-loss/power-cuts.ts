import { rmSync } from 'node:fs';
import path from 'node:path';
import { openDatabase, type Database } from '../../src/store/sqlite/open-database.ts';
import { acknowledgedFile, type Acknowledgement } from './acknowledgement.ts';
import { CommitHistory, digestOf } from './commit-history.ts';
import { writeContents } from './disk-contents.ts';
import type { DiskNote } from './disk-trace.ts';
import { fates, LossyDisk, type DiskContents, type Fate } from './lossy-disk.ts';
import { databaseFile, type Recording } from './power-recording.ts';

/** A moment at which the power goes. */
export interface Cut {
  /** So many notes of the recording are done. */
  readonly after: number;
  readonly fate: Fate;
}

/** What a cut has left. */
export interface Remains {
  readonly cut: Cut;
  readonly contents: DiskContents;
  /** Path of a database file made of them. */
  readonly path: string;
  /** All that was acknowledged before. */
  readonly acknowledged: readonly Acknowledgement[];
  /** How much of that the database is too old for. */
  readonly lost: number;
  /** What is wrong with the database: that it cannot be read, or that it was never so; null: it is as it was after a commit, page for page. */
  readonly damage: string | null;
  /** How many commits and checkpoints there had been. */
  readonly commits: number;
  readonly checkpoints: number;
}

/** Half of the cuts fall right behind an acknowledgement, each in its turn, the others anywhere; what is not synced has each fate in its turn. */
export function planCuts({ notes }: Recording, count: number, random: () => number): readonly Cut[] {
  const behind = notes.flatMap((note, place) => (isAcknowledgement(note) ? [place + 1] : []));
  const places = Array.from({ length: count }, (_, place) => (place % 2 === 0 ? behind[Math.floor((place * behind.length) / count)] : undefined) ?? 1 + Math.floor(random() * notes.length));
  return places.toSorted((left, right) => left - right).map((after, place) => ({ after, fate: fates[place % fates.length] ?? 'nothing' }));
}

/** Lets the power go at each of the cuts, which are in order, and says what is left; the database that is made of it is gone when the next is asked for. */
export async function* cutPower(recording: Recording, cuts: readonly Cut[], root: string, random: () => number): AsyncGenerator<Remains> {
  const disk = new LossyDisk(recording.initial);
  const history = new CommitHistory(databaseFile, recording.pages);
  const promised: { readonly acknowledgement: Acknowledgement; readonly commit: number }[] = [];
  let done = 0;
  for (const cut of cuts) {
    for (const note of recording.notes.slice(done, cut.after)) {
      disk.apply(note);
      history.apply(note);
      if (isAcknowledgement(note)) promised.push({ acknowledgement: JSON.parse(note.data.toString('utf8')) as Acknowledgement, commit: history.latestOf(note.pid) });
    }
    done = cut.after;
    const contents = disk.afterPowerLoss(cut.fate, random);
    const folder = path.join(root, 'left');
    writeContents(folder, contents, random);
    const database = path.join(folder, databaseFile);
    const { damage, commit } = await lookAt(database, history);
    yield {
      cut, contents, path: database, damage, commits: history.count, checkpoints: history.checkpoints,
      acknowledged: promised.map(({ acknowledgement }) => acknowledgement), lost: promised.filter((each) => each.commit > commit).length,
    };
    rmSync(folder, { recursive: true });
  }
}

function isAcknowledgement(note: DiskNote): note is Extract<DiskNote, { readonly kind: 'written' }> {
  return note.kind === 'written' && note.path === acknowledgedFile;
}

/** Opens the database as the store does, and finds the commit after which it was so; one that cannot be used is as good as none. */
async function lookAt(file: string, history: CommitHistory): Promise<{ readonly damage: string | null; readonly commit: number }> {
  let database: Database | null = null;
  try {
    database = await openDatabase(file);
    const faults = (database.prepare('PRAGMA integrity_check').pluck().all() as string[]).filter((line) => line !== 'ok');
    if (faults.length > 0) return { damage: faults.join('; '), commit: 0 };
    // Before its first commit a new database has a page, or none yet: it is as good as empty.
    const isEmpty = database.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() === 0;
    const commit = history.numberOf(digestOf(isEmpty ? [] : [database.serialize()]));
    return commit === null ? { damage: 'no commit left it like that', commit: 0 } : { damage: null, commit };
  } catch (error) {
    return { damage: String(error), commit: 0 };
  } finally {
    database?.close();
  }
}
