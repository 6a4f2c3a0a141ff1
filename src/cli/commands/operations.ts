import { Command, Option } from 'commander';
import type { OperationStatus, OperationView } from '../../core/operation.ts';
import { limits } from '../../core/limits.ts';
import { storeCommand, wholeNumber, type CommonOptions } from '../command-options.ts';
import { openExistingStore } from '../open-store.ts';
import { printTable } from '../table.ts';
import { note, oneLine, printJson, printLine } from '../terminal.ts';

interface OperationsOptions extends CommonOptions {
  readonly status?: OperationStatus;
  readonly limit: number;
  readonly before?: string;
}

const statuses: readonly OperationStatus[] = ['queued', 'running', 'succeeded', 'failed', 'cancelled', 'unknown'];

/** `holdfast operations`: one page of a session's operations, the newest first. */
export function operationsCommand(): Command {
  return storeCommand('operations', "list a session's operations, the newest first")
    .argument('<session>', 'id or external id of the session')
    .addOption(new Option('--status <status>', 'only those with this status').choices(statuses))
    .option('--limit <number>', 'at most so many', wholeNumber(1, limits.pageItemsMax), limits.pageItemsDefault)
    .option('--before <operation>', 'go on after the page that ended with this')
    .action(async (id: string, { store, json, status, limit, before }: OperationsOptions) => {
      await using holdfast = await openExistingStore(store);
      const session = await holdfast.sessions.get(id);
      const page = await session.operations({ limit, ...(status === undefined ? {} : { status }), ...(before === undefined ? {} : { before }) });
      if (json === true) return await printJson(page);
      await printTable(['ID', 'STATUS', 'TOOL', 'MODE', 'PROGRESS', 'STARTED'], page.items.map(row));
      if (page.nextCursor !== null) note(`more: --before ${page.nextCursor}`);
    });
}

function row({ id, status, toolName, mode, progress, createdAtMs }: OperationView): readonly string[] {
  const done = progress === null ? '' : `${Math.round(progress.fraction * 100)}%${progress.text === undefined ? '' : ` ${progress.text}`}`;
  return [id, status, toolName, mode, oneLine(done, 40), new Date(createdAtMs).toISOString().replace(/\.\d+Z$/, 'Z')];
}

/** `holdfast operation show | cancel`: one operation. */
export function operationCommand(): Command {
  return new Command('operation').description('show or cancel one operation')
    .addCommand(storeCommand('show', 'show an operation').argument('<operation>', 'id of the operation').action(async (id: string, { store }: CommonOptions) => {
      await using holdfast = await openExistingStore(store);
      await printJson(await holdfast.operations.get(id));
    }))
    .addCommand(storeCommand('cancel', 'end an operation that lives; harmless for one that has ended').argument('<operation>', 'id of the operation').action(async (id: string, { store, json }: CommonOptions) => {
      await using holdfast = await openExistingStore(store);
      const ended = await holdfast.operations.cancel(id);
      await (json === true ? printJson(ended) : printLine(`${ended.operationId} ${ended.status}`));
    }));
}
