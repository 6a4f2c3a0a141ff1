import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { createHoldfast } from '../../create-holdfast.ts';
import { sqliteStoreOn } from '../../store/sqlite/sqlite-store.ts';
import { PreparedStatements } from '../../store/sqlite/statements.ts';
import { StoreError } from '../../store/store-error.ts';

/** What a simulated process runs: an engine with the store that belongs to it, and the errors that it knows. */
export interface EngineVersion {
  readonly createHoldfast: typeof createHoldfast;
  readonly sqliteStoreOn: typeof sqliteStoreOn;
  readonly PreparedStatements: typeof PreparedStatements;
  readonly StoreError: typeof StoreError;
}

export const thisVersion: EngineVersion = { createHoldfast, sqliteStoreOn, PreparedStatements, StoreError };

/** The version whose sources (`src`) lie in a folder, with packages beside them. It has to be one whose store can be opened on a database that is open already. */
export async function versionIn(folder: string): Promise<EngineVersion> {
  const load = async (file: string): Promise<EngineVersion> => (await import(pathToFileURL(path.join(folder, 'src', file)).href)) as EngineVersion;
  const { createHoldfast } = await load('create-holdfast.ts');
  const { sqliteStoreOn } = await load('store/sqlite/sqlite-store.ts');
  const { PreparedStatements } = await load('store/sqlite/statements.ts');
  const { StoreError } = await load('store/store-error.ts');
  return { createHoldfast, sqliteStoreOn, PreparedStatements, StoreError };
}
