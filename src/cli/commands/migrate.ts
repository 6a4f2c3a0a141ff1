import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { createHoldfast } from '../../create-holdfast.ts';
import { openDatabase } from '../../store/sqlite/open-database.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { sqlitePathOf } from '../open-store.ts';
import { printJson, printLine } from '../terminal.ts';

/** `holdfast migrate`: makes the store, or brings its schema up to date. Safe to repeat, and while others work. */
export function migrateCommand(): Command {
  return storeCommand('migrate', "make the store, or bring its schema up to date").action(async ({ store, json }: CommonOptions) => {
    const path = sqlitePathOf(store);
    const before = path === null || !existsSync(path) ? 0 : await schemaVersionOf(path);
    // Opening migrates.
    const holdfast = await createHoldfast({ agents: [], store, worker: false });
    await holdfast.close();
    const after = path === null ? null : await schemaVersionOf(path);
    if (json === true) await printJson({ store, before, after });
    else await printLine(after === before ? `${store} is up to date (schema version ${String(after)})` : `${store} is now at schema version ${String(after)} (was ${before})`);
  });
}

async function schemaVersionOf(path: string): Promise<number> {
  const database = await openDatabase(path);
  try {
    return Number(database.pragma('user_version', { simple: true }));
  } finally {
    database.close();
  }
}
