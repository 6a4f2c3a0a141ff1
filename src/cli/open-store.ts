import { existsSync } from 'node:fs';
import { createHoldfast, type Holdfast } from '../create-holdfast.ts';
import { StoreError } from '../store/store-error.ts';

/** Path of the database file of a `sqlite:` URL; null for another URL, and for a database in memory. */
export function sqlitePathOf(url: string): string | null {
  const path = /^sqlite:(?:\/\/)?(.+)$/.exec(url)?.[1];
  return path === undefined || path === ':memory:' ? null : path;
}

/** A mistyped path must not look like an empty store. Throws `StoreError` with code `store_unavailable`. */
export function requireStoreFile(url: string): void {
  const path = sqlitePathOf(url);
  if (path === null || existsSync(path)) return;
  throw new StoreError('store_unavailable', `there is no file ${path}: say --store sqlite:PATH, or make it with "holdfast migrate" or "holdfast dev"`);
}

/** Opens a store that exists, to read it or to send commands; it does no work. */
export async function openExistingStore(url: string): Promise<Holdfast> {
  requireStoreFile(url);
  return createHoldfast({ agents: [], store: url, worker: false });
}
