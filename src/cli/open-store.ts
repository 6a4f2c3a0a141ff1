import { createHoldfast, type Holdfast } from '../create-holdfast.ts';
import { HoldfastError } from '../core/errors.ts';
import type { StoreAdministration } from '../store/administration.ts';
import { postgresAdministration } from '../store/postgres/administration.ts';
import { sqliteAdministration } from '../store/sqlite/administration.ts';
import { StoreError } from '../store/store-error.ts';
import { isPostgresUrl, postgres, postgresUrlParts, sqlitePath, withoutPassword, type StoreSource } from '../store-url.ts';
import { realSystem } from '../system.ts';

/** The store of a URL as those see it who look after it. Nothing is made or changed. Rejects as {@link StoreAdministration} says, and with `HoldfastError` code `options_invalid`. */
export async function openAdministration(url: string): Promise<StoreAdministration> {
  const system = realSystem();
  if (isPostgresUrl(url)) return postgresAdministration({ ...postgresUrlParts(url), name: withoutPassword(url), system });
  return sqliteAdministration({ path: sqlitePath(url), system });
}

/** A mistyped path or name must not look like an empty store. Rejects with `StoreError` code `store_unavailable`. */
export async function requireStore(url: string): Promise<void> {
  const missing = (what: string): StoreError => new StoreError('store_unavailable', `${what}: say --store sqlite:PATH or postgres://…, or make it with "holdfast migrate" or "holdfast dev"`);
  try {
    await using administration = await openAdministration(url);
    if (isPostgresUrl(url) && (await administration.readSchema()).version === 0) throw missing(`there is no Holdfast store in ${schemaName(url)} yet`);
  } catch (error) {
    if (error instanceof StoreError && error.code === 'store_missing') throw missing(error.message);
    throw error;
  }
}

/** A database that is not there, or lets nobody in, is said at once and with its name; what is not in it yet will be made. */
export async function requireServer(url: string): Promise<void> {
  if (!isPostgresUrl(url)) return;
  const administration = await openAdministration(url);
  await administration.close();
}

/** Opens a store that exists, to read it or to send commands; it does no work. */
export async function openExistingStore(url: string): Promise<Holdfast> {
  await requireStore(url);
  return createHoldfast({ agents: [], store: url, worker: false });
}

/** A store's URL with what the command line says of its connections. Throws `HoldfastError` code `options_invalid` where there are none to be said of. */
export function storeWith(url: string, { connections }: { readonly connections?: number | undefined }): string | StoreSource {
  if (connections === undefined) return url;
  if (!isPostgresUrl(url)) throw new HoldfastError('options_invalid', '--connections is of a Postgres store; SQLite has no connections to be counted');
  const { connection, schema } = postgresUrlParts(url);
  return postgres({ url: connection, ...(schema === undefined ? {} : { schema }), connectionsMax: connections });
}

function schemaName(url: string): string {
  return `the schema ${postgresUrlParts(url).schema ?? 'holdfast'} of ${withoutPassword(url)}`;
}
