import { onTestFinished } from 'vitest';
import { realSystem } from '../../src/system.ts';
import { openStoreUrl } from '../../src/store-url.ts';
import type { EntryKind } from '../../src/core/entry.ts';
import type { Store } from '../../src/store/store.ts';
import { temporaryDatabase } from './open-holdfast.ts';
import { uniqueSchema } from './postgres-database.ts';

/** A kind of store that tests run on, each test on one of its own that is empty and goes with the test. */
export interface TestStore {
  readonly name: 'sqlite' | 'postgres';
  /** The URL of a new one, for this process and for those that it starts. */
  readonly newUrl: () => Promise<string>;
}

export const sqliteFiles: TestStore = { name: 'sqlite', newUrl: async () => `sqlite:${await temporaryDatabase()}` };

/** A schema of its own in the run's database. */
export const postgresSchemas: TestStore = {
  name: 'postgres',
  newUrl: async () => {
    const { url, schema, drop } = await uniqueSchema();
    onTestFinished(drop);
    return `${url}?schema=${schema}`;
  },
};

/** For `describe.each`: what is said of the engine holds on each of them. */
export const stores: readonly TestStore[] = [sqliteFiles, postgresSchemas];

/** Opens a store as a process does, apart from any Holdfast: to wrap it, or to look into it. Closed when the test ends. */
export async function openStore(url: string, outboxKinds: readonly EntryKind[] = []): Promise<Store> {
  const store = await openStoreUrl(url, { system: realSystem(), outboxKinds });
  onTestFinished(() => store.close());
  await store.migrate();
  return store;
}
