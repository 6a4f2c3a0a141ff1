import type { EntryKind } from './core/entry.ts';
import { HoldfastError } from './core/errors.ts';
import type { System } from './core/system.ts';
import { postgresStore, type PostgresStoreOptions } from './store/postgres/postgres-store.ts';
import { sqliteStore } from './store/sqlite/sqlite-store.ts';
import type { Store } from './store/store.ts';

/** What a store is opened with besides where it is. */
export interface StoreSettings {
  readonly system: System;
  readonly outboxKinds: readonly EntryKind[];
}

/** Where sessions are kept, and how it is opened: see {@link postgres}. */
export interface StoreSource {
  readonly open: (settings: StoreSettings) => Promise<Store>;
}

export interface PostgresOptions extends Pick<PostgresStoreOptions, 'schema' | 'connectionsMax' | 'preparedStatements' | 'dialect'> {
  /** `postgres://user:password@host:port/database`. This or `pool`. */
  readonly url?: string;
  /** Your own pool of `pg`; it stays yours to close, and needs at least three connections: one of them listens. */
  readonly pool?: Exclude<PostgresStoreOptions['connection'], string>;
}

/**
 * Postgres as the store, in a schema of its own beside your tables: `createHoldfast({ store: postgres({ pool }) })`. Throws `HoldfastError` code `options_invalid` unless there is a `url` or a `pool`. What opening it
 * rejects with, `createHoldfast` says.
 */
export function postgres({ url, pool, ...options }: PostgresOptions): StoreSource {
  const connection = pool ?? url;
  if (connection === undefined || (url !== undefined && pool !== undefined)) throw new HoldfastError('options_invalid', 'postgres() takes a url or a pool, one of them');
  return { open: (settings) => postgresStore({ ...options, connection, ...settings }) };
}

/** Opens the store of a URL: `sqlite:PATH`, `postgres://…`. A Postgres URL may name the schema: `?schema=NAME`. Throws `HoldfastError` code `options_invalid` for any other. */
export async function openStoreUrl(url: string, settings: StoreSettings): Promise<Store> {
  if (isPostgresUrl(url)) {
    const { connection, schema } = postgresUrlParts(url);
    return postgresStore({ connection, schema, ...settings });
  }
  return sqliteStore({ path: sqlitePath(url), ...settings });
}

/** The path of a `sqlite:` URL. Throws `HoldfastError` code `options_invalid` for one that is of no store. */
export function sqlitePath(url: string): string {
  const path = /^sqlite:(?:\/\/)?(.+)$/.exec(url)?.[1];
  if (path === undefined) throw new HoldfastError('options_invalid', `${JSON.stringify(withoutPassword(url))} is no store that this version knows; use sqlite:PATH or postgres://…`);
  return path;
}

export function isPostgresUrl(url: string): boolean {
  return /^postgres(ql)?:\/\//.test(url);
}

/** The URL as the driver takes it, and the schema that it named besides. */
export function postgresUrlParts(url: string): { readonly connection: string; readonly schema: string | undefined } {
  if (!URL.canParse(url)) throw new HoldfastError('options_invalid', 'the Postgres URL cannot be read; write postgres://user:password@host:port/database, with special characters percent-encoded');
  const parsed = new URL(url);
  const schema = parsed.searchParams.get('schema') ?? undefined;
  parsed.searchParams.delete('schema');
  return { connection: parsed.href, schema };
}

/** For messages: a URL without the secrets in it, also one that cannot be read as a URL. */
export function withoutPassword(url: string): string {
  // A password may hold an @ or a / that should have been encoded: all up to the last @ is taken for it.
  return url.replace(/^((?:sqlite:(?:\/\/)?)?[a-z][\w+.-]*:\/\/[^:@/?]*):.*@/is, '$1:***@').replace(/([?&](?:password|sslpassword)=)[^&]*/gi, '$1***');
}
