import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Something that a process did to a file or a folder. `path` is relative to the traced folder, which itself is ''. */
export type DiskNote = { readonly path: string; readonly isFolder: boolean; readonly pid: number; readonly inode: number } & (
  | { readonly kind: 'created' | 'sync-begun' | 'synced' | 'removed' }
  | { readonly kind: 'written'; readonly offset: number; readonly data: Buffer }
  | { readonly kind: 'truncated'; readonly size: number }
);

/** Where processes are traced: what they are given in their environment, so that all they do below `folder` is noted in `file`. */
export interface DiskTracing {
  readonly folder: string;
  readonly file: string;
  readonly library: string;
}

/** As numbered in disk-trace.c, from 1. */
const kinds = ['created', 'written', 'truncated', 'sync-begun', 'synced', 'removed'] as const;
const headBytes = 40;

/** Why processes cannot be traced here; null where they can. */
export function noTraceReason(): string | null {
  if (process.platform !== 'linux') return 'what a process does to its disk is traced on Linux only';
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  return folders.some((folder) => existsSync(path.join(folder, 'cc'))) ? null : 'there is no C compiler (cc) for the tracer';
}

/** Compiles the tracer into a file. */
export function compileTracer(library: string): void {
  execFileSync('cc', ['-shared', '-fPIC', '-O2', '-Wall', '-o', library, path.join(import.meta.dirname, 'disk-trace.c'), '-ldl']);
}

export function tracingEnvironment({ folder, file, library }: DiskTracing): Readonly<Record<string, string>> {
  return { LD_PRELOAD: library, HOLDFAST_TRACE_FOLDER: folder, HOLDFAST_TRACE_FILE: file };
}

/** All notes of all processes, in the order in which things were done. */
export function readTrace({ folder, file }: DiskTracing): readonly DiskNote[] {
  const trace = readFileSync(file);
  const notes: DiskNote[] = [];
  for (let at = 0; at < trace.length;) {
    const [kind, isFolder, pathBytes, dataBytes] = [trace.readUInt32LE(at), trace.readUInt32LE(at + 4), trace.readUInt32LE(at + 8), trace.readUInt32LE(at + 12)];
    const [pid, inode, offset] = [Number(trace.readBigUInt64LE(at + 16)), Number(trace.readBigUInt64LE(at + 24)), Number(trace.readBigUInt64LE(at + 32))];
    const dataAt = at + headBytes + pathBytes;
    const about = { path: path.relative(folder, trace.toString('utf8', at + headBytes, dataAt)), isFolder: isFolder === 1, pid, inode };
    const name = kinds[kind - 1];
    if (name === undefined) throw new Error(`the trace has a note of kind ${kind} at byte ${at}`);
    if (name === 'written') notes.push({ ...about, kind: name, offset, data: trace.subarray(dataAt, dataAt + dataBytes) });
    else if (name === 'truncated') notes.push({ ...about, kind: name, size: offset });
    else notes.push({ ...about, kind: name });
    at = dataAt + dataBytes;
  }
  return notes;
}
