import { readFileSync } from 'node:fs';

/**
 * How many transactions a write-ahead log holds: its frames that say how large the database is after them (sqlite.org/fileformat2.html, 4.3). Read from the file
 * itself, so that nothing the store counts is trusted.
 */
export function walCommits(databasePath: string): number {
  const wal = readFileSync(`${databasePath}-wal`);
  if (wal.length < 32) return 0;
  const pageSize = wal.readUInt32BE(8);
  const salt = wal.subarray(16, 24);
  let commits = 0;
  for (let frame = 32; frame + 24 + pageSize <= wal.length; frame += 24 + pageSize) {
    // Frames of an older generation of the log keep its salt.
    if (!wal.subarray(frame + 8, frame + 16).equals(salt)) break;
    if (wal.readUInt32BE(frame + 4) > 0) commits += 1;
  }
  return commits;
}
