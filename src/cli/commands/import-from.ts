import { createHoldfast } from '../../create-holdfast.ts';
import { HoldfastError } from '../../core/errors.ts';
import { entryProblem } from '../../server/entry-schema.ts';
import { StoreError } from '../../store/store-error.ts';
import { isPostgresUrl, openStoreUrl, withoutPassword } from '../../store-url.ts';
import { realSystem } from '../../system.ts';
import { aiChatbot } from '../from/ai-chatbot.ts';
import { langGraphPostgres } from '../from/langgraph-postgres.ts';
import { langGraphSqlite } from '../from/langgraph-sqlite.ts';
import { migrateConversations, reportLines, type MigrationOptions } from '../from/migrate-conversations.ts';
import type { MigrationReport } from '../from/migration-report.ts';
import type { ConversationSource } from '../from/source-conversation.ts';
import { requireServer, requireStore } from '../open-store.ts';
import { progressBar } from '../progress-bar.ts';
import { printJson, printLine, printable } from '../terminal.ts';

/** The systems whose tables are read. */
export const sourceKinds = ['ai-chatbot', 'langgraph'] as const;

export interface ImportFromOptions {
  readonly from: (typeof sourceKinds)[number];
  readonly source?: string;
  readonly dryRun?: true;
  readonly ownerColumn?: string;
  readonly channel: string;
  readonly agent: string;
  readonly owner: string;
  readonly store: string;
  readonly json?: true;
}

/** `holdfast import --from`: the conversations in the tables of another system become sessions, found by the ids that they have there. */
export async function importFrom(options: ImportFromOptions): Promise<void> {
  const { source: url, json, dryRun = false, store: storeUrl, agent, owner } = options;
  if (url === undefined) throw new HoldfastError('options_invalid', `--from ${options.from} needs --source URL: where its tables are`);
  await using source = await openSource(url, options);
  const progress = progressBar('conversations', source.count, { shown: json !== true });
  const migration: MigrationOptions = { agent, owner, dryRun, onConversation: () => progress.advance() };
  let report: MigrationReport;
  try {
    report = dryRun ? await rehearse(source, migration, storeUrl) : await migrate(source, migration, storeUrl);
  } finally {
    progress.stop();
  }
  if (json === true) await printJson(report);
  else for (const line of reportLines(report)) await printLine(printable(line));
}

/** Rejects with `HoldfastError`: `options_invalid`, `source_unavailable`, `source_unknown`. */
export async function openSource(url: string, { from, ownerColumn, channel }: Pick<ImportFromOptions, 'from' | 'channel'> & { readonly ownerColumn?: string | undefined }): Promise<ConversationSource> {
  if (from === 'ai-chatbot') return aiChatbot(url, { ownerColumn: ownerColumn ?? 'id' });
  const options = { channel, ownerField: ownerColumn ?? 'user_id' };
  if (isPostgresUrl(url)) return langGraphPostgres(url, options);
  const path = url.replace(/^sqlite:(\/\/)?/, '');
  // A URL of another kind is no file, and may hold a password.
  if (/^[a-z][\w+.-]*:\/\//i.test(path)) throw new HoldfastError('options_invalid', `--source ${withoutPassword(url)} is neither a postgres:// URL nor sqlite:PATH`);
  return langGraphSqlite(path, options);
}

async function migrate(source: ConversationSource, migration: MigrationOptions, storeUrl: string): Promise<MigrationReport> {
  await requireServer(storeUrl);
  await using holdfast = await createHoldfast({ agents: [], store: storeUrl, worker: false });
  return await migrateConversations(source, migration, { store: holdfast.store, tenant: 'default', system: realSystem(), checkEntry: entryProblem });
}

/** Writes nothing: a store that is not there is not made, and one that is there is not brought up to date. */
async function rehearse(source: ConversationSource, migration: MigrationOptions, storeUrl: string): Promise<MigrationReport> {
  await requireServer(storeUrl);
  const system = realSystem();
  const store = (await isThere(storeUrl)) ? await openStoreUrl(storeUrl, { system, outboxKinds: [] }) : null;
  try {
    return await migrateConversations(source, migration, { store, tenant: 'default', system, checkEntry: entryProblem });
  } finally {
    await store?.close();
  }
}

async function isThere(storeUrl: string): Promise<boolean> {
  try {
    await requireStore(storeUrl);
    return true;
  } catch (error) {
    if (error instanceof StoreError && error.code === 'store_unavailable') return false;
    throw error;
  }
}
