import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

export interface PageFile {
  readonly text: string;
  readonly contentType: string;
}

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8',
};

let files: Promise<ReadonlyMap<string, PageFile>> | null = null;

/** A file of the web page by its name; undefined: there is none. They are read once, so that a name is never part of a path. */
export async function pageFile(name: string): Promise<PageFile | undefined> {
  files ??= readFiles().catch((error: unknown) => {
    files = null; // the next request tries again
    throw error;
  });
  return (await files).get(name);
}

async function readFiles(): Promise<ReadonlyMap<string, PageFile>> {
  const folder = new URL('./page/', import.meta.url);
  const names = (await readdir(folder)).filter((name) => path.extname(name) in contentTypes);
  const texts = await Promise.all(names.map((name) => readFile(new URL(name, folder), 'utf8')));
  return new Map(names.map((name, place) => [name, { text: texts[place] ?? '', contentType: contentTypes[path.extname(name)] ?? '' }]));
}
