import type { Command } from 'commander';
import { createHoldfast } from '../../create-holdfast.ts';
import { StoreError } from '../../store/store-error.ts';
import { isPostgresUrl, withoutPassword } from '../../store-url.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { openAdministration } from '../open-store.ts';
import { printJson, printLine } from '../terminal.ts';

/** `holdfast migrate`: makes the store, or brings its schema up to date. Safe to repeat, and while others work. */
export function migrateCommand(): Command {
  return storeCommand('migrate', "make the store, or bring its schema up to date").action(async ({ store, json }: CommonOptions) => {
    const before = await schemaVersionOf(store);
    // Opening migrates.
    const holdfast = await createHoldfast({ agents: [], store, worker: false });
    await holdfast.close();
    const after = await schemaVersionOf(store);
    const name = withoutPassword(store);
    if (json === true) await printJson({ store: name, before, after });
    else await printLine(after === before ? `${name} is up to date (schema version ${after})` : `${name} is now at schema version ${after} (was ${before})`);
  });
}

/** 0: there is none yet. A file will be made; a database has to be there. */
async function schemaVersionOf(store: string): Promise<number> {
  try {
    await using administration = await openAdministration(store);
    return (await administration.readSchema()).version;
  } catch (error) {
    if (error instanceof StoreError && error.code === 'store_missing' && !isPostgresUrl(store)) return 0;
    throw error;
  }
}
