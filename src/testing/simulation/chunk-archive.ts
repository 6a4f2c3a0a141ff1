import type { Database } from '../../store/sqlite/open-database.ts';
import { foldSegments, type StreamedPart, type StreamSegment } from '../../core/stream-parts.ts';

/** All live output that was ever committed in a run, also where it has been removed since: what is on its way to a follower may be of an attempt that was lost meanwhile. */
export class ChunkArchive {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
    database.exec(`
      CREATE TEMP TABLE IF NOT EXISTS chunk_archive (attempt_id TEXT, ordinal INTEGER, segments TEXT, PRIMARY KEY (attempt_id, ordinal)) WITHOUT ROWID;
      DELETE FROM chunk_archive;
      CREATE TEMP TRIGGER IF NOT EXISTS archive_chunk AFTER INSERT ON main.chunk BEGIN
        INSERT INTO chunk_archive VALUES (new.attempt_id, new.ordinal, new.segments);
      END`);
  }

  /** An attempt as far as it was ever stored. */
  partsOf(attemptId: string): readonly StreamedPart[] {
    const rows = this.#database.prepare('SELECT segments FROM chunk_archive WHERE attempt_id = ? ORDER BY ordinal').pluck().all(attemptId) as string[];
    return foldSegments(rows.flatMap((segments) => JSON.parse(segments) as StreamSegment[]));
  }
}
