import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/testing/fake-system.ts';
import { seedOf } from '../support/seed.ts';
import type { DiskNote } from './disk-trace.ts';
import { LossyDisk, type Fate } from './lossy-disk.ts';

const folder = { path: '', isFolder: true, pid: 1, inode: 1 };
const file = { path: 'a', isFolder: false, pid: 1, inode: 2 };
const created: DiskNote = { ...file, kind: 'created' };
const synced: readonly DiskNote[] = [{ ...file, kind: 'sync-begun' }, { ...file, kind: 'synced' }];
const folderSynced: readonly DiskNote[] = [{ ...folder, kind: 'sync-begun' }, { ...folder, kind: 'synced' }];

function written(text: string, offset = 0): DiskNote {
  return { ...file, kind: 'written', offset, data: Buffer.from(text) };
}

function left(notes: readonly DiskNote[], fate: Fate = 'nothing', random = seededRandom(1)): string | null {
  const disk = new LossyDisk([]);
  for (const note of notes) disk.apply(note);
  return disk.afterPowerLoss(fate, random).get('a')?.toString() ?? null;
}

describe('a disk that loses what was not synced', () => {
  it('keeps what was written before a sync that has ended, and nothing since', () => {
    expect(left([created, ...folderSynced, written('old'), ...synced, written('new'), { ...file, kind: 'truncated', size: 1 }])).toBe('old');
    expect(left([created, ...folderSynced, written('old'), ...synced, written('new'), { ...file, kind: 'truncated', size: 1 }], 'everything')).toBe('n');
  });

  it('keeps nothing for a sync that has not ended, and nothing that was written while it went on', () => {
    expect(left([created, ...folderSynced, written('old'), { ...file, kind: 'sync-begun' }])).toBe('');
    expect(left([created, ...folderSynced, written('old'), { ...file, kind: 'sync-begun' }, written('new', 3), { ...file, kind: 'synced' }])).toBe('old');
    expect(left([created, ...folderSynced, { ...file, kind: 'sync-begun' }, written('another process', 0), { ...file, pid: 2, kind: 'synced' }])).toBe('');
  });

  it('has a file only when its folder was synced since it was made, and until it was synced since it was removed', () => {
    const removed: DiskNote = { ...file, kind: 'removed' };
    expect(left([created, written('a'), ...synced])).toBeNull();
    expect(left([created, ...folderSynced, written('a'), ...synced, removed])).toBe('a');
    expect(left([created, ...folderSynced, written('a'), ...synced, removed, ...folderSynced])).toBeNull();
  });

  it('may have any sectors of a write that was not synced, and never changes a byte beside it', () => {
    const random = seededRandom(seedOf('torn writes'));
    const notes = [created, ...folderSynced, written('.'.repeat(4_096)), ...synced, written('x'.repeat(1_500), 1_000)];
    const torn = Array.from({ length: 2_000 }, () => left(notes, 'pieces', random) ?? '').map((text) => Buffer.from(text, 'latin1'));
    expect(new Set(torn.map((bytes) => bytes.subarray(0, 1_000).toString() + bytes.subarray(-1_000).toString())).size).toBe(1);
    const sectors = torn.map((bytes) => [1_000, 1_024, 1_536, 2_048].map((at) => bytes.toString('latin1', at, at + 1)).join(''));
    for (const one of ['....', 'xxxx', 'x...', '.x..', '..x.', '...x']) expect(sectors).toContain(one);
  });
});
