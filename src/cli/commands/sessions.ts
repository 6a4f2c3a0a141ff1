import { Option, type Command } from 'commander';
import type { SessionStatus } from '../../core/session.ts';
import { limits } from '../../core/limits.ts';
import type { SessionView } from '../../feed/session-view.ts';
import { storeCommand, wholeNumber, type CommonOptions } from '../command-options.ts';
import { openExistingStore } from '../open-store.ts';
import { printTable } from '../table.ts';
import { note, oneLine, printJson } from '../terminal.ts';

interface SessionsOptions extends CommonOptions {
  readonly status?: SessionStatus;
  readonly agent?: string;
  readonly owner?: string;
  readonly limit: number;
  readonly cursor?: string;
}

const statuses: readonly SessionStatus[] = ['idle', 'ready', 'running', 'requires_action', 'waiting', 'failed', 'ended'];

/** `holdfast sessions`: one page of sessions, the most recently active first. */
export function sessionsCommand(): Command {
  return storeCommand('sessions', 'list sessions, the most recently active first')
    .addOption(new Option('--status <status>', 'only those with this status').choices(statuses))
    .option('--agent <name>', 'only those of this agent')
    .option('--owner <owner>', 'only those of this owner')
    .option('--limit <number>', 'at most so many', wholeNumber(1, limits.pageItemsMax), limits.pageItemsDefault)
    .option('--cursor <cursor>', 'go on after the page that ended with this')
    .action(async ({ store, json, status, agent, owner, limit, cursor }: SessionsOptions) => {
      await using holdfast = await openExistingStore(store);
      const page = await holdfast.sessions.list({ status, agent, owner, limit, cursor });
      if (json === true) await printJson(page);
      else await printPage(page);
    });
}

async function printPage({ items, nextCursor }: { readonly items: readonly SessionView[]; readonly nextCursor: string | null }): Promise<void> {
  await printTable(
    ['ID', 'STATUS', 'TITLE', 'AGENT', 'TURNS', 'LAST ACTIVE'],
    items.map(({ id, status, title, agent, turns, activeAtMs }) => [id, status, oneLine(title ?? '', 40), agent, String(turns), new Date(activeAtMs).toISOString().replace(/\.\d+Z$/, 'Z')]),
  );
  if (nextCursor !== null) note(`more: --cursor ${nextCursor}`);
}
