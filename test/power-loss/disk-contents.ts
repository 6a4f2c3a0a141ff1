import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { DiskContents, Initial } from './lossy-disk.ts';

/** Makes a folder with what was left of a disk. */
export function writeContents(folder: string, contents: DiskContents, random: () => number): void {
  mkdirSync(folder);
  for (const [name, content] of contents) {
    const at = path.join(folder, name);
    if (content === null) mkdirSync(at);
    // It is written through a memory map, which nobody syncs: any byte may be any other.
    else if (name.endsWith('-shm')) writeFileSync(at, content.map((byte) => (random() < 0.5 ? byte : Math.floor(random() * 256))));
    else writeFileSync(at, content);
  }
}

/** All that lies in a folder, each folder before what is in it. */
export function readContents(folder: string): readonly Initial[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry): Initial => {
    const at = path.join(entry.parentPath, entry.name);
    return { path: path.relative(folder, at), inode: lstatSync(at).ino, content: entry.isDirectory() ? null : readFileSync(at) };
  }).toSorted((left, right) => (left.path < right.path ? -1 : 1));
}
