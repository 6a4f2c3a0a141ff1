import { InvalidArgumentError, type Command } from 'commander';
import type { UsageCount } from '../../core/usage.ts';
import { limits } from '../../core/limits.ts';
import type { SessionUsage, UsageReport } from '../../feed/usage-view.ts';
import { storeCommand, wholeNumber, type CommonOptions } from '../command-options.ts';
import { openExistingStore } from '../open-store.ts';
import { printTable } from '../table.ts';
import { money, note, oneLine, printJson } from '../terminal.ts';

interface UsageOptions extends CommonOptions {
  readonly owner?: string;
  readonly from?: string;
  readonly to?: string;
  readonly after?: number;
  readonly limit: number;
}

/** `holdfast usage`: what a session used, attempt by attempt; or without one what an owner or all owners used, day by day. */
export function usageCommand(): Command {
  return storeCommand('usage', 'show what a session used, or what was used day by day')
    .argument('[session]', 'id or external id of the session; without, all sessions, of all owners or of one')
    .option('--owner <owner>', 'only what this owner used')
    .option('--from <date>', 'from this day of UTC on, as 2026-01-31 (default: 30 days)', date)
    .option('--to <date>', 'up to this day of UTC (default: today)', date)
    .option('--limit <number>', 'at most so many attempts of the session', wholeNumber(1, limits.pageItemsMax), limits.pageItemsDefault)
    .option('--after <cursor>', 'go on after the page of attempts that ended with this', wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .action(async (id: string | undefined, { store, json, owner, from, to, after, limit }: UsageOptions) => {
      await using holdfast = await openExistingStore(store);
      if (id === undefined) {
        const report = await holdfast.usage({ owner, from, to });
        return await (json === true ? printJson(report) : printReport(report));
      }
      const session = await holdfast.sessions.get(id, owner === undefined ? {} : { owner });
      const used = await session.usage({ after, limit });
      return await (json === true ? printJson(used) : printSession(used));
    });
}

function date(text: string): string {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) throw new InvalidArgumentError('It must be a date, as 2026-01-31.');
  return text;
}

const countColumns = ['ATTEMPTS', 'INPUT', 'CACHED', 'OUTPUT', 'REASONING', 'COST', 'NOT KNOWN'];

async function printReport({ days, total }: UsageReport): Promise<void> {
  await printTable(['DAY', ...countColumns], [...days.map(({ day, ...count }) => [day, ...cells(count)]), ['total', ...cells(total)]]);
}

async function printSession({ models, total, attempts: { items, nextCursor } }: SessionUsage): Promise<void> {
  await printTable(['SEQ', 'OUTCOME', 'PURPOSE', 'MODEL', 'MS', 'INPUT', 'OUTPUT', 'COST'], items.map(({ seq, outcome, purpose, model, durationMs, usage, costMicros }) => [
    String(seq), outcome, purpose, oneLine(model ?? '', 40), durationMs === null ? '' : String(durationMs), tokens(usage?.inputTokens), tokens(usage?.outputTokens), costMicros === null ? '?' : money(costMicros),
  ]));
  await printTable(['', ...countColumns], [...models.map(({ model, ...count }) => [oneLine(model ?? '(no model known)', 40), ...cells(count)]), ['total', ...cells(total)]]);
  if (nextCursor !== null) note(`more attempts: --after ${nextCursor}`);
}

function cells({ attempts, inputTokens, cachedInputTokens, outputTokens, reasoningTokens, costMicros, attemptsWithoutUsage, attemptsWithoutCost }: UsageCount): readonly string[] {
  const unknown = [[attemptsWithoutUsage, 'usage'], [attemptsWithoutCost, 'cost']] as const;
  return [...[attempts, inputTokens, cachedInputTokens, outputTokens, reasoningTokens].map(String), money(costMicros), unknown.flatMap(([count, what]) => (count === 0 ? [] : [`${what} of ${count}`])).join(', ')];
}

function tokens(count: number | undefined): string {
  return count === undefined ? '?' : String(count);
}
